"""Finishing: some minutes of training under int8's rounding, so that int8 and float32 give the same embeddings.

`tessera-engine train --qat` and `distil --qat` end with it. An existing checkpoint is finished by

    python -m tessera_export.train.qat CHECKPOINT SCENE... -o OUT

The network is its own teacher. A frozen copy embeds pixels in float32. The other copy embeds them like the int8
backend, codes of embeddings included, and learns to match the frozen copy at every prefix. The result is a float32
network again. Its embeddings differ from the original ones by about the error that int8 had before.

Most networks don't need it: with scales per token, the error is small already. So the gain is measured on pixels that
were not used for training, and a network without a gain is left unchanged.
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
from tessera_export.train.quantized import QuantizedNetwork, watch
from tessera_export.train.quantizers import Averaging, FusedInt8, Scheme, StaticInt8, Watching, stored

CHECK_PIXELS = 256
"""Pixels that are kept aside to measure on, at most; a fifth of all if there are few."""

SCENE_PIXELS = 2000
"""Pixels drawn from each scene of the command line."""

WATCHED_PIXELS = 512
"""Most pixels that fixed scales are found on."""

AVERAGED_PIXELS = 64
"""Most pixels whose mean inputs correct biases."""

SCHEMES = ("int8", "qdq")
"""What a network can be finished for: the int8 kernels of CPUs, or graphs with fixed scales for GPUs."""


@dataclass(frozen=True)
class FinishConfig:
    """How to finish.

    Attributes:
        steps: optimiser steps.
        batch: pixels per step, each with its whole year.
        learning_rate: its peak; it falls to 0 along a cosine.
        scheme: what the backend quantises.
        seed: random seed of the draw of pixels.
    """

    steps: int = 100
    batch: int = 32
    learning_rate: float = 2e-5
    scheme: Scheme = field(default_factory=FusedInt8)
    seed: int = 0


def relative_error(found: Tensor, wanted: Tensor, centre: Tensor) -> Tensor:
    """Squared error relative to the squared distance from the centre, mean over pixels.

    For small errors it is 2 (1 - centred cosine).

    Args:
        found: (B, K) embeddings.
        wanted: (B, K) the teacher's.
        centre: (K,) the teacher's mean.
    """
    return ((found - wanted).square().sum(1) / (wanted - centre).square().sum(1)).mean()


def finishing_loss(found: Tensor, wanted: Tensor, centre: Tensor, prefixes: tuple[int, ...]) -> Tensor:
    """Mean over prefixes of the `relative_error` of embeddings after storing them in int8."""
    errors = [relative_error(stored(found[:, :k]), wanted[:, :k], centre[:k]) for k in prefixes]
    return torch.stack(errors).mean()


def _embed_batch(network: nn.Module, tokens: PackedTokens, pixels: NDArray[np.int64]) -> Tensor:
    """Embed some pixels (B,) by a network or its quantised form: (B, dims)."""
    inputs = rectangle(tokens.s2, pixels, "s2") | rectangle(tokens.s1, pixels, "s1")
    embedding: Tensor = network(*(torch.from_numpy(inputs[name]) for name in INPUT_NAMES))
    return embedding


@torch.no_grad()
def _embed_all(network: nn.Module, tokens: PackedTokens, pixels: NDArray[np.int64], batch: int) -> Tensor:
    parts = np.split(pixels, range(batch, len(pixels), batch))
    return torch.cat([_embed_batch(network, tokens, part) for part in parts])


def scheme_of(name: str, network: Reference, source: PackedTokens) -> Scheme:
    """The scheme of a name in `SCHEMES`, for a network.

    The fixed scales of `qdq` are the largest magnitudes on some pixels, drawn at random. The export finds its own
    scales for the finished network, after it has moved outliers into the weights. The means of `int8`, which correct
    biases, are those of some pixels too; the export takes simulated ones.
    """
    pixels = np.random.default_rng(0).permutation(len(source))[:WATCHED_PIXELS]
    if name == "int8":
        averaging = Averaging()
        watch(network, averaging, source, pixels[:AVERAGED_PIXELS])
        return FusedInt8(means=averaging.means())
    watching = Watching()
    watch(network, watching, source, pixels)
    return StaticInt8(watching.largest)


def finish(
    network: Reference, source: PackedTokens, config: FinishConfig, report: Callable[[str], None]
) -> Reference:
    """Train a copy of a v2 network so that its quantised form gives the network's float32 embeddings.

    The same network, pixels and configuration on the same number of torch threads give the same copy.

    Args:
        network: a trained network; it is not changed.
        source: the pixels.
        config: how to finish.
        report: called with a line about the progress from time to time, and at the end with the gain.

    Returns:
        The trained copy; an unchanged copy if the error of int8 on pixels kept aside has not become smaller.

    Raises:
        InputError: the network has another generation, or there are fewer than two pixels.
    """
    if network.config.generation != "v2":
        raise InputError(
            f"a {network.config.generation} model can't be finished: its embeddings would no longer match those in "
            "use; use it as it is"
        )
    if len(source) < 2:
        raise InputError(
            f"finishing needs at least 2 pixels with observations, found {len(source)}; give a larger scene"
        )
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
        wanted = _embed_batch(teacher, source, drawn)
        loss = finishing_loss(_embed_batch(quantized, source, drawn), wanted, centre, prefixes)
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
    report(f"{gain}; the network is left unchanged")
    return copy.deepcopy(network).eval()


def main() -> None:
    """Read the command line, and train on one thread. More threads would change the result."""
    parser = argparse.ArgumentParser(
        prog="python -m tessera_export.train.qat",
        description="Finish a checkpoint under int8's rounding, so that int8 gives the embeddings of float32.",
    )
    parser.add_argument("checkpoint", type=Path, help="checkpoint of a v2 student")
    parser.add_argument("scenes", type=Path, nargs="+", help="scenes similar to those to embed")
    parser.add_argument("-o", "--out", type=Path, required=True, help="checkpoint to write (.pt)")
    parser.add_argument("--scheme", choices=SCHEMES, default="int8", help="what it is finished for")
    parser.add_argument("--steps", type=int, default=FinishConfig.steps)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        if arguments.out.exists():
            raise InputError(f"{arguments.out} exists already; choose another -o")
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
