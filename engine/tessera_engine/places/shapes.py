"""What reading shapes takes and gives: the file, the box, and the shapes near it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError
from tessera_engine.files.nearby import nearest
from tessera_engine.places.losses import Losses

Box = tuple[float, float, float, float]
"""Left, bottom, right, top in the units of a CRS."""


@dataclass(frozen=True)
class ShapeFile:
    """A file with shapes, and what the user said about it.

    Attributes:
        path: the file, or the folder of a file geodatabase.
        layer: the layer to read; None: the only one that has the field, or shapes.
        crs: the CRS of the coordinates; None: what the file says.
        crs_parameter: the name of the user's parameter for the CRS, for messages; empty where there is none, and
            none for the layer.
    """

    path: Path
    layer: str | None = None
    crs: str | None = None
    crs_parameter: str = "crs"


@dataclass(frozen=True)
class Part:
    """Shapes of one layer near a box, as they lie in the file.

    Attributes:
        crs: of the coordinates, a `rasterio.crs.CRS`.
        geometries: (N,) shapely geometries, in two dimensions.
        values: (N,) of the field, as the file has them; None where missing or not asked for.
        lost: shapes of the layer that are not among them.
        bounds: of all shapes of the layer with coordinates, as far as known; None: there are none.
        assumed: why the CRS was taken, where the file names none; for messages.
    """

    crs: Any
    geometries: NDArray[Any]
    values: NDArray[Any]
    lost: Losses
    bounds: Box | None = None
    assumed: str = ""


@dataclass(frozen=True)
class Shapes:
    """Shapes near a box, in the box's CRS.

    Attributes:
        geometries: (N,) shapely geometries, in two dimensions. What lies far beyond the box may be cut off.
        values: (N,) of the field, as the file has them; None where missing or not asked for.
        lost: shapes of the file that are not among them.
        place: where the shapes of the file lie and what may be wrong with that, for people; empty where some are near.
    """

    geometries: NDArray[Any]
    values: NDArray[Any]
    lost: Losses = field(default_factory=Losses)
    place: str = ""

    def __len__(self) -> int:
        return len(self.geometries)


def objects(values: Any) -> NDArray[Any]:
    """(N,) an array of Python objects; numpy would make a table of lists of one length."""
    found = np.empty(len(values), dtype=object)
    found[:] = list(values)
    return found


def no_field(path: Path, field: str, fields: Sequence[str]) -> InputError:
    """The error for a field that a file doesn't have."""
    near = nearest(field, fields)
    hint = f"; did you mean '{near}'?" if near else ""
    return InputError(f"{path} has no field '{field}'; its fields: {listed(fields)}{hint}")


MOST_LISTED = 30
"""Names that a message lists."""


def listed(names: Sequence[str]) -> str:
    """Names in one line; those with commas, or with spaces at their ends, in quotes."""
    more = len(names) - MOST_LISTED
    shown = (f"'{name}'" if "," in name or name != name.strip() or not name else name for name in names)
    return ", ".join(islice(shown, MOST_LISTED)) + (f" and {more} more" if more > 0 else "") or "none"
