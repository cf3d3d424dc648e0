"""A store that several processes fill: each writes the shards of its own cells, so that no two write one file.

A process writes them into a store of its own first. zarr makes the folders above a file that it writes, so it would
make those of a run again that has ended; and at the edge of the grid it reads a shard before it writes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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

    side = 2 * SHARD  # smaller cells would take longer to hand out than they are worth

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

    def begin(self) -> None:
        """Make the store without values."""
        create(self._outline, self.folder / STORE)
        consolidate(self.folder / STORE)

    def write(self, cell: Window, parts: Sequence[Staging], folder: Path) -> list[str]:
        """Write the shards of a cell into a store like the output's."""
        arrays = create(self._outline, folder / STORE)
        for time, part in enumerate(parts):
            joined = Joined(self.planned.grid, self.planned.dim, None, part)
            for window in cell.blocks(SHARD, SHARD):
                write_shard(arrays, time, window, joined)
        return list(self._shards(arrays, cell, len(parts)))

    def written(self) -> Iterator[Path]:
        """All files of cells, and what a killed process left of one, in any order."""
        import zarr

        path, group = self.folder / STORE, self._outline.group
        opened: Any = zarr.open_group(path, mode="r", zarr_format=3)[group]
        for name, array in opened.arrays():
            if array.shards:  # coordinates have none
                yield from (each for each in (path / group / name / "c").rglob("*") if not each.is_dir())

    def asset(self) -> Asset:
        """The store as a file of the output."""
        return self._outline.asset(self.media_type)

    def _shards(self, arrays: Mapping[str, Any], cell: Window, times: int) -> Iterator[str]:
        for name, array in arrays.items():
            bands = ["0"] * (len(array.shape) - 3)
            for time in range(times):
                for window in cell.blocks(SHARD, SHARD):
                    place = (str(window.row // SHARD), str(window.col // SHARD))
                    yield "/".join([STORE, self._outline.group, name, "c", str(time), *bands, *place])
