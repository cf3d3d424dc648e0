"""Finishing: some minutes of training under int8's rounding, so that the int8 network gives what float32 gave.

`tessera-engine train --qat` and `distil --qat` end with it; a checkpoint that is there already is finished by

    python -m tessera_export.train.qat CHECKPOINT SCENE... -o OUT

The network is its own teacher. A frozen copy embeds pixels in float32; the copy that learns embeds them as the int8
backend does, codes of embeddings included, and is drawn to the teacher's embedding at every prefix. What comes out is
a float32 network again, whose embeddings are its own: it has moved by about as much as int8 was off.

Most networks don't need it: scales per token leave little that a network could learn to avoid. So what it gains is
measured on pixels that it didn't learn from, and a network that gains nothing stays as it was.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tessera_engine.backends.rectangles import rectangle
from tessera_engine.errors import InputError, TesseraError
from tessera_engine.model.file import INPUT_NAMES
from tessera_engine.model.statistics import V2_STATISTICS
from tessera_engine.tokens import PackedTokens
from tessera_export.checkpoint import load_checkpoint, save_checkpoint
from tessera_export.reference import Reference
from tessera_export.train.pixels import concatenate, sample_scene
from tessera_export.train.quantized import QuantizedNetwork
from tessera_export.train.quantizers import FusedInt8, Scheme, StaticInt8, Watching, stored

CHECK_PIXELS = 256
"""Pixels that are kept to measure on: a fifth of all where there are few."""

SCENE_PIXELS = 2000
"""Drawn from each scene of the command line."""

WATCHED_PIXELS = 512
"""To find fixed scales on, at most."""

SCHEMES = ("int8", "qdq")
"""What a network can be finished for: the kernels of CPUs, or graphs with fixed scales for GPUs."""


@dataclass(frozen=True)
class FinishConfig:
    """How to finish.

    Attributes:
        steps: optimiser steps.
        batch: pixels a step, with all of their year.
        learning_rate: its peak; it falls to 0 along a cosine.
        scheme: what the backend quantises.
        seed: of the draw of pixels.
    """

    steps: int = 100
    batch: int = 32
    learning_rate: float = 2e-5
    scheme: Scheme = field(default_factory=FusedInt8)
    seed: int = 0


def relative_error(found: Tensor, wanted: Tensor, centre: Tensor) -> Tensor:
    """Squared error beside the squared distance to the centre, mean over pixels: for small errors 2 (1 - cosine).

    Args:
        found: (B, K) embeddings.
        wanted: (B, K) the teacher's.
        centre: (K,) the teacher's mean.
    """
    return ((found - wanted).square().sum(1) / (wanted - centre).square().sum(1)).mean()


def finishing_loss(found: Tensor, wanted: Tensor, centre: Tensor, prefixes: tuple[int, ...]) -> Tensor:
    """The mean over prefixes of the error of what would be stored, by the arguments of `relative_error`."""
    errors = [relative_error(stored(found[:, :k]), wanted[:, :k], centre[:k]) for k in prefixes]
    return torch.stack(errors).mean()


def embed(network: nn.Module, tokens: PackedTokens, pixels: NDArray[np.int64]) -> Tensor:
    """Some pixels (B,) through a network or its quantised form: (B, dims)."""
    inputs = rectangle(tokens.s2, pixels, "s2") | rectangle(tokens.s1, pixels, "s1")
    embedding: Tensor = network(*(torch.from_numpy(inputs[name]) for name in INPUT_NAMES))
    return embedding


@torch.no_grad()
def _embed_all(network: nn.Module, tokens: PackedTokens, pixels: NDArray[np.int64], batch: int) -> Tensor:
    parts = np.split(pixels, range(batch, len(pixels), batch))
    return torch.cat([embed(network, tokens, part) for part in parts])


def scheme_of(name: str, network: Reference, source: PackedTokens) -> Scheme:
    """What one of `SCHEMES` quantises of a network.

    The fixed scales of `qdq` are the largest magnitudes on the first pixels of a random order; export finds its own,
    of the finished network, and moves outliers into the weights before it does.
    """
    if name == "int8":
        return FusedInt8()
    watching = Watching()
    pixels = np.random.default_rng(0).permutation(len(source))[:WATCHED_PIXELS]
    _embed_all(QuantizedNetwork(network, watching), source, pixels, batch=1)  # more would be filled up
    return StaticInt8(watching.largest)


def finish(
    network: Reference, source: PackedTokens, config: FinishConfig, report: Callable[[str], None]
) -> Reference:
    """Train a copy of a v2 network so that quantised it gives what the network gives in float32.

    The same network, pixels and configuration on the same number of torch threads give the same copy.

    Args:
        network: trained; it stays as it is.
        source: the pixels.
        config: how.
        report: told a line of progress now and then, and at the end what was gained.

    Returns:
        The copy; of the network as it was where int8's error on pixels kept aside has not become less.

    Raises:
        InputError: a network of another generation, or fewer than two pixels.
    """
    if network.config.generation != "v2":
        raise InputError(
            f"can't finish a {network.config.generation} model: it would no longer be the one whose embeddings people "
            "have; use it as it is"
        )
    if len(source) < 2:
        raise InputError(f"can't finish on {len(source)} pixel(s); give a larger scene")
    teacher, student = copy.deepcopy(network).eval().requires_grad_(False), copy.deepcopy(network).eval()
    quantized = QuantizedNetwork(student, config.scheme)
    rng = np.random.default_rng(config.seed)
    aside, pixels = np.split(rng.permutation(len(source)), [min(CHECK_PIXELS, (len(source) + 4) // 5)])
    wanted_aside = _embed_all(teacher, source, aside, config.batch)
    centre, prefixes = wanted_aside.mean(0), network.config.prefixes

    def error_aside() -> float:
        found = _embed_all(quantized, source, aside, config.batch)
        return finishing_loss(found, wanted_aside, centre, prefixes).item()

    before = error_aside()
    optimizer = torch.optim.Adam(student.parameters(), lr=config.learning_rate)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    losses: list[float] = []
    start = time.monotonic()
    for step in range(1, config.steps + 1):
        drawn = rng.choice(pixels, min(config.batch, len(pixels)), replace=False)
        wanted = embed(teacher, source, drawn)
        loss = finishing_loss(embed(quantized, source, drawn), wanted, centre, prefixes)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
        if step % 20 == 0 or step == config.steps:
            seconds = time.monotonic() - start
            report(f"finishing step {step}/{config.steps}: error {np.mean(losses):.2e}, {seconds:.0f} s")
            losses.clear()
    after = error_aside()
    gain = f"int8's error on {len(aside)} pixels kept aside: {before:.2e} before finishing, {after:.2e} after"
    if after < before:
        report(gain)
        return student
    report(f"{gain}; the network stays as it was")
    return copy.deepcopy(network).eval()


def main() -> None:
    """Read the command line, and train on one thread: more would change the result."""
    parser = argparse.ArgumentParser(
        prog="python -m tessera_export.train.qat",
        description="Train a checkpoint on under int8's rounding, so that int8 gives what float32 gave.",
    )
    parser.add_argument("checkpoint", type=Path, help="of a v2 student")
    parser.add_argument("scenes", type=Path, nargs="+", help="scenes like those that it is to embed")
    parser.add_argument("-o", "--out", type=Path, required=True, help="checkpoint to write (.pt)")
    parser.add_argument("--scheme", choices=SCHEMES, default="int8", help="what it is finished for")
    parser.add_argument("--steps", type=int, default=FinishConfig.steps)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        if arguments.out.exists():
            raise InputError(f"{arguments.out} is there already; choose another name")
        network = load_checkpoint(arguments.checkpoint).model
        parts = [sample_scene(scene, V2_STATISTICS, SCENE_PIXELS, seed=0) for scene in arguments.scenes]
        source = concatenate(parts)
        config = FinishConfig(arguments.steps, scheme=scheme_of(arguments.scheme, network, source))
        finished = finish(network, source, config, _say)
        save_checkpoint(finished, arguments.out)
    except TesseraError as error:
        _say(f"error: {error}")
        sys.exit(error.exit_code)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
