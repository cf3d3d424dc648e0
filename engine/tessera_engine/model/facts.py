"""The facts about a model that its file records, and the check that they can be true."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from tessera_engine.errors import ModelError
from tessera_engine.files.document import Damaged, parse
from tessera_engine.model.statistics import FLAVOURS
from tessera_engine.scene import S1_BANDS, S2_BANDS

FORMAT_VERSIONS = (1, 2)
"""Versions of the file format that this engine reads; 2 has the fusion's weights of int8 files in int16, 1 in int8."""

KEY_PREFIX = "tessera."
KEY_FORMAT_VERSION = KEY_PREFIX + "format_version"

PRECISIONS = ("fp32", "int8", "fp16", "qdq")

GPU_PRECISIONS = ("fp16", "qdq")
"""Precisions of files for GPUs: float16, and int8 with explicit QuantizeLinear and DequantizeLinear (Q/DQ)."""

GENERATIONS = tuple(FLAVOURS)

LARGEST = {"latent_dim": 1024, "num_layers": 64, "num_heads": 64, "ffn_dim": 16384, "dims": 4096}
"""Upper limit of each size, in a model file and in a checkpoint."""

LONGEST_TEXT = 4096
"""Most characters of a fact in words; the longest card so far has 700."""

NAME = re.compile(r"\w[\w.-]{0,99}", re.ASCII)
"""What a model's name must look like."""


@dataclass(frozen=True)
class ModelFacts:
    """Every fact about a model that the engine needs; stored as `tessera.<field>` metadata, in JSON."""

    name: str
    """What the user types: `nano`, `demo`, ..."""
    generation: str
    """v2, v1.1 or v1.0. It sets the network's pooling and fusion, the token rules and the formula of codes."""
    size: str
    """nano, small, medium, large, v1.1, v1.0 or custom."""
    precision: str
    """One of `PRECISIONS`: fp32; int8 with a scale per token; for GPUs fp16, and qdq: int8 with calibrated scales."""
    latent_dim: int
    num_layers: int
    num_heads: int
    ffn_dim: int
    qk_norm: bool
    dims: int
    """Length of the whole embedding."""
    prefixes: tuple[int, ...]
    """Lengths to which the embedding may be cut (Matryoshka), ascending; the last is `dims`."""
    s2_bands: tuple[str, ...]
    s2_mean: tuple[float, ...]
    s2_std: tuple[float, ...]
    s1_bands: tuple[str, ...]
    s1_ascending_mean: tuple[float, ...]
    s1_ascending_std: tuple[float, ...]
    s1_descending_mean: tuple[float, ...]
    s1_descending_std: tuple[float, ...]
    quantization: str
    """How weights and activations were quantised, in words; `none` for fp32."""
    checkpoint_name: str
    checkpoint_sha256: str
    licence: str
    card: str
    """A short text: what the model is, what it was trained on, what it is not."""
    format_version: int = FORMAT_VERSIONS[0]
    """One of `FORMAT_VERSIONS`. A file has the oldest one that describes it, so that older engines read it too."""

    @property
    def d_model(self) -> int:
        """Width of the encoder layers."""
        return 4 * self.latent_dim

    @property
    def is_int8(self) -> bool:
        """Whether its matrices are multiplied in int8. Embeddings are then stored as int8 by default."""
        return self.precision in ("int8", "qdq")

    def to_metadata(self) -> dict[str, str]:
        """The facts as ONNX metadata_props: key -> JSON."""
        return {KEY_PREFIX + key: json.dumps(value) for key, value in asdict(self).items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], source: str) -> ModelFacts:
        """Read the facts from metadata and check them.

        Args:
            metadata: the ONNX file's metadata_props.
            source: the file's name, for messages.

        Raises:
            ModelError: not a tessera-engine model file, a newer format, or missing or wrong facts.
        """
        if KEY_FORMAT_VERSION not in metadata:
            raise ModelError(
                f"{source} is an ONNX file but not a tessera-engine model: metadata '{KEY_FORMAT_VERSION}' "
                "is missing; make one with 'tessera-engine export' or 'tessera-engine model import'"
            )
        values: dict[str, Any] = {}
        try:
            version = parse(metadata[KEY_FORMAT_VERSION])
            if type(version) is not int or version not in FORMAT_VERSIONS:
                raise ModelError(
                    f"{source} has model format {str(version)[:40]!r}, this engine reads formats "
                    f"{' and '.join(map(str, FORMAT_VERSIONS))}; export it again, or install the engine that wrote it"
                )
            for field in fields(cls):
                value = parse(metadata[KEY_PREFIX + field.name])
                values[field.name] = tuple(value) if isinstance(value, list) else value
        except KeyError as error:
            raise ModelError(f"{source}: metadata {error} is missing; export the model again") from None
        except Damaged as error:
            raise ModelError(f"{source}: metadata can't be read ({error}); export the model again") from None
        unknown = [key for key in metadata if key not in {KEY_PREFIX + field.name for field in fields(cls)}]
        if unknown:
            raise ModelError(
                f"{source}: metadata has the unknown key {unknown[0][:80]!r}; export the model again"
            )
        facts = cls(**values)
        facts.check(source)
        return facts

    def check(self, source: str) -> None:
        """Raise ModelError if the facts can't be true."""
        right = {
            "precision": self.precision in PRECISIONS,
            "generation": self.generation in GENERATIONS,
            "qk_norm": type(self.qk_norm) is bool,
            "format_version": self.format_version == FORMAT_VERSIONS[0] or self.precision == "int8",
            "s2_bands": self.s2_bands == S2_BANDS,
            "s1_bands": self.s1_bands == S1_BANDS,
            # The name becomes part of file names and of printed text
            "name": isinstance(self.name, str) and NAME.fullmatch(self.name) is not None,
        }
        right |= {name: _is_size(getattr(self, name), largest) for name, largest in LARGEST.items()}
        for name in ("size", "quantization", "checkpoint_name", "checkpoint_sha256", "licence", "card"):
            right[name] = _is_text(getattr(self, name))
        for modality, length in (("s2", 10), ("s1_ascending", 2), ("s1_descending", 2)):
            mean, std = getattr(self, f"{modality}_mean"), getattr(self, f"{modality}_std")
            right[f"{modality}_mean"] = _are_numbers(mean, length)
            right[f"{modality}_std"] = _are_numbers(std, length) and min(std) > 0
        for name, is_right in right.items():
            if not is_right:
                raise self._wrong(source, name)
        if self.d_model % self.num_heads:
            raise self._wrong(source, "num_heads")
        prefixes = self.prefixes
        are_sizes = isinstance(prefixes, tuple) and all(_is_size(prefix, self.dims) for prefix in prefixes)
        if not are_sizes or sorted(set(prefixes)) != list(prefixes) or prefixes[-1:] != (self.dims,):
            raise self._wrong(source, "prefixes")

    def _wrong(self, source: str, name: str) -> ModelError:
        return ModelError(
            f"{source}: metadata '{KEY_PREFIX}{name}' is {repr(getattr(self, name))[:80]}, which this engine "
            "can't run; export the model again"
        )


def _is_size(value: object, largest: int) -> bool:
    return type(value) is int and 1 <= value <= largest


def _is_text(value: object) -> bool:
    """Text without control characters, since it is shown in a terminal."""
    return isinstance(value, str) and len(value) <= LONGEST_TEXT and value.replace("\n", "").isprintable()


def _are_numbers(values: object, length: int) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) == length
        and all(type(value) in (int, float) and abs(value) < 1e6 for value in values)
    )
