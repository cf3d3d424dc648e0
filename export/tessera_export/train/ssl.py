"""Self-supervised training as TESSERA does it: Barlow Twins on two views of a pixel's year.

Two random draws of a pixel's observations shall give the same embedding, whose dimensions shall not repeat each
other (Zbontar et al. 2021, arXiv 2103.03230), with the mixed samples of Bandara et al. 2023 (arXiv 2312.02151)
against overfitting. The loss is on a projection that is thrown away. Each Matryoshka prefix has a projection and a
loss of its own, so that every prefix is an embedding.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tessera_engine.tokens import PackedTokens
from tessera_export.reference import Reference, ReferenceConfig
from tessera_export.train.views import View, draw_view, mix


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Attributes:
        model: the network's shape.
        steps: optimiser steps.
        batch: pixels a step, drawn over all scenes.
        s2_lengths, s1_lengths: shortest and longest draw of observations; anew for each view, short ones more often.
        learning_rate: its peak.
        warmup: steps until the peak; then it falls to 0 along a cosine.
        weight_decay: of AdamW, on matrices only.
        redundancy: weight of the off-diagonal of the cross-correlation (Barlow Twins' lambda).
        mixup: weight of the loss of mixed samples; 0 leaves them out.
        projector: width of the projection.
        prefix_weight: weight of each prefix's loss; the whole embedding's is 1.
        seed: of weights, dropout and draws.
    """

    model: ReferenceConfig
    steps: int
    batch: int = 256
    s2_lengths: tuple[int, int] = (5, 64)
    s1_lengths: tuple[int, int] = (6, 120)
    learning_rate: float = 2e-3
    warmup: int = 40
    weight_decay: float = 0.01
    redundancy: float = 0.05
    mixup: float = 1.0
    projector: int = 512
    prefix_weight: float = 0.3
    seed: int = 0


class Projector(nn.Sequential):
    """The projection that the loss is on: three linear layers with batch normalisation, (B, dims) to (B, width)."""

    def __init__(self, dims: int, width: int) -> None:
        super().__init__(
            nn.Linear(dims, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, width, bias=False),
        )


def cross_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Correlation over the batch of each dimension of `a` with each of `b`: (B, D), (B, D) -> (D, D)."""

    def standardise(x: Tensor) -> Tensor:
        return (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()

    return standardise(a).T @ standardise(b) / len(a)


def barlow_twins(correlation: Tensor, redundancy: float) -> Tensor:
    """The Barlow Twins loss, a dimension: (1 - diagonal)^2 + redundancy * sum of off-diagonal^2."""
    diagonal = correlation.diagonal()
    off_diagonal = correlation.square().sum() - diagonal.square().sum()
    return ((1 - diagonal).square().sum() + redundancy * off_diagonal) / len(correlation)


def mixed_loss(mixed: Tensor, a: Tensor, b: Tensor, partner: Tensor, share: float) -> Tensor:
    """How far mixed samples' correlations are from the mixture of correlations, a dimension.

    Args:
        mixed: (B, D) projections of `share` of view a and the rest of the partner's view b.
        a: (B, D) projections of the first view.
        b: (B, D) projections of the second view.
        partner: (B,) which pixel each was mixed with.
        share: of view a.
    """
    loss = torch.zeros((), device=a.device)
    other = b[partner]
    for view in (a, b):
        expected = share * cross_correlation(a, view) + (1 - share) * cross_correlation(other, view)
        loss = loss + (cross_correlation(mixed, view) - expected).square().sum()
    return loss / a.shape[1]


class Mixture(NamedTuple):
    """Mixed samples of a batch: `share` of each pixel's first view, the rest of its partner's (B,)."""

    view: View
    partner: Tensor
    share: float


class Batch(NamedTuple):
    """Two views of the same pixels, and mixed samples where they are wanted."""

    a: View
    b: View
    mixture: Mixture | None


class Trainer:
    """A network, its projections and its optimiser."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.network = Reference(config.model)
        self.projectors = nn.ModuleList(
            Projector(length, config.projector) for length in config.model.prefixes
        )
        parameters = [*self.network.parameters(), *self.projectors.parameters()]
        decayed = [p for p in parameters if p.ndim > 1]
        kept = [p for p in parameters if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": config.weight_decay}, {"params": kept, "weight_decay": 0.0}],
            lr=config.learning_rate,
        )
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._rate)

    def _rate(self, step: int) -> float:
        """Linear warm-up, then a cosine to 0, as a part of the peak."""
        if step < self.config.warmup:
            return (step + 1) / self.config.warmup
        done = (step - self.config.warmup) / max(1, self.config.steps - self.config.warmup)
        return 0.5 + 0.5 * math.cos(math.pi * min(done, 1.0))

    def loss(self, batch: Batch) -> Tensor:
        """The loss of one batch."""
        views = [batch.a, batch.b]
        if batch.mixture is not None:
            views.append(batch.mixture.view)
        embeddings = [self.network(*view) for view in views]
        total = torch.zeros(())
        for length, projector in zip(self.config.model.prefixes, self.projectors, strict=True):
            z = [projector(embedding[:, :length]) for embedding in embeddings]
            loss = barlow_twins(cross_correlation(z[0], z[1]), self.config.redundancy)
            if batch.mixture is not None:
                weight = self.config.mixup * self.config.redundancy
                loss = loss + weight * mixed_loss(
                    z[2], z[0], z[1], batch.mixture.partner, batch.mixture.share
                )
            total = total + loss * (1 if length == self.config.model.dims else self.config.prefix_weight)
        return total

    def step(self, batch: Batch) -> float:
        """One optimiser step; gives the loss before it."""
        self.network.train()
        loss = self.loss(batch)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.scheduler.step()
        return loss.item()


def draw_length(rng: np.random.Generator, bounds: tuple[int, int]) -> int:
    """How many observations to draw: the exponent between the bounds is the square of a uniform number.

    Short draws are cheap and hard to match, so they teach most; all of a year has to be met now and then.
    """
    low, high = bounds
    length: float = low * (high / low) ** (rng.random() ** 2)
    return round(length)


def draw_batch(
    rng: np.random.Generator, config: TrainConfig, source: PackedTokens, pixels: NDArray[np.int64]
) -> Batch:
    """Draw two views of some pixels (B,), and mix the first with a view of other pixels."""
    lengths = [(draw_length(rng, config.s2_lengths), draw_length(rng, config.s1_lengths)) for _ in range(2)]
    a, b = (draw_view(rng, source, pixels, *length) for length in lengths)
    if not config.mixup:
        return Batch(a, b, None)
    partner = rng.permutation(len(pixels))
    share = float(rng.random())
    mixed = mix(a, draw_view(rng, source, pixels[partner], *lengths[0]), share)
    return Batch(a, b, Mixture(mixed, torch.from_numpy(partner), share))


def train(config: TrainConfig, source: PackedTokens, report: Callable[[str], None]) -> Reference:
    """Train a network from nothing.

    The same configuration, pixels and number of torch threads give the same network.

    Args:
        config: how.
        source: the pixels.
        report: told a line of progress now and then.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        trainer = Trainer(config)
        rng = np.random.default_rng(config.seed)
        queue = np.empty(0, np.int64)
        losses: list[float] = []
        start = time.monotonic()
        for step in range(1, config.steps + 1):
            # every pixel of every scene once before any twice
            while len(queue) < config.batch:
                queue = np.concatenate([queue, rng.permutation(len(source))])
            pixels, queue = queue[: config.batch], queue[config.batch :]
            losses.append(trainer.step(draw_batch(rng, config, source, pixels)))
            if step % 20 == 0 or step == config.steps:
                seconds = time.monotonic() - start
                report(f"step {step}/{config.steps}: loss {np.mean(losses):.4f}, {seconds:.0f} s")
                losses.clear()
    return trainer.network.eval()
