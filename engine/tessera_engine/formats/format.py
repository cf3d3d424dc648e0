"""What a format of embeddings on disk has to offer: one `Format` record, given by the `__init__` of its folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

# The registry is loaded for `--help`, so this module loads nothing heavy.
if TYPE_CHECKING:
    from tessera_engine.files.staging import Staging
    from tessera_engine.formats.embeddings.stored import Source
    from tessera_engine.formats.grown import Store
    from tessera_engine.formats.origin import Origin
    from tessera_engine.scene import Grid, Window
    from tessera_engine.scenes.period import Period
    from tessera_engine.stac.items import Asset


@dataclass(frozen=True)
class Content:
    """What is written into an output.

    Attributes:
        staging: the finished arrays; they stay as they are.
        name: the scene's name.
        origin: where the embeddings are from; its year is known where the format needs it.
        store: the store that the arrays are added to, of the same format; it stays as it is. None: a new output.
        periods: the arrays of several periods, with their first and last day, the shortest first; `staging` is the last
            one. Empty: there is only `staging`.
    """

    staging: Staging
    name: str
    origin: Origin | None = None
    store: Store | None = None
    periods: Sequence[tuple[Period, Staging]] = ()


@dataclass(frozen=True)
class Planned:
    """What will be written into an output by several processes.

    Attributes:
        grid: the output's.
        dim: length of the embedding.
        name: the scene's name.
        origin: where the embeddings are from; its year or season is known.
        periods: first and last day of several periods, the shortest first; empty where there is one.
    """

    grid: Grid
    dim: int
    name: str
    origin: Origin
    periods: Sequence[Period] = ()


class CellWriter(Protocol):
    """Writes an output cell by cell; several processes may write cells of one output at the same time.

    A cell is a window of the output's grid whose edges are multiples of `side`, or edges of the grid. It has files of
    its own, so a process that writes one never waits for another.
    """

    @property
    def side(self) -> int:
        """Pixels."""
        ...

    def begin(self) -> None:
        """Make the output without values. Raises OSError where it can't be written."""
        ...

    def write(self, cell: Window, parts: Sequence[Staging], folder: Path) -> list[str]:
        """Write the files of a cell into a folder of the process's own. Written again, they have the same bytes.

        Args:
            cell: its pixels, counted from the corner of the output.
            parts: its finished arrays, of each period.
            folder: an empty one.

        Returns:
            The files that are the cell's alone, as paths from the output's folder and from this one. Those without
            data aren't there.

        Raises:
            OSError: a file couldn't be written.
        """
        ...

    def written(self) -> Iterator[Path]:
        """All files of cells, and what a killed process left of one, in any order."""
        ...

    def asset(self) -> Asset:
        """What was written."""
        ...


def takes_any_grid(grid: Grid, dim: int) -> None:
    """The check of a format that can hold any grid and any length."""


def needs_an_item(path: Path) -> list[int] | None:
    """The `foreign_years` of a format that is read only with an item.json."""
    return None


@dataclass(frozen=True)
class Format:
    """One format.

    `open`, `write` and `check` import what they need when they are called: the command line lists formats without
    loading GDAL.

    Attributes:
        name: as users type it.
        summary: what it is, in a word or two for `--help`; empty where the name says it.
        media_type: MIME type of the item's asset `embeddings`, by which an output's format is known.
        open: gives the source of an output: (folder, its item, its year, or the last day of a period, or None) ->
            Source. Raises InputError or TesseraError where its files can't be read.
        write: writes files into an existing folder: (content, folder) -> what was written, a file or folder each.
            Raises TesseraError where a file can't be written; nothing of that file is left.
        check: raises InputError if the format can't hold a (grid, length of the embedding).
        appendable: whether scenes and years can be added to an output.
        int8_only: whether it holds int8 codes with scales and nothing else.
        stored_as: the item's `tessera:store` of all outputs; None: what is staged, `int8` or `float32`.
        lossy: what an output has instead of the embeddings, for people; empty where it has them as they were staged.
        needs_year: whether it stores embeddings under the year of their observations.
        takes_periods: whether it stores other times than calendar years under their first and last day, and several of
            them in one output.
        disk_factor: room on the disk that writing takes besides the staged arrays, at most, in units of their size
            with the embeddings counted twice.
        library_bytes: memory of the libraries that the format needs besides GDAL.
        fixed_bytes: memory that writing takes at any size.
        pixels_held: pixels whose embeddings are in memory while they are written, copies counted.
        in_cells: makes what writes an output by several processes: (what is written, folder); None where a format is
            one file for all pixels.
        foreign_years: the years of a folder that other software wrote in this format, so that it has no item.json;
            None if the folder isn't one.
    """

    name: str
    media_type: str
    open: Callable[[Path, Mapping[str, Any], int | date | None], Source]
    write: Callable[[Content, Path], list[Asset]]
    check: Callable[[Grid, int], None] = takes_any_grid
    summary: str = ""
    appendable: bool = False
    int8_only: bool = False
    stored_as: str | None = None
    lossy: str = ""
    needs_year: bool = False
    takes_periods: bool = False
    disk_factor: float = 4 / 3
    library_bytes: int = 0
    fixed_bytes: int = 0
    pixels_held: int = 0
    in_cells: Callable[[Planned, Path], CellWriter] | None = None
    foreign_years: Callable[[Path], list[int] | None] = needs_an_item
