"""The model file: one ONNX file a model and precision, which describes itself in its metadata.

This module is the one place that knows the metadata keys, the graph's input and output names and the names of
its initialisers. Exporters write through it, backends read through it.

Graph inputs (B pixels, T tokens, rectangles filled up with multiplicity 0):

    s2               (B, T2, 10) float32   z-scored bands
    s2_doy           (B, T2)     int32     0..366, 0 for the token that stands for "no observation"
    s2_multiplicity  (B, T2)     float32   0 for filling, else how often the token stands
    s1, s1_doy, s1_multiplicity            the same with T1 tokens of 2 bands

v1 models see the order of tokens: they take the whole sequence, see `tokens.sequence`, each token with multiplicity
1, and filling behind it.

Graph output: embedding (B, dims) float32.

Initialisers, for branch b in s2, s1 and layer l (matrices are (in, out), so x @ W + bias; d = d_model):

    b.embedding.0.weight (bands, d)   b.embedding.0.bias (d)
    b.embedding.1.weight (d, d)       b.embedding.1.bias (d)
    b.day_of_year (367, d)
    b.layers.l.qkv.weight (d, 3d)     b.layers.l.qkv.bias (3d)
    b.layers.l.q_norm.weight, b.layers.l.k_norm.weight (head_dim), only with qk_norm
    b.layers.l.out.weight (d, d)      b.layers.l.out.bias (d)
    b.layers.l.norm1.weight (d)       b.layers.l.norm1.bias (d)
    b.layers.l.up.weight (d, ffn)     b.layers.l.up.bias (ffn)
    b.layers.l.down.weight (ffn, d)   b.layers.l.down.bias (d)
    b.layers.l.norm2.weight (d)       b.layers.l.norm2.bias (d)
    b.pool.weight (d, 1)              b.pool.bias (1)
    fusion.0.weight (2d, 4d)          fusion.0.bias (4d)          v1.0: (2d, dims), and no more behind it
    fusion.norm.weight (4d)           fusion.norm.bias (4d)
    fusion.1.weight (4d, dims)        fusion.1.bias (dims)

v1 models have besides, with gates r, z, n side by side (see `tessera_export.reference.GruCell`):

    b.gru.input.weight (d, 3d)        b.gru.input.bias (3d)
    b.gru.hidden.weight (d, 3d)
    b.pool.norm.weight (d)            b.pool.norm.bias (d)

In an int8 file a quantised `X.weight` is stored as `X.weight.int8` (in, out) int8, symmetric per output
channel in -127..127, and `X.weight.scale` (out,) float32: weight = int8 * scale.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tessera_engine.errors import ModelError
from tessera_kernels.rules import RULES

FORMAT_VERSION = 1
"""Raised when a file written by a newer engine can't be read by an older one."""

KEY_PREFIX = "tessera."
KEY_FORMAT_VERSION = KEY_PREFIX + "format_version"

INPUT_NAMES = ("s2", "s2_doy", "s2_multiplicity", "s1", "s1_doy", "s1_multiplicity")
OUTPUT_NAME = "embedding"
DAYS = 367
"""Rows of the day-of-year table: 0 (no observation) and 1..366."""

PRECISIONS = ("fp32", "int8")
GENERATIONS = tuple(RULES)


@dataclass(frozen=True)
class ModelFacts:
    """Every fact about a model that the engine needs; stored as `tessera.<field>` metadata, in JSON."""

    name: str
    """What the user types: `nano`, `demo`, ..."""
    generation: str
    """v2, v1.1 or v1.0: decides the network's pooling and fusion, token rules and code formula."""
    size: str
    """nano, small, medium, large, v1.1, v1.0 or custom."""
    precision: str
    """fp32 or int8."""
    latent_dim: int
    num_layers: int
    num_heads: int
    ffn_dim: int
    qk_norm: bool
    dims: int
    """Length of the whole embedding."""
    prefixes: tuple[int, ...]
    """Lengths at which the embedding may be cut (Matryoshka), ascending, the last is `dims`."""
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
    """What it is, what it was trained on, what it is not: a short text."""
    format_version: int = FORMAT_VERSION

    @property
    def d_model(self) -> int:
        """Width of the encoder layers."""
        return 4 * self.latent_dim

    def to_metadata(self) -> dict[str, str]:
        """The facts as ONNX metadata_props: key -> JSON."""
        return {KEY_PREFIX + key: json.dumps(value) for key, value in asdict(self).items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], source: str) -> ModelFacts:
        """Read the facts back and check them.

        Args:
            metadata: the ONNX file's metadata_props.
            source: the file's name, for messages.

        Raises:
            ModelError: not a tessera-engine model file, of a newer format, or with facts missing or wrong.
        """
        if KEY_FORMAT_VERSION not in metadata:
            raise ModelError(
                f"{source} is an ONNX file but not a tessera-engine model: metadata '{KEY_FORMAT_VERSION}' "
                "is missing; make one with 'tessera-engine export' or 'tessera-engine model import'"
            )
        try:
            version = json.loads(metadata[KEY_FORMAT_VERSION])
            if version != FORMAT_VERSION:
                raise ModelError(
                    f"{source} has model format {version!r}, this engine reads format {FORMAT_VERSION}; "
                    "export it again, or install the engine that wrote it"
                )
            values: dict[str, Any] = {}
            for field in fields(cls):
                value = json.loads(metadata[KEY_PREFIX + field.name])
                values[field.name] = tuple(value) if isinstance(value, list) else value
        except KeyError as error:
            raise ModelError(f"{source}: metadata {error} is missing; export the model again") from None
        except ValueError as error:
            raise ModelError(f"{source}: metadata can't be read ({error}); export the model again") from None
        facts = cls(**values)
        facts.check(source)
        return facts

    def check(self, source: str) -> None:
        """Raise ModelError where the facts can't be true."""
        wrong = {
            "precision": self.precision not in PRECISIONS,
            "generation": self.generation not in GENERATIONS,
            "prefixes": not self.prefixes or self.prefixes[-1] != self.dims,
            "s2_bands": len(self.s2_bands) != 10,
            "s2_mean": len(self.s2_mean) != 10,
            "s2_std": len(self.s2_std) != 10,
            "s1_bands": len(self.s1_bands) != 2,
            "num_heads": self.num_heads < 1 or self.d_model % self.num_heads != 0,
        } | {
            name: len(getattr(self, name)) != 2
            for name in ("s1_ascending_mean", "s1_ascending_std", "s1_descending_mean", "s1_descending_std")
        }
        for name, is_wrong in wrong.items():
            if is_wrong:
                raise ModelError(
                    f"{source}: metadata '{KEY_PREFIX}{name}' is {getattr(self, name)!r}, which this engine "
                    "can't run; export the model again"
                )


@dataclass(frozen=True)
class ModelFile:
    """A model file whose metadata have been read and checked."""

    path: Path
    facts: ModelFacts
    sha256: str

    @property
    def label(self) -> str:
        """Name and precision, for messages."""
        return f"{self.facts.name} ({self.facts.precision})"


def read_model_file(path: Path) -> ModelFile:
    """Read a model file's facts, and hash it.

    Raises:
        ModelError: no such file, not ONNX, not a model of this engine, or of another format version.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    if not path.is_file():
        raise ModelError(f"no model file {path}")
    content = path.read_bytes()
    try:
        proto = onnx.ModelProto.FromString(content)
    except DecodeError:
        proto = onnx.ModelProto()
    if not proto.graph.node:
        raise ModelError(f"{path} is not an ONNX file; give a model file made by 'tessera-engine export'")
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    facts = ModelFacts.from_metadata(metadata, str(path))
    return ModelFile(path, facts, hashlib.sha256(content).hexdigest())


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The initialisers of a model file, by the names that this module documents.

    Raises:
        ModelError: one holds values outside the file.
    """
    import onnx
    from onnx import numpy_helper

    arrays = {}
    for tensor in onnx.load_model(path, load_external_data=False).graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise ModelError(f"{path}: '{tensor.name}' lies in another file; export the model again")
        arrays[tensor.name] = numpy_helper.to_array(tensor)
    return arrays
