"""The rows of a table: one for each shape and year, made some thousand at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.sampling.columns import GEOMETRY, Columns
from tessera_engine.analysis.sampling.years import Year
from tessera_engine.places.features import Features

VALUES = 2_000_000
"""Values of rows that are made at a time, in float64 at first."""

FACTS = ("year", "pixels", "nodata", "s2_observations", "s1_observations")
"""Our columns, besides those of embeddings."""

SOURCE = "source"
"""One more, where the rows come from several folders."""


class Rows:
    """Makes the rows of a table.

    Args:
        features: the shapes.
        years: the sources by year.
        columns: of the table.
        pools: how pixels are pooled; empty: each shape is a single point.
    """

    def __init__(
        self, features: Features, years: Sequence[Year], columns: Columns, pools: Sequence[str]
    ) -> None:
        self.features, self.years, self.columns, self.pools = features, years, columns, pools

    def __len__(self) -> int:
        return len(self.features) * len(self.years)

    def schema(self) -> Any:
        """The table's pyarrow.Schema."""
        import pyarrow

        kinds = {
            "year": pyarrow.int32(),
            "pixels": pyarrow.int64(),
            "nodata": pyarrow.float64(),
            "s2_observations": self._counts,
            "s1_observations": self._counts,
            SOURCE: pyarrow.string(),
            GEOMETRY: pyarrow.binary(),
        }
        fields = list(self.columns.user.schema)
        fields += [pyarrow.field(name, kinds[fact]) for fact, name in self.columns.facts.items()]
        fields += [pyarrow.field(name, pyarrow.float32()) for names in self.columns.vectors for name in names]
        return pyarrow.schema(fields)

    @property
    def _counts(self) -> Any:
        """Of observations: whole for points, means otherwise."""
        import pyarrow

        return pyarrow.float64() if self.pools else pyarrow.int32()

    def batches(self) -> Iterator[Any]:
        """Record batches, year by year in the order of the shapes."""
        size = max(1, VALUES // (len(self.columns.vectors) * len(self.columns.vectors[0])))
        for year in self.years:
            for start in range(0, len(self.features), size):
                yield self._batch(year, np.arange(start, min(start + size, len(self.features))))

    def _batch(self, year: Year, rows: NDArray[np.int64]) -> Any:
        import pyarrow
        import shapely

        vectors, observations = year.embeddings(rows, self.pools)
        valid, total = year.valid[rows], year.total[rows]
        empty = valid == 0
        share = 1 - valid / np.maximum(total, 1)
        counted = np.where(empty[:, None], 0, observations)
        made = {
            "year": pyarrow.array([year.year] * len(rows), pyarrow.int32()),
            "pixels": pyarrow.array(valid),
            "nodata": pyarrow.array(share),
            "s2_observations": pyarrow.array(counted[:, 0], mask=empty).cast(self._counts),
            "s1_observations": pyarrow.array(counted[:, 1], mask=empty).cast(self._counts),
            SOURCE: pyarrow.array(
                [
                    None if no else year.parts[best].source
                    for no, best in zip(empty, year.best[rows], strict=True)
                ],
                pyarrow.string(),
            ),
            GEOMETRY: pyarrow.array(shapely.to_wkb(self.features.geometries[rows]), pyarrow.binary()),
        }
        part = self.columns.user.slice(int(rows[0]), len(rows)).combine_chunks()
        arrays = [_one(column) for column in part.columns]
        arrays += [made[fact] for fact in self.columns.facts]
        flat = np.ascontiguousarray(vectors.reshape(len(rows), -1).T)
        arrays += [pyarrow.array(values, mask=empty) for values in flat]
        return pyarrow.record_batch(arrays, schema=self.schema())


def _one(column: Any) -> Any:
    """A column of one chunk, or none, as an array."""
    import pyarrow

    return column.chunk(0) if column.num_chunks else pyarrow.array([], column.type)
