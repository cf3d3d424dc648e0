"""TESSERA's 2B teacher in PyTorch, from which the published students were distilled. It is only for distilling.

It uses parts of the students' `reference` and differs from it as follows: layers are pre-norm with QK norm; the two
pooled branches are the two tokens of a fusion transformer, each with a learned vector for its branch; their outputs,
side by side, are the input of the same kind of MLP. The names give `state_dict()` the keys of the published
checkpoint, and the number of parameters is the published one. The token rules are those of the students; Sentinel-1 is
z-scored with the same statistics for both orbits.

A teacher checkpoint is a torch file `{"arch": {...}, "encoder_state_dict": state_dict}` of 8.26 GB. Its weights stay
on the disk until they are used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from tessera_engine.errors import ModelError
from tessera_engine.scene import S1_BANDS, S2_BANDS
from tessera_export.checkpoint import checked_weights, unpickle
from tessera_export.reference import Backbone, Encoder, QKNormEncoderLayer, ReferenceConfig, dim_reducer

FUSION_LAYERS = 2

TEACHER_2B = ReferenceConfig(1024, 4, 4, 16384, dims=1024, prefixes=(1024,), qk_norm=True)
"""The published teacher. Its embedding has one prefix only, the whole of it."""

ARCH = {
    "repr_dim": "dims",
    "latent_dim": "latent_dim",
    "num_layers": "num_layers",
    "nhead": "num_heads",
    "dim_feedforward": "ffn_dim",
}
"""Name in the checkpoint's `arch` -> our name."""


class PreNormLayer(QKNormEncoderLayer):
    """A layer with the parameters of the students' QK-norm layer, but with the norms before its parts, not after."""

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """From x (B, T, d), bias (B, T) to (B, T, d)."""
        x = x + self.attention(self.norm1(x), bias)
        out: Tensor = x + self.linear2(self.linear1(self.norm2(x)).relu())
        return out


class PreNormEncoder(Encoder):
    """A stack of such layers."""

    layer = PreNormLayer


class TeacherBackbone(Backbone):
    """One modality's branch."""

    @staticmethod
    def encoder(config: ReferenceConfig) -> nn.Module:
        """Pre-norm layers."""
        return PreNormEncoder(config)


class Teacher(nn.Module):
    """The 2B teacher, or a network of the same form and another size."""

    def __init__(self, config: ReferenceConfig) -> None:
        super().__init__()
        self.config = config
        d = config.d_model
        self.s2_backbone = TeacherBackbone(config, len(S2_BANDS))
        self.s1_backbone = TeacherBackbone(config, len(S1_BANDS))
        self.fusion_modality_embed = nn.Parameter(torch.zeros(2, d))
        self.fusion_transformer = PreNormEncoder(replace(config, num_layers=FUSION_LAYERS, ffn_dim=2 * d))
        self.dim_reducer = dim_reducer(config)

    def forward(
        self,
        s2: Tensor,
        s2_doy: Tensor,
        s2_multiplicity: Tensor,
        s1: Tensor,
        s1_doy: Tensor,
        s1_multiplicity: Tensor,
    ) -> Tensor:
        """Embed a rectangle of tokens: arguments and result are those of `Reference.forward`."""
        branches = (
            self.s2_backbone(s2, s2_doy, s2_multiplicity),
            self.s1_backbone(s1, s1_doy, s1_multiplicity),
        )
        tokens = torch.stack(branches, dim=1) + self.fusion_modality_embed  # (B, 2, d)
        tokens = self.fusion_transformer(tokens, tokens.new_zeros(tokens.shape[:2]))
        embedding: Tensor = self.dim_reducer(tokens.flatten(1))
        return F.layer_norm(embedding, embedding.shape[1:])


@dataclass(frozen=True)
class TeacherCheckpoint:
    """A teacher's checkpoint that has been read and checked.

    Attributes:
        model: the network on the CPU, in eval mode.
        name: the file's name.
        sha256: of the file's bytes, hex.
    """

    model: Teacher
    name: str
    sha256: str


def is_teacher(path: Path) -> bool:
    """Whether a torch file has the layout of a teacher's checkpoint.

    Raises:
        ModelError: it can't be read as a torch file.
    """
    content = _content(path)
    return isinstance(content, Mapping) and "encoder_state_dict" in content


def load_teacher(path: Path | str) -> TeacherCheckpoint:
    """Read a teacher's checkpoint. Nothing in the file is run.

    Raises:
        ModelError: the file can't be read, it is not such a checkpoint, or its weights have other shapes than `arch`
            describes.
    """
    path = Path(path)
    content = _content(path)
    if not isinstance(content, Mapping) or not {"arch", "encoder_state_dict"} <= content.keys():
        raise ModelError(f"{path} is not a teacher's checkpoint: 'arch' or 'encoder_state_dict' is missing")
    config = _config(content["arch"], path)
    with torch.device("meta"):
        model = Teacher(config)
    weights = checked_weights(content["encoder_state_dict"], model.state_dict(), "'arch'", path)
    model.load_state_dict(weights, assign=True)
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 24):
            digest.update(block)
    return TeacherCheckpoint(model.eval(), path.name, digest.hexdigest())


def _content(path: Path) -> Any:
    try:
        return unpickle(path, path)
    except OSError as error:
        raise ModelError(f"can't read the checkpoint {path}: {error.strerror}") from None


def _config(arch: Any, path: Path) -> ReferenceConfig:
    """The shape that `arch` describes, checked to be no larger than the published one."""
    if not isinstance(arch, Mapping):
        raise ModelError(f"{path}: 'arch' is a {type(arch).__name__}, expected a dict of the model's shape")
    if arch.get("final_layernorm", True) is not True:
        raise ModelError(f"{path}: arch 'final_layernorm' is not True, as in the published teacher")
    shape: dict[str, Any] = {}
    for theirs, ours in ARCH.items():
        value, largest = arch.get(theirs), getattr(TEACHER_2B, ours)
        if type(value) is not int or not 1 <= value <= largest:
            raise ModelError(
                f"{path}: arch '{theirs}' is {str(value)[:40]!r}, expected an integer 1..{largest}"
            )
        shape[ours] = value
    if 4 * shape["latent_dim"] % shape["num_heads"]:
        raise ModelError(
            f"{path}: arch 'nhead' is not a divisor of 4 * latent_dim = {4 * shape['latent_dim']}"
        )
    return replace(TEACHER_2B, **shape, prefixes=(shape["dims"],))
