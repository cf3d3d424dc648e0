"""A store that several processes fill: each writes the shards of its own cells, so that no two write one file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tessera_engine.files.staging import Staging
from tessera_engine.formats.format import Planned
from tessera_engine.formats.joined import Joined
from tessera_engine.formats.zarr.convention import consolidate
from tessera_engine.formats.zarr.reading import SHARD
from tessera_engine.formats.zarr.writing import STORE, Outline, create, write_shard
from tessera_engine.scene import Window
from tessera_engine.scenes.period import year_period
from tessera_engine.stac.items import Asset


@dataclass(frozen=True)
class StoreInCells:
    """See `tessera_engine.formats.format.CellWriter`."""

    planned: Planned
    folder: Path
    media_type: str

    side = SHARD

    @cached_property
    def _outline(self) -> Outline:
        planned = self.planned
        origin, periods = planned.origin, planned.periods
        if origin.season is not None and not periods:
            periods = (origin.season,)
        times: list[Any] = [(None, period) for period in periods]
        if not times:
            assert origin.year is not None
            times = [(origin.year, year_period(origin.year))]
        return Outline(planned.grid, planned.dim, planned.name, origin, times, quality=True)

    @property
    def _path(self) -> Path:
        return self.folder / STORE

    @cached_property
    def _arrays(self) -> dict[str, Any]:
        import zarr

        group: Any = zarr.open_group(self._path, mode="r+", zarr_format=3)[self._outline.group]
        names = ("x", "y", "time", "time_bnds", "spatial_ref")
        return {name: array for name, array in group.arrays() if name not in names and array.shards}

    def begin(self) -> None:
        """Make the store without values."""
        create(self._outline, self._path)
        consolidate(self._path)

    def write(self, cell: Window, parts: Sequence[Staging]) -> list[Path]:
        """Write a cell, and give the files that have its pixels."""
        for path in self._shards(cell, len(parts)):
            path.unlink(missing_ok=True)  # zarr reads a shard at the grid's edge first, which may be damaged
        for time, part in enumerate(parts):
            joined = Joined(self.planned.grid, self.planned.dim, None, part)
            for window in cell.blocks(SHARD, SHARD):
                write_shard(self._arrays, time, window, joined)
        return [path for path in self._shards(cell, len(parts)) if path.exists()]

    def written(self) -> Iterator[Path]:
        """All files of cells, and what a killed process left of one, in any order."""
        group = self._path / self._outline.group
        for name in self._arrays:
            yield from (path for path in (group / name / "c").rglob("*") if not path.is_dir())

    def asset(self) -> Asset:
        """The store as a file of the output."""
        return self._outline.asset(self.media_type)

    def _shards(self, cell: Window, times: int) -> Iterator[Path]:
        group = self._path / self._outline.group
        for name, array in self._arrays.items():
            bands = ["0"] * (len(array.shape) - 3)
            for time in range(times):
                for window in cell.blocks(SHARD, SHARD):
                    place = (str(window.row // SHARD), str(window.col // SHARD))
                    yield group.joinpath(name, "c", str(time), *bands, *place)
