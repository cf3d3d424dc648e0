"""Embedding pixels with a network in PyTorch: a teacher's targets, and tests of what was trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tessera_engine.backends.rectangles import batches, rectangle
from tessera_engine.model.file import INPUT_NAMES
from tessera_engine.model.statistics import FLAVOURS, V2_TEACHER_STATISTICS, Statistics
from tessera_engine.tokens import PackedTokens, sequence
from tessera_export.checkpoint import load_checkpoint
from tessera_export.flavour import flavour_for
from tessera_export.reference import Reference
from tessera_export.teacher import Teacher, is_teacher, load_teacher

BATCH_TOKENS = 1 << 15


def embed(network: Reference | Teacher, tokens: PackedTokens, device: str = "cpu") -> NDArray[np.float32]:
    """Embed pixels: (N, dims) float32, from their whole year as the published code would take it."""
    tokens = sequence(tokens, network.config.generation)
    embedding = np.empty((len(tokens), network.config.dims), np.float32)
    with torch.inference_mode():
        for pixels in batches(tokens, BATCH_TOKENS):
            inputs = rectangle(tokens.s2, pixels, "s2") | rectangle(tokens.s1, pixels, "s1")
            arguments = (torch.from_numpy(inputs[name]).to(device) for name in INPUT_NAMES)
            embedding[pixels] = network(*arguments).cpu().numpy()
    return embedding


@dataclass(frozen=True)
class FrozenTeacher:
    """A network to distil from.

    Attributes:
        network: in eval mode, on the device.
        statistics: what it z-scores with.
        name: its file's name.
        sha256: of the file.
        device: `cpu` or `cuda`.
    """

    network: Reference | Teacher
    statistics: Statistics
    name: str
    sha256: str
    device: str

    def embed(self, tokens: PackedTokens) -> NDArray[np.float32]:
        """(N, dims) float32 of tokens that were packed with its statistics."""
        return embed(self.network, tokens, self.device)


def open_teacher(path: Path, flavour: str | None = None, device: str = "cpu") -> FrozenTeacher:
    """Load any checkpoint as a teacher: of a v2 student, of v1, of the 2B teacher, or of a network of one's own.

    Args:
        path: the checkpoint.
        flavour: of a v1.1 checkpoint: `mpc` or `aws`.
        device: where it shall run.

    Raises:
        ModelError: it can't be used.
        InputError: the flavour can't be had, or is missing.
    """
    if is_teacher(path):
        teacher = load_teacher(path)
        return FrozenTeacher(
            teacher.model.to(device), V2_TEACHER_STATISTICS, teacher.name, teacher.sha256, device
        )
    loaded = load_checkpoint(path)
    statistics = FLAVOURS[loaded.config.generation][flavour_for(loaded, flavour)]
    return FrozenTeacher(loaded.model.to(device), statistics, loaded.name, loaded.sha256, device)
