"""Self-supervised training as for TESSERA: Barlow Twins on two views of a pixel's year.

Two random draws of a pixel's observations must give the same embedding, and its dimensions must not be redundant
(Zbontar et al. 2021, arXiv 2103.03230). The mixed samples of Bandara et al. 2023 (arXiv 2312.02151) reduce overfitting.
The loss is computed on a projection, which is discarded after training. Each Matryoshka prefix has its own projection
and loss, so that every prefix is an embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tessera_engine.tokens import PackedTokens
from tessera_export.reference import Reference
from tessera_export.train.loop import Loop, Objective, Outputs, Pace
from tessera_export.train.views import View, draw_length, draw_view, mix


@dataclass(frozen=True)
class TrainConfig(Pace):
    """How to train.

    Attributes:
        s2_lengths, s1_lengths: shortest and longest draw of observations for a view; short ones are more frequent.
        redundancy: weight of the off-diagonal of the cross-correlation (lambda of Barlow Twins).
        mixup: weight of the loss of mixed samples; 0 leaves them out.
        projector: width of the projection.
        prefix_weight: weight of the loss of each prefix; that of the whole embedding is 1.
    """

    s2_lengths: tuple[int, int] = (5, 64)
    s1_lengths: tuple[int, int] = (6, 120)
    redundancy: float = 0.05
    mixup: float = 1.0
    projector: int = 512
    prefix_weight: float = 0.3


class Projector(nn.Sequential):
    """The projection for the loss: three linear layers with batch normalisation, (B, dims) to (B, width)."""

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
    """The Barlow Twins loss per dimension: (1 - diagonal)^2 + redundancy * sum of off-diagonal^2."""
    diagonal = correlation.diagonal()
    off_diagonal = correlation.square().sum() - diagonal.square().sum()
    return ((1 - diagonal).square().sum() + redundancy * off_diagonal) / len(correlation)


def mixed_loss(mixed: Tensor, a: Tensor, b: Tensor, partner: Tensor, share: float) -> Tensor:
    """Distance of the correlations of mixed samples from the mixture of correlations, per dimension.

    Args:
        mixed: (B, D) projections of `share` of view a and the rest of the partner's view b.
        a: (B, D) projections of the first view.
        b: (B, D) projections of the second view.
        partner: (B,) the pixel that each was mixed with.
        share: share of view a.
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
    """Two views of the same pixels, and mixed samples if they are used."""

    a: View
    b: View
    mixture: Mixture | None


class BarlowTwins(Objective):
    """The network and its projections, one for each prefix, with some pixels."""

    def __init__(self, config: TrainConfig, source: PackedTokens) -> None:
        super().__init__()
        self.config, self.source = config, source
        self.network = Reference(config.model)
        self.projectors = nn.ModuleList(
            Projector(length, config.projector) for length in config.model.prefixes
        )

    def draw(self, rng: np.random.Generator, pixels: NDArray[np.int64]) -> Batch:
        """Draw two views of each pixel."""
        return draw_batch(rng, self.config, self.source, pixels)

    def forward(self, batch: Batch) -> Outputs:
        """Compute embeddings of the first view, and projections of all views, prefix by prefix."""
        views = [batch.a, batch.b]
        if batch.mixture is not None:
            views.append(batch.mixture.view)
        embeddings = [self.network(*view) for view in views]
        projections = [
            projector(embedding[:, :length])
            for length, projector in zip(self.config.model.prefixes, self.projectors, strict=True)
            for embedding in embeddings
        ]
        return Outputs(embeddings[0], projections)

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Sum the losses of the whole embedding and of each prefix."""
        total = outputs.embedding.new_zeros(())
        views = 2 if batch.mixture is None else 3
        for i, length in enumerate(self.config.model.prefixes):
            z = outputs.others[i * views : (i + 1) * views]
            loss = barlow_twins(cross_correlation(z[0], z[1]), self.config.redundancy)
            if batch.mixture is not None:
                weight = self.config.mixup * self.config.redundancy
                loss = loss + weight * mixed_loss(
                    z[2], z[0], z[1], batch.mixture.partner, batch.mixture.share
                )
            total = total + loss * (1 if length == self.config.model.dims else self.config.prefix_weight)
        return total


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


def train(
    config: TrainConfig, source: PackedTokens, report: Callable[[str], None], bfloat16: bool = False
) -> Reference:
    """Train a network from nothing, on the CPU.

    The same configuration, pixels and number of torch threads give the same network.

    Args:
        config: how to train.
        source: the pixels.
        report: called with a line about the progress from time to time.
        bfloat16: multiply in bfloat16.
    """
    objective = begin(config, source)
    Loop(objective, len(source), config, bfloat16=bfloat16).run(lambda latest: report(str(latest)))
    return objective.network.eval()


def begin(config: TrainConfig, source: PackedTokens) -> BarlowTwins:
    """An untrained network with its projections. The weights depend on the seed only."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return BarlowTwins(config, source)
