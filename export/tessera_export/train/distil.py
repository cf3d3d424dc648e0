"""Distilling: a small network learns to tell what a large one tells, at every prefix.

One linear head a prefix K reconstructs the frozen teacher's whole embedding from the student's first K dimensions
(Matryoshka, as arXiv 2607.03949 has it); heads are thrown away. The teacher sees a pixel's whole year as it would
when embedding, once, before training begins. The student sees a random draw of it, so that it learns to tell the
same from less.

The loss is the mean over prefixes of the squared error, in units of the teacher's variance: 0 is perfect, and 1 is
no better than the teacher's mean. The weights of prefixes are not known from publications; here they are equal.
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
        s2_lengths, s1_lengths: shortest and longest draw of observations for the student; short ones more often.
    """

    s2_lengths: tuple[int, int] = (8, 64)
    s1_lengths: tuple[int, int] = (12, 120)


class Task(NamedTuple):
    """A view of some pixels, and (B, D) what the teacher says of them."""

    view: View
    target: Tensor


def distil_loss(reconstructions: list[Tensor], target: Tensor, variance: float) -> Tensor:
    """Mean squared error of each prefix's reconstruction, in units of the teacher's variance, averaged.

    Args:
        reconstructions: (B, D) from each prefix.
        target: (B, D) the teacher's embeddings.
        variance: of the teacher's embeddings around their mean, averaged over dimensions.
    """
    errors = [(guess - target).square().mean() for guess in reconstructions]
    return torch.stack(errors).mean() / variance


class Distillation(Objective):
    """The student and its heads, one a prefix, on some pixels that the teacher has embedded."""

    def __init__(self, config: DistilConfig, source: PackedTokens, targets: NDArray[np.float32]) -> None:
        """Make them, untrained.

        Args:
            config: how.
            source: N pixels.
            targets: (N, D) the teacher's embeddings of them; may lie on the disk.
        """
        super().__init__()
        self.config, self.source, self.targets = config, source, targets
        self.network = Reference(config.model)
        self.heads = nn.ModuleList(nn.Linear(length, targets.shape[1]) for length in config.model.prefixes)
        mean = np.mean(targets, axis=0, dtype=np.float64)
        self.variance = float(np.mean(np.square(targets, dtype=np.float64)) - np.mean(mean**2))
        for head in self.heads:
            # from the mean on: what there is to learn is how pixels differ
            head.get_parameter("bias").data.copy_(torch.from_numpy(mean))

    def draw(self, rng: np.random.Generator, pixels: NDArray[np.int64]) -> Task:
        """A view of each pixel, and its target."""
        lengths = draw_length(rng, self.config.s2_lengths), draw_length(rng, self.config.s1_lengths)
        view = draw_view(rng, self.source, pixels, *lengths)
        return Task(view, torch.from_numpy(np.asarray(self.targets[pixels])))

    def forward(self, batch: Task) -> Outputs:
        """The student's embeddings, and the teacher's as each prefix reconstructs them."""
        embedding = self.network(*batch.view)
        heads = zip(self.config.model.prefixes, self.heads, strict=True)
        return Outputs(embedding, [head(embedding[:, :length]) for length, head in heads])

    def loss(self, outputs: Outputs, batch: Task) -> Tensor:
        """How far the reconstructions are from the teacher's embeddings."""
        return distil_loss(outputs.others, batch.target, self.variance)


def begin(config: DistilConfig, source: PackedTokens, targets: NDArray[np.float32]) -> Distillation:
    """An untrained student with its heads; the weights hang on the seed only."""
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
        config: how.
        source: N pixels.
        targets: (N, D) the teacher's embeddings of them.
        report: told a line of progress now and then.
        bfloat16: multiply in bfloat16.
    """
    objective = begin(config, source, targets)
    Loop(objective, len(source), config, bfloat16=bfloat16).run(lambda progress: report(str(progress)))
    return objective.network.eval()


def explained_variance(
    student: NDArray[np.float32], teacher: NDArray[np.float32], held_out: NDArray[np.bool_]
) -> float:
    """R2 of the best linear reconstruction of the teacher's embeddings, on pixels that it wasn't fitted on.

    Args:
        student: (N, K) embeddings, or a prefix of them.
        teacher: (N, D) embeddings of the same pixels.
        held_out: (N,) pixels to measure on; the others are to fit on.
    """
    inputs = np.concatenate([student, np.ones((len(student), 1))], axis=1, dtype=np.float64)
    fit, test = inputs[~held_out], inputs[held_out]
    weights = np.linalg.lstsq(fit, teacher[~held_out].astype(np.float64), rcond=1e-6)[0]
    truth = teacher[held_out].astype(np.float64)
    unexplained = np.square(test @ weights - truth).sum()
    return float(1 - unexplained / np.square(truth - truth.mean(0)).sum())
