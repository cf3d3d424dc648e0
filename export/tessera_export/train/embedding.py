"""Embeds pixels with a network in PyTorch: for the targets of a teacher, and to test trained networks."""

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


def embed_tokens(
    network: Reference | Teacher, tokens: PackedTokens, device: str = "cpu"
) -> NDArray[np.float32]:
    """Embed N pixels from their whole year, like the published code: (N, dims) float32."""
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
        statistics: statistics for its z-scores.
        name: name of its file.
        sha256: sha256 of the file, hex.
        device: `cpu` or `cuda`.
    """

    network: Reference | Teacher
    statistics: Statistics
    name: str
    sha256: str
    device: str

    def targets(self, tokens: PackedTokens) -> NDArray[np.float32]:
        """Embeddings of N pixels whose tokens were packed with its statistics: (N, dims) float32."""
        return embed_tokens(self.network, tokens, self.device)


def open_teacher(path: Path, flavour: str | None = None, device: str = "cpu") -> FrozenTeacher:
    """Load a checkpoint as a teacher: a v2 student, a v1 model, the 2B teacher, or a network of the user.

    Args:
        path: the checkpoint.
        flavour: for a v1.1 checkpoint: `mpc` or `aws`.
        device: `cpu` or `cuda`, where it runs.

    Raises:
        ModelError: the checkpoint can't be used.
        InputError: there is no such flavour, or it is missing.
    """
    if is_teacher(path):
        teacher = load_teacher(path)
        return FrozenTeacher(
            teacher.model.to(device), V2_TEACHER_STATISTICS, teacher.name, teacher.sha256, device
        )
    loaded = load_checkpoint(path)
    statistics = FLAVOURS[loaded.config.generation][flavour_for(loaded, flavour)]
    return FrozenTeacher(loaded.model.to(device), statistics, loaded.name, loaded.sha256, device)
