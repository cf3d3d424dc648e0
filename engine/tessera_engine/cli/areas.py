"""The commands `sample-design` and `area`: points to check, and what they say of a map's areas."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tessera_engine.cli import console
from tessera_engine.cli.app import app
from tessera_engine.cli.embeddings import NOTHING_LEFT, Overwrite
from tessera_engine.cli.options import Json, Quiet
from tessera_engine.cli.signals import interruptible
from tessera_engine.errors import InputError

Map = Annotated[Path, typer.Argument(help="Folder of map or change, or a GeoTIFF of classes.")]
MapNodata = Annotated[
    float | None,
    typer.Option(
        "--nodata", help="The map's value of pixels without a class. Default: what the file declares."
    ),
]


def _accuracies(given: list[str] | None) -> float | dict[str, float] | None:
    """`0.8`, or any number of `CLASS=0.7`."""
    if not given:
        return None
    found: dict[str, float] = {}
    for text in given:
        name, _, share = text.rpartition("=")
        try:
            found[name] = float(share)
        except ValueError:
            raise InputError(
                f"--expected-accuracy '{text}' is not a share such as 0.8, nor a class with its share such as maize=0.8"
            ) from None
    if "" in found and len(found) > 1:
        raise InputError(
            "give --expected-accuracy either once for all classes, or with the name of a class each time"
        )
    return found.get("", found)


@app.command(name="sample-design")
def sample_design(
    map: Map,
    out: Annotated[
        Path,
        typer.Option("-o", "--out", help="Points to write: .gpkg, .geojson, .parquet (GeoParquet) or .csv."),
    ],
    per_class: Annotated[int | None, typer.Option(help="Points of each class.", metavar="N")] = None,
    standard_error: Annotated[
        float | None,
        typer.Option(
            help="Instead of --per-class: as many points as give the overall accuracy this standard error, like 0.01.",
            metavar="SHARE",
        ),
    ] = None,
    expected_accuracy: Annotated[
        list[str] | None,
        typer.Option(
            help="Accuracy that you expect, for --standard-error: 0.8, or maize=0.7 for a class; may be repeated. "
            "Default: 0.8.",
            metavar="SHARE",
        ),
    ] = None,
    least: Annotated[int, typer.Option(help="With --standard-error: the fewest points of a class.")] = 50,
    seed: Annotated[int, typer.Option(help="Seed of the random draw.")] = 0,
    show_class: Annotated[
        bool,
        typer.Option(
            "--show-class",
            help="Write the map's class of each point. Default: whoever checks doesn't see it.",
        ),
    ] = False,
    nodata: MapNodata = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Draw random points of a map's classes, to check.

    Check them on the ground or in images. Fill in their empty column "reference", and give the file to area.

    Example: tessera-engine sample-design scene_dir.map -o points.gpkg --per-class 50
    """
    from tessera_engine.analysis.areas.design import sample_design as draw

    with interruptible(NOTHING_LEFT):
        made = draw(
            map,
            out,
            overwrite=overwrite,
            per_class=per_class,
            standard_error=standard_error,
            expected_accuracy=_accuracies(expected_accuracy),
            least=least,
            seed=seed,
            show_class=show_class,
            nodata=nodata,
        )
    for note in made.notes:
        console.say(f"note: {note}", quiet)
    if json:
        console.print_json({"out": str(made.out), "points": dict(made.points), "pixels": dict(made.pixels)})
        return
    console.print_line(made.out)
    if not quiet:
        rows = [(name, f"{made.pixels[name]:,}", f"{count:,}") for name, count in made.points.items()]
        console.print_table(rows, ("class", "pixels", "points"))
    console.say(
        f"{sum(made.points.values()):,} points in random order; fill in {' and '.join(made.empty)} of each",
        quiet,
    )


@app.command()
def area(
    map: Map,
    reference: Annotated[
        Path,
        typer.Option(help="Points that were checked: the file of sample-design, with its column filled in."),
    ],
    field: Annotated[str, typer.Option(help="Field with the class that was found.")] = "reference",
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Folder for the report. Default: print the main table."),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Layer of the points. Default: the only layer that has some.")
    ] = None,
    reference_crs: Annotated[
        str | None,
        typer.Option(help="CRS of the points' coordinates, such as EPSG:32631. Default: what the file says."),
    ] = None,
    nodata: MapNodata = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Estimate areas and accuracy, with intervals.

    The estimates come from a random sample of points that were checked (Olofsson et al. 2014, Stehman 2014).
    Counted pixels of a map are no estimate of areas.

    Example: tessera-engine area scene_dir.map --reference points.gpkg -o scene_dir.area
    """
    from tessera_engine.analysis.areas.measure import area as measure
    from tessera_engine.analysis.areas.result import accuracy_text

    with interruptible(NOTHING_LEFT):
        found = measure(
            map,
            reference,
            field,
            out,
            overwrite=overwrite,
            layer=layer,
            reference_crs=reference_crs,
            nodata=nodata,
        )
    for note in found.notes:
        console.say(f"note: {note}", quiet)
    if json:
        console.print_json(found.to_dict() | ({} if out is None else {"out": str(out)}))
        return
    if out is not None:
        console.print_line(out)
    rows = [
        (
            each.name,
            f"{each.mapped:,.1f}",
            f"{each.hectares.value:,.1f} ({each.hectares.low:,.1f} to {each.hectares.high:,.1f})",
            accuracy_text(each.users),
            accuracy_text(each.producers),
        )
        for each in found.classes
    ]
    console.print_table(
        rows, ("class", "ha on the map", "area in ha", "user's accuracy", "producer's accuracy")
    )
    overall = found.overall
    console.say(
        f"overall accuracy {100 * overall.value:.1f} % ({100 * overall.low:.1f} to {100 * overall.high:.1f}) from "
        f"{overall.points:,} points; in brackets: 95 % intervals",
        quiet,
    )
