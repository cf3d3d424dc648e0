"""From two maps to a map of transitions, their areas, and a report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tessera_engine.analysis.areas.design import REFERENCE, need_tables
from tessera_engine.analysis.areas.measure import areas_of
from tessera_engine.analysis.areas.options import CHECKS, AreaKeywords, AreaOptions
from tessera_engine.analysis.class_map import TRANSITIONS, ClassMap, open_class_map
from tessera_engine.analysis.options import check_options
from tessera_engine.analysis.pixel_area import ADVICE, SQUARE_METRES, pixel_square_metres
from tessera_engine.analysis.reporting.write import write_report
from tessera_engine.analysis.transitions.compare import compare_maps
from tessera_engine.analysis.transitions.rasters import write_rasters
from tessera_engine.analysis.transitions.report import report_of
from tessera_engine.analysis.transitions.result import FromTo
from tessera_engine.errors import InputError, check_type
from tessera_engine.files.output import ITEM
from tessera_engine.files.result import check_apart, result_folder
from tessera_engine.files.text import write_text
from tessera_engine.formats.given import GivenPath, check_path
from tessera_engine.pictures.colours import Colour
from tessera_engine.places.shapes import ShapeFile
from tessera_engine.running.options import spelled_out
from tessera_engine.stac.items import Asset
from tessera_engine.stac.writing import Result
from tessera_engine.stac.writing import write_result_item as write_item

if TYPE_CHECKING:
    from typing_extensions import Unpack


def from_to(
    before: GivenPath,
    after: GivenPath,
    out: GivenPath | None = None,
    *,
    reference: GivenPath | None = None,
    field: str = REFERENCE,
    overwrite: bool = False,
    **options: Unpack[AreaKeywords],
) -> FromTo:
    """Find what became of each class between two maps: a map of transitions, and their areas in hectares.

    Args:
        before: the earlier map: a folder of `map`, or a GeoTIFF of classes.
        after: the later map, of the same pixels; classes of the same name are the same.
        out: the folder to make; None: `<before>.<after>.transitions` in the current folder.
        reference: points that were checked, for areas with intervals; see `tessera_engine.area`. They have the class
            before and after in two fields, or the name of the transition in one.
        field: the field with the transition that was found; or what the two fields begin with: `<field>_before` and
            `<field>_after`.
        overwrite: replace an earlier result.
        layer: the layer of the points; None: the only one that has some.
        reference_crs: the CRS of their coordinates; None: what the file says.
        nodata: the maps' value of pixels without a class; None: what the files declare.

    Raises:
        InputError: an argument is wrong, a map or the points can't be used, or there is something at `out` already.
        MissingExtra: a library that reads the points isn't installed.
        TesseraError: a file couldn't be read or written; nothing is left behind.
    """
    chosen = check_options(AreaOptions, "from_to", options, CHECKS)
    check_type("overwrite", overwrite, (bool,), "True or False")
    check_type("field", field, (str,), "the name of a field")
    if reference is not None:
        check_path("reference", reference, "a file of points")
        need_tables("change")
    first, second = (
        open_class_map("before", before, chosen.nodata),
        open_class_map("after", after, chosen.nodata),
    )
    if first.path.resolve() == second.path.resolve():
        raise InputError(f"both maps are {first.path}; give maps of two times")
    target = Path(f"{_short(first)}.{_short(second)}.transitions")
    if out is not None:
        check_path("out", out, "a folder")
        target = Path(out)
    files = [first.path, second.path, *([] if reference is None else [Path(reference)])]
    identity = {
        "command": "change --from-to",
        "files": repr(
            [f"{each.absolute()} {each.stat().st_size} {each.stat().st_mtime_ns}" for each in files]
        ),
        "options": repr((field, chosen)),
    }
    check_apart(target, files)
    pixel = pixel_square_metres(first.grid, str(first.path), ADVICE) / SQUARE_METRES
    found = compare_maps(first, second)
    with result_folder(target, overwrite, identity) as folder:
        title = f"Transitions from {first.title} to {second.title}"
        assets = write_rasters(folder, found, _colours(first, second), title)
        areas = None
        if reference is not None:
            points = ShapeFile(Path(reference), chosen.layer, chosen.reference_crs, "reference_crs")
            areas = areas_of(open_class_map("out", folder / TRANSITIONS), points, field)
        result = FromTo(target, found.names, found.counts * pixel, areas)
        assets += write_report(folder, report_of(result, title, folder / "transitions.png"))
        numbers = json.dumps(result.to_dict(), indent=2)
        write_text(folder / "report.json", numbers + "\n")
        assets.append(Asset("numbers", "report.json", "application/json", "Areas, as numbers", ("metadata",)))
        sources = [first.source, second.source]
        facts = {"unchanged": result.unchanged, "classes": list(found.names)}
        write_item(
            folder / ITEM, (found.grid,), sources, assets, Result("transitions", title, first.dim, facts)
        )
    return replace(result, out=target)


from_to.__signature__ = spelled_out(from_to, AreaKeywords, AreaOptions())  # type: ignore[attr-defined]


def _short(of: ClassMap) -> str:
    return of.title.removesuffix(".map")


def _colours(before: ClassMap, after: ClassMap) -> dict[str, Colour]:
    """Colours of the classes: those of the earlier map where it has the class."""
    return {
        **{name: after.colours[value] for value, name in after.names.items()},
        **{name: before.colours[value] for value, name in before.names.items()},
    }
