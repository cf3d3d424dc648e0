"""A small ONNX network from elsewhere, as what makes a map."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.maps.heads import Graph
from tessera_engine.analysis.maps.learners.base import FLOOR
from tessera_engine.analysis.maps.predictor import Meaning, Needs, Prediction
from tessera_engine.errors import ModelError, reason
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.scene import Window

PATCH = 256
"""Pixels across a patch, without its margin, at most."""

RUN_BYTES = 200_000_000
"""Memory of all tensors of a run."""


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
        return -(-self.graph.reach // self.graph.step) * self.graph.step if self.graph.patches else 0

    @property
    def alone(self) -> bool:
        """See `Predictor`: a runtime may sum in another order where there are fewer pixels."""
        return False

    def windows(self, embeddings: Embeddings, values: int) -> Iterator[Window]:
        """See `Predictor`.

        Raises:
            ModelError: a patch with its margin would take too much memory.
        """
        if not self.graph.patches:
            yield from embeddings.tiles(values)
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
            found = np.concatenate([self._run(x[start : start + rows]) for start in range(0, len(x), rows)])
        if self.graph.probabilities and self.meaning.classes is not None:
            found = np.log(np.maximum(found, np.float32(FLOOR)))
        if not np.isfinite(found).all():
            raise ModelError(
                f"{self.path} gives values that aren't finite; it can't be used on these embeddings"
            )
        return Prediction(np.ascontiguousarray(found, np.float32))

    def _patch(self, block: StoredBlock) -> NDArray[np.float32]:
        """(height, width, C) of a block; pixels without data are zeros, as beyond the edge of the scene."""
        (height, width), step = block.valid.shape, self.graph.step
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
        if found.shape == expected:
            return np.asarray(found, np.float32)
        raise ModelError(f"{self.path} gives {found.shape}, expected {expected}; export it again")
