"""Areas and accuracies of a map from points that were checked."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tessera_engine.analysis.areas.design import REFERENCE, need_tables
from tessera_engine.analysis.areas.estimate import Estimate, Estimates, estimate
from tessera_engine.analysis.areas.options import CHECKS, AreaKeywords, AreaOptions
from tessera_engine.analysis.areas.reference import Reference, read_reference
from tessera_engine.analysis.class_map import ClassMap, open_class_map
from tessera_engine.analysis.maps.quality import FEWEST_LABELS
from tessera_engine.analysis.options import check_options
from tessera_engine.analysis.pixel_area import ADVICE, SQUARE_METRES, pixel_square_metres
from tessera_engine.analysis.reporting.as_markdown import to_markdown
from tessera_engine.analysis.reporting.document import Block, Document, Heading, Notes, Paragraph, Table
from tessera_engine.analysis.reporting.write import write_report
from tessera_engine.errors import check_type
from tessera_engine.files.checksums import path_sha256
from tessera_engine.files.output import ITEM
from tessera_engine.files.result import result_folder
from tessera_engine.formats.given import GivenPath, check_path
from tessera_engine.places.selecting import check_shapes
from tessera_engine.places.shapes import ShapeFile
from tessera_engine.running.options import spelled_out
from tessera_engine.stac.items import Asset
from tessera_engine.stac.writing import Result
from tessera_engine.stac.writing import write_result_item as write_item

if TYPE_CHECKING:
    from typing_extensions import Unpack

METHOD = (
    "Estimates for a stratified random sample by Stehman 2014; where the strata are the map's classes, these are those "
    "of Olofsson et al. 2014. The interval of an area is the estimate and 1.96 standard errors on each side. That of "
    "an accuracy is a score interval (Wilson 1927, with effective points as in Franco et al. 2019), which holds close "
    "to 100 % and where no error was seen."
)


@dataclass(frozen=True)
class ClassArea:
    """What is known of a class.

    Attributes:
        name: of the class.
        mapped: hectares on the map.
        hectares: estimated area.
        users: share of its area on the map that is right; None: no point lies on it.
        producers: share of its true area that the map has; None: no point is of the class.
    """

    name: str
    mapped: float
    hectares: Estimate
    users: Estimate | None
    producers: Estimate | None


@dataclass(frozen=True, repr=False)
class Areas:
    """Areas and accuracies of a map.

    Attributes:
        overall: share of the area that the map has right.
        classes: of the map, and those that only the reference has.
        proportions: shares of the area, of classes on the map (rows) and in the reference (columns).
        counts: the same table of points.
        facts: of the map and the points, by name; plain values.
        notes: what is worth knowing, a line each.
        out: the folder of the report; None where none was written.
    """

    overall: Estimate
    classes: tuple[ClassArea, ...]
    proportions: list[list[float]]
    counts: list[list[int]]
    facts: dict[str, Any]
    notes: tuple[str, ...]
    out: Path | None = None

    def __repr__(self) -> str:
        return f"<Areas of {len(self.classes)} classes: overall accuracy {_percent(self.overall)}>"

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        classes = [
            {
                "class": each.name,
                "mapped_hectares": each.mapped,
                "hectares": _plain(each.hectares),
                "users_accuracy": _accuracy(each.users),
                "producers_accuracy": _accuracy(each.producers),
            }
            for each in self.classes
        ]
        return {
            **self.facts,
            "overall_accuracy": _plain(self.overall),
            "classes": classes,
            "proportions": self.proportions,
            "points": self.counts,
            "notes": list(self.notes),
        }


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
    found = areas_of(of, ShapeFile(points, chosen.layer, chosen.reference_crs, "reference_crs"), field)
    if out is None:
        return found
    stamps = [
        f"{path.absolute()} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in (of.path, points)
    ]
    identity = {"command": "area", "files": repr(stamps), "field": field, "options": repr(chosen)}
    with result_folder(Path(out), overwrite, identity) as folder:
        document = report_of(found)
        assets = write_report(folder, document)
        (folder / "report.json").write_text(json.dumps(found.to_dict(), indent=2) + "\n", encoding="utf-8")
        assets.append(Asset("numbers", "report.json", "application/json", "Areas, as numbers", ("metadata",)))
        asked = {key: found.facts[key] for key in ("reference", "reference_sha256", "field")}
        result = Result("area", document.title, of.dim, asked)
        write_item(folder / ITEM, (of.grid,), (of.source,), assets, result)
    return replace(found, out=Path(out))


area.__signature__ = spelled_out(area, AreaKeywords, AreaOptions())  # type: ignore[attr-defined]


def report_text(areas: Areas) -> str:
    """The report as Markdown."""
    return to_markdown(report_of(areas))


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


def report_of(areas: Areas) -> Document:
    """The report: areas, accuracies and the table of errors."""
    facts, names = areas.facts, [each.name for each in areas.classes]
    blocks: list[Block] = [
        Paragraph(
            f"{facts['points_used']:,} points of {facts['reference']} were checked, drawn from "
            f"{facts['hectares']:,.1f} ha in {len(facts['strata_pixels'])} strata ({facts['strata']}). The map is "
            f"right on {_percent(areas.overall)} of the area. In brackets: 95 % intervals."
        ),
        *([Notes(areas.notes)] if areas.notes else []),
        Heading("Areas"),
        Table(
            ("class", "on the map, ha", "area, ha", "standard error, ha", "95 % interval, ha"),
            tuple(
                (
                    each.name,
                    f"{each.mapped:,.2f}",
                    f"{each.hectares.value:,.2f}",
                    f"{each.hectares.error:,.2f}",
                    f"{each.hectares.low:,.2f} to {each.hectares.high:,.2f}",
                )
                for each in areas.classes
            ),
        ),
        Heading("Accuracy"),
        Table(
            ("class", "user's accuracy", "standard error", "producer's accuracy", "standard error"),
            tuple(
                (
                    each.name,
                    accuracy_text(each.users),
                    _error(each.users),
                    accuracy_text(each.producers),
                    _error(each.producers),
                )
                for each in areas.classes
            ),
        ),
        Paragraph(
            "User's accuracy: the share of a class on the map that is this class. Producer's accuracy: the share of "
            f"the class that the map has. Neither is known from fewer than {FEWEST_LABELS} points."
        ),
        Heading("Errors, as percent of the area"),
        Table(
            ("on the map", *(f"in fact {name}" for name in names), "points"),
            tuple(
                (name, *(f"{100 * share:.2f}" for share in areas.proportions[i]), f"{sum(areas.counts[i]):,}")
                for i, name in enumerate(names)
            ),
        ),
        Heading("Errors, as points"),
        Table(
            ("on the map", *(f"in fact {name}" for name in names)),
            tuple((name, *(f"{count:,}" for count in areas.counts[i])) for i, name in enumerate(names)),
        ),
        Heading("Method"),
        Paragraph(METHOD),
    ]
    return Document(f"Areas and accuracy of {facts['map']}", tuple(blocks))


def accuracy_text(found: Estimate | None) -> str:
    """An accuracy with its interval; "not known" where too few points were checked."""
    if found is None or found.points < FEWEST_LABELS:
        return f"not known ({0 if found is None else found.points} points)"
    return _percent(found)


def _percent(found: Estimate) -> str:
    value, low, high = (f"{100 * each:.1f}" for each in (found.value, found.low, found.high))
    return f"{value} % ({low} to {high})"


def _error(found: Estimate | None) -> str:
    return "" if found is None or found.points < FEWEST_LABELS else f"{100 * found.error:.1f} %"


def _plain(found: Estimate) -> dict[str, float]:
    return found._asdict()


def _accuracy(found: Estimate | None) -> dict[str, Any]:
    if found is None or found.points < FEWEST_LABELS:
        return {"known": False, "points": 0 if found is None else found.points}
    return {"known": True, **_plain(found)}
