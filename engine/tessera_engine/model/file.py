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

Files for GPUs (fp16, and qdq: int8 with explicit Q/DQ) have the same inputs, output and names. Their weights are
float16, but for pooling, fusion, recurrence and RMS norms. The attention's scale is in the weights of the queries, and
heads are filled up with zeros to h = `model_layout.gpu_head_dim` channels: qkv.weight is (d, 3 * heads * h), out.weight
(heads * h, d). In a qdq file a quantised layer X has `X.weight.int8`, `X.weight.scale` (float16), and
`X.input.scale` () float16: its input's codes are round(x / scale), -128..127.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tessera_engine.errors import ModelError
from tessera_engine.model.check import check_graph, initializer_values
from tessera_engine.model.layout import DAYS as DAYS
from tessera_engine.model.statistics import FLAVOURS
from tessera_engine.scene import S1_BANDS, S2_BANDS

FORMAT_VERSION = 1
"""Raised when a file written by a newer engine can't be read by an older one."""

KEY_PREFIX = "tessera."
KEY_FORMAT_VERSION = KEY_PREFIX + "format_version"

INPUT_NAMES = ("s2", "s2_doy", "s2_multiplicity", "s1", "s1_doy", "s1_multiplicity")
OUTPUT_NAME = "embedding"
MAX_BYTES = 1 << 29
"""Three times the largest student in float32; a larger file is something else, and is not read into memory."""

LARGEST = {"latent_dim": 1024, "num_layers": 64, "num_heads": 64, "ffn_dim": 16384, "dims": 4096}
"""Largest believable value of each size, in a model file and in a checkpoint."""

LONGEST_TEXT = 4096
"""Characters that a fact in words may have; the longest card so far has 700."""

PRECISIONS = ("fp32", "int8", "fp16", "qdq")
GENERATIONS = tuple(FLAVOURS)

NAME = re.compile(r"\w[\w.-]{0,99}", re.ASCII)
"""What a model's name is made of."""


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
    """One of `PRECISIONS`: fp32; int8 with scales a token; for GPUs fp16, and qdq: int8 with calibrated scales."""
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

    @property
    def is_int8(self) -> bool:
        """Whether its matrices are multiplied in int8: then codes are stored too, unless asked otherwise."""
        return self.precision in ("int8", "qdq")

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
        values: dict[str, Any] = {}
        try:
            version = json.loads(metadata[KEY_FORMAT_VERSION])
            if version != FORMAT_VERSION:
                raise ModelError(
                    f"{source} has model format {str(version)[:40]!r}, this engine reads format {FORMAT_VERSION}; "
                    "export it again, or install the engine that wrote it"
                )
            for field in fields(cls):
                value = json.loads(metadata[KEY_PREFIX + field.name])
                values[field.name] = tuple(value) if isinstance(value, list) else value
        except KeyError as error:
            raise ModelError(f"{source}: metadata {error} is missing; export the model again") from None
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{source}: metadata can't be read ({error}); export the model again") from None
        unknown = [key for key in metadata if key not in {KEY_PREFIX + field.name for field in fields(cls)}]
        if unknown:
            raise ModelError(
                f"{source}: metadata has the unknown {unknown[0][:80]!r}; export the model again"
            )
        facts = cls(**values)
        facts.check(source)
        return facts

    def check(self, source: str) -> None:
        """Raise ModelError where the facts can't be true."""
        right = {
            "precision": self.precision in PRECISIONS,
            "generation": self.generation in GENERATIONS,
            "qk_norm": type(self.qk_norm) is bool,
            "s2_bands": self.s2_bands == S2_BANDS,
            "s1_bands": self.s1_bands == S1_BANDS,
            # It becomes part of file names, and of what is printed
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
        rising = isinstance(prefixes, tuple) and all(_is_size(prefix, self.dims) for prefix in prefixes)
        if not rising or sorted(set(prefixes)) != list(prefixes) or prefixes[-1:] != (self.dims,):
            raise self._wrong(source, "prefixes")

    def _wrong(self, source: str, name: str) -> ModelError:
        return ModelError(
            f"{source}: metadata '{KEY_PREFIX}{name}' is {repr(getattr(self, name))[:80]}, which this engine "
            "can't run; export the model again"
        )


def _is_size(value: object, largest: int) -> bool:
    return type(value) is int and 1 <= value <= largest


def _is_text(value: object) -> bool:
    """Words without control characters: they are shown in a terminal."""
    return isinstance(value, str) and len(value) <= LONGEST_TEXT and value.replace("\n", "").isprintable()


def _are_numbers(values: object, length: int) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) == length
        and all(type(value) in (int, float) and abs(value) < 1e6 for value in values)
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
    """Read a model file's facts, check all of its graph and weights, and hash it.

    Raises:
        ModelError: no such file, not ONNX, not a model of this engine, of another format version, damaged, or with
            anything in it that this engine doesn't write.
    """
    content = _read(path)
    proto = _parse(content, path)
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    facts = ModelFacts.from_metadata(metadata, str(path))
    check_graph(proto, facts, str(path))
    return ModelFile(path, facts, hashlib.sha256(content).hexdigest())


def read_content(model: ModelFile) -> bytes:
    """The bytes of a model file that was checked: what a backend gives to its runtime, never the path.

    Raises:
        ModelError: the file is not the one that was checked any more.
    """
    content = _read(model.path)
    if hashlib.sha256(content).hexdigest() != model.sha256:
        raise ModelError(f"{model.path} changed while it was being loaded; run again")
    return content


def read_arrays(model: ModelFile) -> dict[str, NDArray[Any]]:
    """The initialisers of a checked model file, by the names that this module documents; read-only.

    Raises:
        ModelError: the file is not the one that was checked any more.
    """
    proto = _parse(read_content(model), model.path)
    return {tensor.name: initializer_values(tensor) for tensor in proto.graph.initializer}


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise ModelError(f"no model file {path}")
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ModelError(f"{path} has {size:,} bytes, a model file at most {MAX_BYTES:,}; not opened")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"can't read the model file {path}: {error.strerror}") from None


def _parse(content: bytes, path: Path) -> Any:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        proto = onnx.ModelProto.FromString(content)
    except DecodeError:
        proto = onnx.ModelProto()
    if not proto.graph.node:
        raise ModelError(f"{path} is not an ONNX file; give a model file made by 'tessera-engine export'")
    return proto
