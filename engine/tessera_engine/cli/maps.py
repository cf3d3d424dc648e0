"""Commands on finished embeddings: `convert`, `picture`, `similar` and `map`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from tessera_engine.cli.app import Json, Quiet, Threads, app
from tessera_engine.errors import InputError

Embeddings = Annotated[Path, typer.Argument(help="Output folder of embed or convert.")]
Out = Annotated[Path | None, typer.Option("-o", "--out", help="Folder for the results. Default: beside you.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace earlier results.")]


@contextmanager
def _nothing_left() -> Iterator[None]:
    """Say what Ctrl-C has left, after the unfinished folder has vanished."""
    try:
        yield
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        raise typer.Exit(130) from None


def _default_out(embeddings: Path, ending: str) -> Path:
    return Path(f"{embeddings.absolute().name.removesuffix('.embeddings')}.{ending}")


@app.command()
def convert(
    embeddings: Embeddings,
    format: Annotated[str, typer.Option(help="cog, npy, zarr or geotessera.")],
    out: Out = None,
    dim: Annotated[int | None, typer.Option(help="Keep the first 16, 32, 64 or 128 dimensions.")] = None,
    year: Annotated[
        int | None, typer.Option(min=2015, help="Of the observations, if the output doesn't say.")
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write finished embeddings in another format, without computing them again.

    Example: tessera-engine convert scene_dir.embeddings --format zarr --year 2024
    """
    from tessera_engine import console
    from tessera_engine.convert import convert as write
    from tessera_engine.embeddings import open_embeddings
    from tessera_engine.writers import INT8_FORMATS

    opened = open_embeddings(embeddings, dim)
    target = out or _default_out(embeddings, format)
    if format in INT8_FORMATS and opened.store != "int8":
        console.say(f"note: {format} holds int8 codes only, so the float32 embeddings are quantised", quiet)
    with _nothing_left(), console.progress_bar("converting", quiet, "px") as progress:
        write(opened, target, format, year, overwrite, progress)
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
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Draw finished embeddings anew: as principal components or clusters, in the colours of other pictures.

    Example: tessera-engine picture scene_dir.embeddings --quicklook clusters --palette farm.json
    """
    from tessera_engine import console
    from tessera_engine.embeddings import open_embeddings
    from tessera_engine.pictures.make import make_picture

    target = out or _default_out(embeddings, f"{quicklook}.png")
    with _nothing_left(), console.progress_bar("drawing", quiet, "px") as progress:
        make_picture(open_embeddings(embeddings, dim), target, quicklook, palette, overwrite, progress)
    print(target)


def _point(text: str) -> tuple[float, float]:
    """Longitude and latitude from `LON,LAT`: typer knows options that repeat and options that are pairs, not both."""
    try:
        lon, lat = map(float, text.split(","))
    except ValueError:
        raise InputError(
            f"--at '{text}' is not LON,LAT in degrees; write it like --at 4.021,50.804"
        ) from None
    return lon, lat


@app.command()
def similar(
    embeddings: Embeddings,
    at: Annotated[
        list[str],
        typer.Option(help="What to look for, in degrees; may be given again.", metavar="LON,LAT"),
    ],
    out: Out = None,
    top: Annotated[float, typer.Option(help="Share of the pixels that are the top regions.")] = 0.01,
    dim: Annotated[int | None, typer.Option(help="Compare the first 16, 32, 64 or 128 dimensions.")] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Find where it is like at given points: a map of the cosine similarity, and the top regions as GeoJSON.

    With several points, a pixel counts as similar as it is to the most similar one.

    Example: tessera-engine similar scene_dir.embeddings --at 4.021,50.804
    """
    from tessera_engine import console
    from tessera_engine.embeddings import open_embeddings
    from tessera_engine.similar import find_similar

    with _nothing_left():
        opened = open_embeddings(embeddings, dim)
        points = [_point(text) for text in at]
        found = find_similar(opened, points, out or _default_out(embeddings, "similar"), top, overwrite)
    if json:
        console.print_json({"out": str(found.out), "threshold": found.threshold, "regions": found.regions})
        return
    print(found.out)
    for region in found.regions[:5]:
        console.say(
            f"{region['hectares']:8.2f} ha around {region['lon']:.5f} {region['lat']:.5f}, "
            f"similarity {region['mean_similarity']:.3f}",
            quiet,
        )
    console.say(
        f"{len(found.regions)} regions from {found.threshold:.3f} on; look at {found.out / 'similarity.tif'}",
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
    dim: Annotated[int | None, typer.Option(help="Use the first 16, 32, 64 or 128 dimensions.")] = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Map a scene from a few labels, and say how good the map is where it has seen none (by spatial blocks).

    Example: tessera-engine map scene_dir.embeddings --labels points.geojson --field crop
    """
    from tessera_engine import api, console
    from tessera_engine.embeddings import open_embeddings
    from tessera_engine.maps import make

    with _nothing_left(), console.progress_bar("mapping", quiet, "px") as progress:
        made = make.make_map(
            open_embeddings(embeddings, dim),
            labels,
            out or _default_out(embeddings, "map"),
            field=field,
            train=open_embeddings(train, dim) if train else None,
            method=method,
            regression=regression,
            block_metres=block,
            threads=api.check_threads(threads),
            overwrite=overwrite,
            progress=progress,
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
