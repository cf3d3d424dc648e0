"""The model file: one ONNX file per model and precision. Its metadata describe the model, see `ModelFacts`.

This text defines the graph's inputs and output and the names of its initialisers. Exporters write such files, backends
read them.

Graph inputs (B pixels, T tokens; rectangles are padded with tokens of multiplicity 0):

    s2               (B, T2, 10) float32   z-scored bands
    s2_doy           (B, T2)     int32     0..366; 0 for the token that means "no observation"
    s2_multiplicity  (B, T2)     float32   0 for padding, else how often the token counts
    s1, s1_doy, s1_multiplicity            the same with T1 tokens of 2 bands

v1 models see the order of tokens. They take the whole sequence (see `tokens.sequence`): every token has multiplicity
1, and the padding follows.

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
    fusion.0.weight (2d, 4d)          fusion.0.bias (4d)          v1.0: (2d, dims), and it is the last
    fusion.norm.weight (4d)           fusion.norm.bias (4d)
    fusion.1.weight (4d, dims)        fusion.1.bias (dims)

v1 models also have these, with the gates r, z, n side by side (see `GruCell` of the PyTorch reference):

    b.gru.input.weight (d, 3d)        b.gru.input.bias (3d)
    b.gru.hidden.weight (d, 3d)
    b.pool.norm.weight (d)            b.pool.norm.bias (d)

In an int8 file a quantised `X.weight` is stored as `X.weight.int8` (in, out) int8, symmetric per output
channel in -127..127, and `X.weight.scale` (out,) float32: weight = int8 * scale. The weights of the fusion are
`X.weight.int16`, -32767..32767, with a scale likewise; files of format version 1 have them in int8.

Files for GPUs (fp16, and qdq: int8 with explicit Q/DQ) have the same inputs, output and names. Their weights are
float16, except in pooling, fusion, recurrence and RMS norms. The weights of the queries include the attention's scale,
and heads are padded with zeros to h = `layout.gpu_head_dim` channels: qkv.weight is (d, 3 * heads * h), out.weight is
(heads * h, d). In a qdq file a quantised layer X has `X.weight.int8`, `X.weight.scale` (float16), and
`X.input.scale` () float16: its input's codes are round(x / scale), -128..127.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tessera_engine.errors import ModelError
from tessera_engine.model.check import check_graph
from tessera_engine.model.facts import ModelFacts
from tessera_engine.model.weights import initializer_values

INPUT_NAMES = ("s2", "s2_doy", "s2_multiplicity", "s1", "s1_doy", "s1_multiplicity")
OUTPUT_NAME = "embedding"

MAX_BYTES = 1 << 29
"""Three times the largest student in float32. A larger file can't be a model, and is not read into memory."""


@dataclass(frozen=True)
class ModelFile:
    """A model file that has been read and checked."""

    path: Path
    facts: ModelFacts
    sha256: str

    @property
    def label(self) -> str:
        """Name and precision, for messages."""
        return f"{self.facts.name} ({self.facts.precision})"


def read_model_file(path: Path) -> ModelFile:
    """Read a model file's facts, check its whole graph and all weights, and compute its sha256.

    Raises:
        ModelError: no such file, not ONNX, not a model of this engine, another format version, damaged, or the file
            contains anything that this engine doesn't write.
    """
    content = _read(path)
    proto = _parse(content, path)
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    facts = ModelFacts.from_metadata(metadata, str(path))
    check_graph(proto, facts, str(path))
    return ModelFile(path, facts, hashlib.sha256(content).hexdigest())


def read_content(model: ModelFile) -> bytes:
    """The bytes of a checked model file. A backend gives these to its runtime, and never the path.

    Raises:
        ModelError: the file has changed since it was checked.
    """
    content = _read(model.path)
    if hashlib.sha256(content).hexdigest() != model.sha256:
        raise ModelError(f"{model.path} changed while it was being loaded; run again")
    return content


def read_arrays(model: ModelFile) -> dict[str, NDArray[Any]]:
    """The initialisers of a checked model file by name, as this module documents them; read-only.

    Raises:
        ModelError: the file has changed since it was checked.
    """
    proto = _parse(read_content(model), model.path)
    return {tensor.name: initializer_values(tensor) for tensor in proto.graph.initializer}


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise ModelError(f"no model file {path}")
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ModelError(f"{path} has {size:,} bytes, a model file has at most {MAX_BYTES:,}; not opened")
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
