"""A small ONNX network from elsewhere, as what makes a map."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.labels.classes import Classes, own_values
from tessera_engine.analysis.maps.heads import Graph, check_head
from tessera_engine.analysis.maps.learners.base import FLOOR
from tessera_engine.analysis.maps.predictor import Meaning, Needs, Prediction
from tessera_engine.errors import ModelError, reason
from tessera_engine.files.document import Damaged, checked, parse
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.offline.onnx_runtime import onnx_runtime
from tessera_engine.pictures.colours import class_colour
from tessera_engine.scene import Window

PATCH = 256
"""Pixels across a patch, without its margin, at most."""

RUN_BYTES = 200_000_000
"""Memory of all tensors of a run."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


@dataclass(frozen=True)
class Head:
    """A network that was checked and is loaded.

    Attributes:
        path: of its file.
        graph: what the checks found.
        meaning: see `Predictor`.
        session: of ONNX Runtime.
    """

    path: Path
    graph: Graph
    meaning: Meaning
    session: Any

    @property
    def needs(self) -> Needs:
        """See `Predictor`."""
        facts = self.graph.metadata
        return Needs(
            facts.get("model", "its model")[:100], facts.get("model_sha256", "")[:64], self.graph.dim
        )

    @property
    def margin(self) -> int:
        """See `Predictor`: so much that a pixel sees nothing of a patch's edge, and patches stay aligned."""
        step = self.graph.step
        return -(-self.graph.reach // step) * step if self.graph.patches else 0

    def windows(self, embeddings: Embeddings, values: int) -> Iterator[Window]:
        """See `Predictor`.

        Raises:
            ModelError: a patch with its margin would take too much memory.
        """
        if not self.graph.patches:
            yield from embeddings.windows(values)
            return
        most = (
            math.isqrt(min(RUN_BYTES // (4 * self.graph.values), values // self.graph.dim)) - 2 * self.margin
        )
        side = min(PATCH, most) // self.graph.step * self.graph.step
        if side < 1:
            raise ModelError(
                f"{self.path} sees {self.margin} pixels around each and has {self.graph.values:,} values for a pixel, "
                "too many for a patch; give a smaller network, or more memory="
            )
        yield from embeddings.grid.window.blocks(side, side)

    def predict(self, block: StoredBlock, chosen: NDArray[np.bool_]) -> Prediction:
        """See `Predictor`.

        Raises:
            ModelError: the network can't be run.
        """
        if self.graph.patches:
            found = self._patch(block)[chosen]
        else:
            x = StoredBlock(
                block.values[chosen], None if block.scales is None else block.scales[chosen]
            ).embeddings
            rows = max(1, RUN_BYTES // (4 * self.graph.values))
            parts = [self._run(x[start : start + rows]) for start in range(0, len(x), rows)]
            found = np.concatenate(parts)
        if self.graph.probabilities and self.meaning.classes is not None:
            found = np.log(np.maximum(found, np.float32(FLOOR)))
        if not np.isfinite(found).all():
            raise ModelError(
                f"{self.path} gives values that aren't finite; it can't be used on these embeddings"
            )
        return Prediction(np.ascontiguousarray(found, np.float32))

    def _patch(self, block: StoredBlock) -> NDArray[np.float32]:
        """(height, width, C) of a block; pixels without data are zeros, as beyond the edge of the scene."""
        height, width = block.valid.shape
        step = self.graph.step
        padded = (1, self.graph.dim, -(-height // step) * step, -(-width // step) * step)
        patch = np.zeros(padded, np.float32)
        patch[0, :, :height, :width] = np.where(block.valid[..., np.newaxis], block.embeddings, 0).transpose(
            2, 0, 1
        )
        return self._run(patch)[0, :, :height, :width].transpose(1, 2, 0)

    def _run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            (found,) = self.session.run([self.graph.output], {self.graph.input: x})
        except Exception as error:  # the operators are allowed, but their shapes don't fit
            raise ModelError(
                f"ONNX Runtime can't run {self.path}: {reason(error)}; export it again"
            ) from None
        expected = (x.shape[0], self.graph.outputs, *x.shape[2:])
        if found.shape != expected:
            raise ModelError(f"{self.path} gives {found.shape}, expected {expected}; export it again")
        return np.asarray(found, np.float32)


def load_head(path: Path, content: bytes, threads: int) -> Head:
    """Check a network and load it.

    Args:
        path: of its file.
        content: its bytes.
        threads: CPU threads.

    Raises:
        ModelError: it isn't ONNX, or may do what a small network doesn't.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError:
        model = onnx.ModelProto()
    if not model.graph.node:
        raise ModelError(f"{path} is neither a classifier that map saved nor an ONNX network")
    graph = check_head(model, str(path))
    meaning = _meaning(path, graph)
    runtime = onnx_runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4
    try:
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no other common base
        raise ModelError(f"ONNX Runtime can't load {path}: {reason(error)}; export it again") from None
    return Head(path, graph, meaning, session)


def _meaning(path: Path, graph: Graph) -> Meaning:
    title = " ".join(graph.metadata.get("title", path.stem).split())[:100] or path.stem
    quality = "A network from elsewhere: its accuracy is not known"
    if graph.outputs == 1:
        return Meaning(title, None, {}, 1.0, quality)
    names = [str(number) for number in range(1, graph.outputs + 1)]
    if "classes" in graph.metadata:
        try:
            names = checked(parse(graph.metadata["classes"]), list[Name])
        except Damaged as error:
            raise ModelError(f"{path}: the metadata 'classes' is no JSON list of names: {error}") from None
    if len(set(names)) != graph.outputs or len(names) != graph.outputs:
        raise ModelError(
            f"{path}: the metadata 'classes' has {len(names)} names, {len(set(names))} of them different, for "
            f"{graph.outputs} outputs"
        )
    values, nodata = own_values(names)
    colours = {value: class_colour(i) for i, value in enumerate(values)}
    return Meaning(title, Classes(tuple(names), values, nodata), colours, 1.0, quality)
