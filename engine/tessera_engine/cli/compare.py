"""The commands `similar` and `change`: embeddings compared with those of given points, or of another time."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tessera_engine.cli import console
from tessera_engine.cli.app import app
from tessera_engine.cli.embeddings import NOTHING_LEFT, OfYear, Out, Overwrite, Several, Until
from tessera_engine.cli.help_page import Command
from tessera_engine.cli.options import Json, Memory, Quiet
from tessera_engine.cli.signals import interruptible
from tessera_engine.errors import InputError


class _Points(Command):
    """A command with `--at LON LAT`, repeatable. Typer has options that repeat and options of two values, not both."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Join the two words after each `--at` into one."""
        words = list(args)
        for place in [i for i, word in enumerate(words[:-2]) if word == "--at"][::-1]:
            # If the latitude is missing, an option may follow
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
    embeddings: Several,
    at: Annotated[
        list[str],
        typer.Option(help="Point to compare with, in degrees; may be repeated.", metavar="LON LAT"),
    ],
    out: Out = None,
    top: Annotated[float, typer.Option(help="Share of all pixels that belong to the top regions.")] = 0.01,
    year: OfYear = None,
    until: Until = None,
    dim: Annotated[
        int | None, typer.Option(help="Compare only the first 16, 32, 64 or 128 dimensions.")
    ] = None,
    memory: Memory = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Find places similar to given points.

    Writes a map of the cosine similarity, and the top regions as GeoJSON. With several points, each pixel gets its
    similarity to the most similar point. Several outputs of one model are searched together.

    Example: tessera-engine similar scene_dir.embeddings --at 4.021 50.804
    """
    from tessera_engine.analysis.similar import similar as find

    with interruptible(NOTHING_LEFT):
        found = find(
            embeddings,
            [_point(text) for text in at],
            out,
            top=top,
            dim=dim,
            year=year,
            until=until and until.date(),
            memory=memory,
            overwrite=overwrite,
            progress=console.progress_for(quiet, json),
        )
    if json:
        console.print_json({"out": str(found.out), "threshold": found.threshold, "regions": found.regions})
        return
    console.print_line(found.out)
    _print_regions(found.regions, "similarity", quiet)
    console.say(
        f"{len(found.regions)} regions with a similarity of at least {found.threshold:.3f}; see "
        f"{found.out / ('similarity.tif' if len(embeddings) == 1 else '*/similarity.tif')}",
        quiet,
    )


def _print_regions(regions: list[dict[str, Any]], quantity: str, quiet: bool) -> None:
    """Print the largest regions."""
    for region in regions[:5]:
        console.say(
            f"{region['hectares']:8.2f} ha around {region['lon']:.5f} {region['lat']:.5f}, "
            f"{quantity} {region[f'mean_{quantity}']:.3f}",
            quiet,
        )


@app.command()
def change(
    outputs: Annotated[
        list[Path],
        typer.Argument(
            help="Output folders of embed or convert, of the same places at two times, by one model; with --from-to "
            "two maps."
        ),
    ],
    out: Out = None,
    from_to: Annotated[
        bool,
        typer.Option(
            "--from-to",
            help="Compare two maps of classes (folders of map, or GeoTIFFs): what became of each class, in hectares.",
        ),
    ] = False,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="With --from-to: points that were checked, for areas with intervals; see the command area."
        ),
    ] = None,
    field: Annotated[
        str | None,
        typer.Option(
            help="With --reference: field with the transition, or what two fields begin with (NAME_before and "
            "NAME_after). Default: reference."
        ),
    ] = None,
    top: Annotated[
        float | None,
        typer.Option(help="Share of all pixels that belong to the top regions. Default: 0.01."),
    ] = None,
    years: Annotated[
        tuple[int, int] | None,
        typer.Option(help="The two years to use, of outputs with several.", metavar="YEAR YEAR"),
    ] = None,
    untils: Annotated[
        tuple[datetime, datetime] | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="The last days of the two periods to use, of outputs with several.",
            metavar="DATE DATE",
        ),
    ] = None,
    dim: Annotated[
        int | None, typer.Option(help="Compare only the first 16, 32, 64 or 128 dimensions.")
    ] = None,
    memory: Memory = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Find what changed between two years.

    Writes a map of the change, and the top regions as GeoJSON. The change that all pixels have in common (weather,
    dates) is removed. 0 means no other change, 1 means as different as two random pixels of the scene. Of two outputs
    the first is compared with the second; more are grouped by year, and compared place by place. With --from-to:
    a map of transitions between the classes of two maps, and their areas.

    Example: tessera-engine change 2023.embeddings 2024.embeddings
    """
    from tessera_engine.analysis.change import change as find
    from tessera_engine.analysis.pairs import two_times

    if from_to:
        given = {"--top": top, "--years": years, "--untils": untils, "--dim": dim, "--memory": memory}
        _refuse(given, "compares embeddings, and --from-to compares maps; leave it out")
        if len(outputs) != 2:
            raise InputError(
                f"--from-to got {len(outputs)} maps, expected two: the earlier and the later one"
            )
        _from_to((outputs[0], outputs[1]), out, reference, field, overwrite, quiet, json)
        return
    _refuse({"--reference": reference, "--field": field}, "needs --from-to and two maps")
    days = untils and (untils[0].date(), untils[1].date())
    with interruptible(NOTHING_LEFT):
        before, after = two_times(outputs, years, days)
        found = find(
            before,
            after,
            out,
            top=top,  # type: ignore[arg-type]  # None is the default
            dim=dim,
            years=years,
            untils=days,
            memory=memory,
            overwrite=overwrite,
            progress=console.progress_for(quiet, json),
        )
    for note in found.notes:
        console.say(f"note: {note}", quiet)
    if json:
        console.print_json(asdict(found) | {"out": str(found.out)})
        return
    console.print_line(found.out)
    _print_regions(found.regions, "change", quiet)
    maps = "change.tif" if (found.out / "change.tif").exists() else "*/change.tif"
    console.say(
        f"{len(found.regions)} regions with a change of at least {found.threshold:.3f}; the median pixel has "
        f"{found.typical:.3f}, after removing {found.common:.3f} that all pixels have in common; see "
        f"{found.out / maps}",
        quiet,
    )


def _refuse(options: dict[str, Any], why: str) -> None:
    """Refuse options that were given and can't have an effect."""
    for name, value in options.items():
        if value is not None:
            raise InputError(f"{name} {why}")


def _from_to(
    maps: tuple[Path, Path],
    out: Path | None,
    reference: Path | None,
    field: str | None,
    overwrite: bool,
    quiet: bool,
    json: bool,
) -> None:
    from tessera_engine.analysis.transitions.make import from_to as find

    with interruptible(NOTHING_LEFT):
        found = find(*maps, out, reference=reference, field=field or "reference", overwrite=overwrite)
    if found.areas is not None:
        for note in found.areas.notes:
            console.say(f"note: {note}", quiet)
    if json:
        console.print_json(found.to_dict() | {"out": str(found.out)})
        return
    console.print_line(found.out)
    rows = [(name, *(f"{value:,.1f}" for value in found.hectares[i])) for i, name in enumerate(found.classes)]
    console.print_table(rows, ("ha from", *(f"to {name}" for name in found.classes)))
    console.say(f"{100 * found.unchanged:.1f} % unchanged; see {found.out / 'report.html'}", quiet)
