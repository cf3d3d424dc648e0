"""Maps of one or several scenes by one predictor: how much is read at a time, and where the files go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tessera_engine.analysis.maps.drawing import Drawing, Drawn, draw
from tessera_engine.analysis.maps.fields import PIXEL_BYTES as FIELD_BYTES
from tessera_engine.analysis.maps.fields import Fields
from tessera_engine.analysis.maps.predictor import Predictor
from tessera_engine.analysis.pixel_area import ADVICE, SQUARE_METRES, pixel_square_metres
from tessera_engine.analysis.rasters import within
from tessera_engine.errors import InputError
from tessera_engine.formats.embeddings.base import BLOCK_VALUES, Embeddings
from tessera_engine.formats.given import folder_names
from tessera_engine.progress import Progress, part_of
from tessera_engine.running.memory import strip_values
from tessera_engine.scene import Grid
from tessera_engine.stac.items import Asset

LEARNING_BYTES = 150_000_000
"""Memory of scikit-learn, the labels and the fitted model."""

PIXEL_BYTES = 6
"""Bytes of memory that the map and its picture take for each pixel."""

TRUST_BYTES = 10
"""The same for the dissimilarity, the area of applicability, and what is computed from them."""

VALUE_BYTES = 20
"""Bytes of memory that predicting takes for each value, besides reading it: the dequantised and the scaled value, and
what the model computes from them."""

CONTEXT_BYTES = 36
"""The same for features of the surroundings: three float32 for each value, twice scaled."""


TILES_WITH_CONTEXT = 8
"""Tiles in a window at most where surroundings are read too: those around it are decoded again for the next window."""


@dataclass(frozen=True)
class Wanted:
    """What is drawn besides the map.

    Attributes:
        probabilities: of each class.
        memory: bytes that the process may take; None: half of the free memory, at most 4 GB.
        by_segment: whether fields get one class each.
    """

    probabilities: bool
    memory: int | None
    by_segment: bool = False


@dataclass(frozen=True)
class Counted:
    """What was drawn of one scene, and the area of its pixels.

    Attributes:
        drawn: the map.
        hectares: of a pixel; None where pixels have no area, such as in degrees.
    """

    drawn: Drawn
    hectares: float | None


@dataclass(frozen=True)
class Mapped:
    """What was drawn of all scenes.

    Attributes:
        assets: the files.
        parts: of each scene.
    """

    assets: list[Asset]
    parts: tuple[Counted, ...]

    @property
    def facts(self) -> dict[str, Any]:
        """For a report, as plain values.

        Pixels with data and their hectares (None where pixels have no area), the same of each class as `mapped`, and
        the share of the pixels beyond the area of applicability, where it is known.
        """
        names = dict.fromkeys(name for part in self.parts for name in part.drawn.of_class)
        facts = self._counted([part.drawn.pixels for part in self.parts])
        if names:
            facts["mapped"] = {
                name: self._counted([part.drawn.of_class[name] for part in self.parts]) for name in names
            }
        beyond = [part.drawn.beyond for part in self.parts if part.drawn.beyond is not None]
        if beyond:  # known of all scenes, or of none
            facts["beyond_applicability"] = sum(beyond) / max(1, facts["pixels"])
        return facts

    def _counted(self, counts: Sequence[int]) -> dict[str, Any]:
        areas = [part.hectares for part in self.parts]
        known = [area * count for area, count in zip(areas, counts, strict=True) if area is not None]
        return {"pixels": sum(counts), "hectares": sum(known) if len(known) == len(areas) else None}


def strip_size(
    embeddings: Embeddings, wanted: Wanted, classes: int = 0, context: int = 0, trust: bool = False
) -> int:
    """Values that are predicted at a time.

    Args:
        embeddings: of a scene.
        wanted: what is drawn.
        classes: of the map.
        context: pixels across the square around a pixel.
        trust: whether dissimilarities are computed.

    Raises:
        InputError: the memory is too little.
    """
    rows = 1 + 2 * (context // 2)
    pixel = (
        PIXEL_BYTES + trust * TRUST_BYTES + wanted.probabilities * classes + wanted.by_segment * FIELD_BYTES
    )
    fixed = LEARNING_BYTES + embeddings.grid.window.pixels * pixel
    value = embeddings.bytes_per_value + VALUE_BYTES + (CONTEXT_BYTES if context else 0) + 8 * trust
    least = embeddings.grid.width * embeddings.dim * rows
    most = max(BLOCK_VALUES, embeddings.tile_values * (TILES_WITH_CONTEXT if context else 1))
    return strip_values(wanted.memory, fixed, value, least, most)


def draw_all(
    folder: Path,
    opened: Sequence[Embeddings],
    predictor: Predictor,
    strips: Sequence[int],
    wanted: Wanted,
    tally: Progress,
    fields: Sequence[Fields] | None = None,
) -> Mapped:
    """Draw the map of each scene: in the folder, or of several in a folder of each one's name.

    Args:
        folder: for the files.
        opened: the scenes.
        predictor: what predicts.
        strips: see `strip_size`, of each.
        wanted: what is drawn.
        tally: called with pixels done and in all.
        fields: of each scene; None: the map is by pixel.

    Raises:
        TesseraError: a file couldn't be read or written.
    """
    assets: list[Asset] = []
    sizes = [each.grid.window.pixels for each in opened]
    parts: list[Counted] = []
    for i, (each, strip, own) in enumerate(zip(opened, strips, folder_names(opened), strict=True)):
        place = folder if len(opened) == 1 else folder / own
        place.mkdir(exist_ok=True)
        part = part_of(tally, sum(sizes[:i]), sum(sizes))
        drawn = draw(
            Drawing(place, each, strip, predictor, wanted.probabilities, part, fields[i] if fields else None)
        )
        assets += (
            drawn.assets if len(opened) == 1 else [within(asset, own, each.grid) for asset in drawn.assets]
        )
        parts.append(Counted(drawn, _hectares(each.grid)))
    return Mapped(assets, tuple(parts))


def _hectares(grid: Grid) -> float | None:
    """The area of a pixel; None where pixels have none."""
    try:
        return pixel_square_metres(grid, "the map", ADVICE) / SQUARE_METRES
    except InputError:
        return None
