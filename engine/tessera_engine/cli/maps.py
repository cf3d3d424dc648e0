"""Commands on finished embeddings: `convert`, `picture`, `similar`, `change` and `map`."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from tessera_engine.cli.app import Json, Memory, Quiet, Threads, app, interruptible
from tessera_engine.errors import InputError
from tessera_engine.formats.registry import appendable, described, format_named

Embeddings = Annotated[Path, typer.Argument(help="Output folder of embed or convert.")]
Out = Annotated[Path | None, typer.Option("-o", "--out", help="Folder for the results. Default: beside you.")]
OfYear = Annotated[int | None, typer.Option("--year", help="Which year, of an output that has several.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace earlier results.")]

NOTHING_LEFT = "nothing was written"


def _default_out(embeddings: Path, ending: str) -> Path:
    return Path(f"{embeddings.absolute().name.removesuffix('.embeddings')}.{ending}")


@app.command()
def convert(
    embeddings: Embeddings,
    format: Annotated[str, typer.Option(help=f"{described()}.")],
    out: Out = None,
    dim: Annotated[int | None, typer.Option(help="Keep the first 16, 32, 64 or 128 dimensions.")] = None,
    year: Annotated[
        int | None,
        typer.Option(
            min=2015, help="Of the observations, if the output doesn't say; or which, if it has several."
        ),
    ] = None,
    overwrite: Overwrite = False,
    append: Annotated[
        bool, typer.Option("--append", help=f"Add to the {' or '.join(appendable())} output at --out.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Write finished embeddings in another format, without computing them again.

    Example: tessera-engine convert scene_dir.embeddings --format zarr --year 2024
    """
    from tessera_engine.cli import console
    from tessera_engine.formats.opening import open_embeddings, stored_years
    from tessera_engine.running.convert import convert as write

    opened = open_embeddings(embeddings, dim, year if year in stored_years(embeddings) else None)
    target = out or _default_out(embeddings, format)
    if format_named(format).int8_only and opened.stored_as != "int8":
        console.say(f"note: {format} holds int8 codes only, so the float32 embeddings are quantised", quiet)
    with interruptible(NOTHING_LEFT), console.progress_bar("converting", quiet, "px") as progress:
        write(opened, target, format, year, overwrite, progress, append)
    print(target)


@app.command()
def picture(
    embeddings: Embeddings,
    quicklook: Annotated[
        str, typer.Option(help="What it shows: pca (principal components) or clusters.")
    ] = "pca",
    palette: Annotated[
        Path | None,
        typer.Option(
            help="Colours for the pictures of several scenes: read if it is there, else written.",
            metavar="FILE",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="The PNG. Default: named after the embeddings, beside you."),
    ] = None,
    dim: Annotated[int | None, typer.Option(help="Show the first 16, 32, 64 or 128 dimensions.")] = None,
    year: OfYear = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Draw finished embeddings anew: as principal components or clusters, in the colours of other pictures.

    Example: tessera-engine picture scene_dir.embeddings --quicklook clusters --palette farm.json
    """
    from tessera_engine.cli import console
    from tessera_engine.formats.opening import open_embeddings
    from tessera_engine.pictures.make import make_picture

    target = out or _default_out(embeddings, f"{quicklook}.png")
    with interruptible(NOTHING_LEFT), console.progress_bar("drawing", quiet, "px") as progress:
        make_picture(open_embeddings(embeddings, dim, year), target, quicklook, palette, overwrite, progress)
    print(target)


class _Points(TyperCommand):
    """A command with `--at LON LAT`: typer knows options that repeat and options that are pairs, not both."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Make one word of the two that follow each `--at`."""
        words = list(args)
        for place in [i for i, word in enumerate(words[:-2]) if word == "--at"][::-1]:
            # An option may follow where the latitude was forgotten
            if re.match(r"[-+]?[.\d]", words[place + 2]):
                words[place + 1 : place + 3] = [" ".join(words[place + 1 : place + 3])]
        return super().parse_args(ctx, words)


def _point(text: str) -> tuple[float, float]:
    try:
        lon, lat = map(float, text.split())
    except ValueError:
        raise InputError(
            f"--at '{text}' is not a longitude and a latitude; write it like --at 4.021 50.804"
        ) from None
    return lon, lat


@app.command(cls=_Points)
def similar(
    embeddings: Embeddings,
    at: Annotated[
        list[str],
        typer.Option(help="What to look for, in degrees; may be given again.", metavar="LON LAT"),
    ],
    out: Out = None,
    top: Annotated[float, typer.Option(help="Share of the pixels that are the top regions.")] = 0.01,
    year: OfYear = None,
    dim: Annotated[int | None, typer.Option(help="Compare the first 16, 32, 64 or 128 dimensions.")] = None,
    memory: Memory = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Find where it is like at given points: a map of the cosine similarity, and the top regions as GeoJSON.

    With several points, a pixel counts as similar as it is to the most similar one.

    Example: tessera-engine similar scene_dir.embeddings --at 4.021 50.804
    """
    from tessera_engine.analysis.similar import find_similar
    from tessera_engine.cli import console
    from tessera_engine.formats.opening import open_embeddings
    from tessera_engine.running.memory import parse_size

    with interruptible(NOTHING_LEFT):
        opened = open_embeddings(embeddings, dim, year)
        points = [_point(text) for text in at]
        target = out or _default_out(embeddings, "similar")
        found = find_similar(opened, points, target, top, overwrite, parse_size(memory) if memory else None)
    if json:
        console.print_json({"out": str(found.out), "threshold": found.threshold, "regions": found.regions})
        return
    print(found.out)
    _say_regions(found.regions, "similarity", quiet)
    console.say(
        f"{len(found.regions)} regions from {found.threshold:.3f} on; look at {found.out / 'similarity.tif'}",
        quiet,
    )


def _say_regions(regions: list[dict[str, Any]], quantity: str, quiet: bool) -> None:
    """The largest ones."""
    from tessera_engine.cli import console

    for region in regions[:5]:
        console.say(
            f"{region['hectares']:8.2f} ha around {region['lon']:.5f} {region['lat']:.5f}, "
            f"{quantity} {region[f'mean_{quantity}']:.3f}",
            quiet,
        )


@app.command()
def change(
    before: Annotated[Path, typer.Argument(help="Output folder of embed or convert, of one year.")],
    after: Annotated[Path, typer.Argument(help="The same place in another year, by the same model.")],
    out: Out = None,
    top: Annotated[float, typer.Option(help="Share of the pixels that are the top regions.")] = 0.01,
    years: Annotated[
        tuple[int, int] | None,
        typer.Option(help="Which year of each, where they have several.", metavar="YEAR YEAR"),
    ] = None,
    dim: Annotated[int | None, typer.Option(help="Compare the first 16, 32, 64 or 128 dimensions.")] = None,
    memory: Memory = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Find what has changed between two years: a map of the change, and the top regions as GeoJSON.

    What all pixels have in common (weather, dates) is taken away. 0 is no other change, 1 is as different as two random
    pixels of the scene.

    Example: tessera-engine change 2023.embeddings 2024.embeddings
    """
    from tessera_engine.analysis.change import find_change
    from tessera_engine.cli import console
    from tessera_engine.formats.opening import open_embeddings
    from tessera_engine.running.memory import parse_size

    target = out or _default_out(before, _default_out(after, "change").name)
    with interruptible(NOTHING_LEFT), console.progress_bar("comparing", quiet, "px") as progress:
        opened = [
            open_embeddings(path, dim, year)
            for path, year in zip((before, after), years or (None, None), strict=True)
        ]
        limit = parse_size(memory) if memory else None
        found = find_change(opened[0], opened[1], target, top, overwrite, progress, limit)
    if json:
        console.print_json(asdict(found) | {"out": str(found.out)})
        return
    print(found.out)
    _say_regions(found.regions, "change", quiet)
    console.say(
        f"{len(found.regions)} regions from {found.threshold:.3f} on; the median pixel has {found.typical:.3f}, and "
        f"{found.common:.3f} that all have in common was taken away; look at {found.out / 'change.tif'}",
        quiet,
    )


@app.command(name="map")
def make_map(
    embeddings: Embeddings,
    labels: Annotated[
        Path, typer.Option(help="Points or polygons (GeoJSON, GeoPackage, ...), or a GeoTIFF.")
    ],
    field: Annotated[str | None, typer.Option(help="The field of points or polygons to map.")] = None,
    out: Out = None,
    train: Annotated[
        Path | None,
        typer.Option(
            help="Embeddings in which the labels lie, by the same model. Default: those that are mapped."
        ),
    ] = None,
    method: Annotated[
        str, typer.Option(help="linear (logistic or ridge regression), knn or forest.")
    ] = "linear",
    regression: Annotated[
        bool, typer.Option("--regression", help="Labels are numbers, not classes.")
    ] = False,
    block: Annotated[
        float | None,
        typer.Option(
            help="Side of the blocks for validation, in metres. Default: a fifth of the labelled part."
        ),
    ] = None,
    year: OfYear = None,
    train_year: Annotated[int | None, typer.Option(help="The same for --train.")] = None,
    dim: Annotated[int | None, typer.Option(help="Use the first 16, 32, 64 or 128 dimensions.")] = None,
    memory: Memory = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Map a scene from a few labels, and say how good the map is where it has seen none (by spatial blocks).

    Example: tessera-engine map scene_dir.embeddings --labels points.geojson --field crop
    """
    from tessera_engine.analysis.maps import make
    from tessera_engine.cli import console
    from tessera_engine.formats.opening import open_embeddings
    from tessera_engine.machine import check_threads
    from tessera_engine.running.memory import parse_size

    with interruptible(NOTHING_LEFT), console.progress_bar("mapping", quiet, "px") as progress:
        made = make.make_map(
            open_embeddings(embeddings, dim, year),
            labels,
            out or _default_out(embeddings, "map"),
            field=field,
            train=open_embeddings(train, dim, train_year) if train else None,
            method=method,
            regression=regression,
            block_metres=block,
            threads=check_threads(threads),
            overwrite=overwrite,
            progress=progress,
            memory=parse_size(memory) if memory else None,
        )
    for note in made.notes:
        console.say(f"note: {note}", quiet)
    report = made.report
    if json:
        console.print_json({"out": str(made.out), **report})
        return
    print(made.out)
    if "classes" in report:
        rows = [
            (name, *(f"{each[score]:.2f}" for score in ("precision", "recall", "f1")), each["labels"])
            for name, each in report["classes"].items()
        ]
        console.print_table(rows, ("class", "precision", "recall", "F1", "labels"))
        scores = f"accuracy {report['accuracy']:.3f}, balanced {report['balanced_accuracy']:.3f}"
    else:
        scores = f"R2 {report['r2']:.3f}, RMSE {report['rmse']:.4g}, MAE {report['mae']:.4g}"
    console.say(
        f"{scores}, in {report['folds']} folds over {report['blocks']} blocks of {report['block_metres']:g} m; "
        f"look at {made.out / 'map.png'}",
        quiet,
    )
