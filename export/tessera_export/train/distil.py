"""Distillation: a small network learns to predict the embeddings of a large one, from every prefix.

For each prefix of length K, a linear head reconstructs the frozen teacher's whole embedding from the student's first K
dimensions (Matryoshka, as in arXiv 2607.03949). The heads are discarded after training. The teacher embeds the whole
year of each pixel once, before training. The student gets a random draw of the year, so that it learns to predict the
same from fewer observations.

The loss is the mean squared error over prefixes, in units of the teacher's variance: 0 is perfect, 1 is as good as the
teacher's mean. The weights of prefixes have not been published; here they are equal.
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
from tessera_export.train.views import View, draw_length, draw_view


@dataclass(frozen=True)
class DistilConfig(Pace):
    """How to distil.

    Attributes:
        s2_lengths, s1_lengths: shortest and longest draw of observations for the student; short ones are more frequent.
    """

    s2_lengths: tuple[int, int] = (8, 64)
    s1_lengths: tuple[int, int] = (12, 120)


class Task(NamedTuple):
    """A view of some pixels, and the teacher's embeddings of them, (B, D)."""

    view: View
    target: Tensor


def distil_loss(reconstructions: list[Tensor], target: Tensor, variance: float) -> Tensor:
    """Mean squared error of each prefix's reconstruction, in units of the teacher's variance, averaged.

    Args:
        reconstructions: (B, D) from each prefix.
        target: (B, D) the teacher's embeddings.
        variance: variance of the teacher's embeddings, averaged over dimensions.
    """
    errors = [(guess - target).square().mean() for guess in reconstructions]
    return torch.stack(errors).mean() / variance


class Distillation(Objective):
    """The student and its heads, one for each prefix, with pixels that the teacher has embedded."""

    def __init__(self, config: DistilConfig, source: PackedTokens, targets: NDArray[np.float32]) -> None:
        """Make student and heads, untrained.

        Args:
            config: how to distil.
            source: N pixels.
            targets: (N, D) the teacher's embeddings of them; may be mapped from the disk.
        """
        super().__init__()
        self.config, self.source, self.targets = config, source, targets
        self.network = Reference(config.model)
        self.heads = nn.ModuleList(nn.Linear(length, targets.shape[1]) for length in config.model.prefixes)
        mean = np.mean(targets, axis=0, dtype=np.float64)
        self.variance = float(np.mean(np.square(targets, dtype=np.float64)) - np.mean(mean**2))
        for head in self.heads:
            # Start with the mean, so that only the differences of pixels have to be learnt
            head.get_parameter("bias").data.copy_(torch.from_numpy(mean))

    def draw(self, rng: np.random.Generator, pixels: NDArray[np.int64]) -> Task:
        """Draw a view of each pixel, and take its target."""
        lengths = draw_length(rng, self.config.s2_lengths), draw_length(rng, self.config.s1_lengths)
        view = draw_view(rng, self.source, pixels, *lengths)
        return Task(view, torch.from_numpy(np.asarray(self.targets[pixels])))

    def forward(self, batch: Task) -> Outputs:
        """Compute the student's embeddings, and the teacher's as reconstructed from each prefix."""
        embedding = self.network(*batch.view)
        heads = zip(self.config.model.prefixes, self.heads, strict=True)
        return Outputs(embedding, [head(embedding[:, :length]) for length, head in heads])

    def loss(self, outputs: Outputs, batch: Task) -> Tensor:
        """Compute the distance of the reconstructions from the teacher's embeddings."""
        return distil_loss(outputs.others, batch.target, self.variance)


def begin(config: DistilConfig, source: PackedTokens, targets: NDArray[np.float32]) -> Distillation:
    """An untrained student with its heads. The weights depend on the seed only."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return Distillation(config, source, targets)


def distil(
    config: DistilConfig,
    source: PackedTokens,
    targets: NDArray[np.float32],
    report: Callable[[str], None],
    bfloat16: bool = False,
) -> Reference:
    """Distil a network, on the CPU.

    The same configuration, pixels, targets and number of torch threads give the same network.

    Args:
        config: how to distil.
        source: N pixels.
        targets: (N, D) the teacher's embeddings of them.
        report: called with a line about the progress from time to time.
        bfloat16: multiply in bfloat16.
    """
    objective = begin(config, source, targets)
    Loop(objective, len(source), config, bfloat16=bfloat16).run(lambda latest: report(str(latest)))
    return objective.network.eval()


def explained_variance(
    student: NDArray[np.float32], teacher: NDArray[np.float32], held_out: NDArray[np.bool_]
) -> float:
    """R2 of the best linear reconstruction of the teacher's embeddings, on pixels that were not used for the fit.

    Args:
        student: (N, K) embeddings, or a prefix of them.
        teacher: (N, D) embeddings of the same pixels.
        held_out: (N,) whether a pixel is used to measure; the others are used to fit.
    """
    inputs = np.concatenate([student, np.ones((len(student), 1))], axis=1, dtype=np.float64)
    fit, test = inputs[~held_out], inputs[held_out]
    weights = np.linalg.lstsq(fit, teacher[~held_out].astype(np.float64), rcond=1e-6)[0]
    truth = teacher[held_out].astype(np.float64)
    unexplained = np.square(test @ weights - truth).sum()
    return float(1 - unexplained / np.square(truth - truth.mean(0)).sum())
