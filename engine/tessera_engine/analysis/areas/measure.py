"""Areas and accuracies of a map from points that were checked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tessera_engine.analysis.areas.design import REFERENCE, need_tables
from tessera_engine.analysis.areas.estimate import Estimates, estimate
from tessera_engine.analysis.areas.options import CHECKS, AreaKeywords, AreaOptions
from tessera_engine.analysis.areas.reference import Reference, read_reference
from tessera_engine.analysis.areas.report import report_of
from tessera_engine.analysis.areas.result import Areas, ClassArea
from tessera_engine.analysis.class_map import ClassMap, open_class_map
from tessera_engine.analysis.options import check_options
from tessera_engine.analysis.pixel_area import ADVICE, SQUARE_METRES, pixel_square_metres
from tessera_engine.analysis.reporting.write import write_report
from tessera_engine.errors import check_type
from tessera_engine.files.checksums import path_sha256
from tessera_engine.files.output import ITEM
from tessera_engine.files.result import check_apart, result_folder
from tessera_engine.files.text import write_text
from tessera_engine.formats.given import GivenPath, check_path
from tessera_engine.places.read import check_layer
from tessera_engine.places.selecting import check_shapes
from tessera_engine.places.shapes import ShapeFile
from tessera_engine.running.options import spelled_out
from tessera_engine.stac.items import Asset
from tessera_engine.stac.writing import Result
from tessera_engine.stac.writing import write_result_item as write_item

if TYPE_CHECKING:
    from typing_extensions import Unpack


def area(
    map: GivenPath,
    reference: GivenPath,
    field: str = REFERENCE,
    out: GivenPath | None = None,
    *,
    overwrite: bool = False,
    **options: Unpack[AreaKeywords],
) -> Areas:
    """Estimate the area of each class, and how accurate a map is, from points that were checked.

    Counting pixels of a map gives wrong areas, because classes are confused more often one way than the other. Points
    that were drawn at random give areas without that error, each with its interval.

    Args:
        map: a folder of `map` or `change`, or a GeoTIFF of classes.
        reference: points that were checked, as `sample_design` drew them. Points without its columns are taken for a
            random sample of each class of the map.
        field: the field with the class that was found.
        out: the folder to make, with `report.md`, `report.html`, `report.json` and `item.json`; None: write no files.
        overwrite: replace an earlier report.
        layer: the layer of the points; None: the only one that has some.
        reference_crs: the CRS of their coordinates, such as "EPSG:32631"; None: what the file says.
        nodata: the map's value of pixels without a class; None: what the file declares.

    Raises:
        InputError: an argument is wrong, the map or the points can't be used, or there is something at `out` already.
        MissingExtra: a library that reads the points isn't installed.
        TesseraError: a file couldn't be read or written; nothing is left behind.
    """
    chosen = check_options(AreaOptions, "area", options, CHECKS)
    check_type("overwrite", overwrite, (bool,), "True or False")
    check_path("reference", reference, "a file of points")
    check_type("field", field, (str,), "the name of a field")
    if out is not None:
        check_path("out", out, "a folder")
    need_tables("area")
    points = Path(reference)
    check_shapes(points)
    of = open_class_map("map", map, chosen.nodata)
    check_layer(chosen.layer, points)
    found = areas_of(of, ShapeFile(points, chosen.layer, chosen.reference_crs, "reference_crs"), field)
    if out is None:
        return found
    check_apart(Path(out), (of.path, points))
    stamps = [
        f"{path.absolute()} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in (of.path, points)
    ]
    identity = {"command": "area", "files": repr(stamps), "field": field, "options": repr(chosen)}
    with result_folder(Path(out), overwrite, identity) as folder:
        document = report_of(found)
        assets = write_report(folder, document)
        write_text(folder / "report.json", json.dumps(found.to_dict(), indent=2) + "\n")
        assets.append(Asset("numbers", "report.json", "application/json", "Areas, as numbers", ("metadata",)))
        asked = {key: found.facts[key] for key in ("reference", "reference_sha256", "field")}
        result = Result("area", document.title, of.dim, asked)
        write_item(folder / ITEM, (of.grid,), (of.source,), assets, result)
    return replace(found, out=Path(out))


area.__signature__ = spelled_out(area, AreaKeywords, AreaOptions())  # type: ignore[attr-defined]


def areas_of(of: ClassMap, points: ShapeFile, field: str) -> Areas:
    """Estimate the areas of a map's classes.

    Args:
        of: the map.
        points: that were checked.
        field: with the class that was found.

    Raises:
        InputError: the map or the points can't be used.
        MissingExtra: a library that reads the points isn't installed.
    """
    pixel = pixel_square_metres(of.grid, str(of.path), ADVICE) / SQUARE_METRES
    read: Reference = read_reference(points, field, of)
    found: Estimates = estimate(read.sample)
    covered = int(read.sample.pixels.sum())
    mapped = [count * pixel for count in of.pixels.values()]
    mapped += [0.0] * (len(read.names) - len(mapped))
    classes = tuple(
        ClassArea(name, mapped[i], found.shares[i].times(covered * pixel), found.users[i], found.producers[i])
        for i, name in enumerate(read.names)
    )
    facts = {
        "map": of.title,
        "reference": points.path.name,
        "reference_sha256": path_sha256(points.path),
        "field": field,
        "points_used": len(read.sample.strata),
        "strata": "classes of the map" if read.of_classes else "those of the points",
        "strata_pixels": dict(zip(read.strata, read.sample.pixels.tolist(), strict=True)),
        "strata_points": dict(zip(read.strata, read.sample.points.tolist(), strict=True)),
        "strata_without_estimate": read.outside,
        "hectares": covered * pixel,
        "confidence_percent": 95,
    }
    return Areas(
        found.overall,
        classes,
        read.sample.proportions().tolist(),
        read.sample.counts().tolist(),
        facts,
        read.notes,
    )
