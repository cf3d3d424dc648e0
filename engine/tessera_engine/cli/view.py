"""The command `view`: the page in the browser."""

from __future__ import annotations

import os
import signal
import sys
import threading
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tessera_engine.cli import console
from tessera_engine.cli.app import app
from tessera_engine.cli.browser import open_page
from tessera_engine.cli.embeddings import NOTHING_LEFT
from tessera_engine.cli.options import Quiet
from tessera_engine.cli.signals import LISTEN_SECONDS, SIGNALS, exit_code_of, interruptible
from tessera_engine.errors import InputError

if TYPE_CHECKING:
    from tessera_engine.formats.embeddings.base import Embeddings
    from tessera_engine.view.segments import Segments

ONE_THREAD = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Settings of the linear algebra libraries. Their threads wait for each other longer than such small products take."""


@app.command()
def view(
    outputs: Annotated[
        list[Path],
        typer.Argument(metavar="OUTPUT", help="Output folder of embed or convert; two to compare years."),
    ],
    years: Annotated[
        list[int] | None,
        typer.Option(
            "--year", help="Year to use, if an output has several; one for each output, or two of one output."
        ),
    ] = None,
    untils: Annotated[
        list[datetime] | None,
        typer.Option(
            "--until",
            formats=["%Y-%m-%d"],
            metavar="DATE",
            help="Period to use, if an output has several: its last day; as often as --year.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--export",
            metavar="FOLDER",
            help="Write the page of one output into a folder and end. It needs no server: open its index.html.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="With --export: replace an earlier page.")
    ] = False,
    segments: Annotated[
        Path | None,
        typer.Option(
            "--segments",
            metavar="FILE",
            help="Polygons over the map, such as those of 'segment' or parcels: a click can label a whole one.",
        ),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
    quiet: Quiet = False,
) -> None:
    """Look at embeddings in the browser: click, label, map.

    Prints the address of a page that only this machine can open, and serves it until Ctrl-C. The address works once:
    give the command again for another browser.

    Example: tessera-engine view scene_dir.embeddings
    """
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")

    stop = _signals()
    opened = _open(outputs, years or [], [day.date() for day in untils or ()])
    if out is not None:
        _export(opened, out, overwrite, quiet)
        if segments is not None:
            console.say("note: --segments is for the served page; the folder has no outlines", quiet)
        return
    if overwrite:
        raise InputError("--overwrite is for --export; leave it out")
    from tessera_engine.view.server import Server

    server = Server(opened, None if segments is None else _segments(segments, opened[0], quiet))
    server.start()
    console.print_line(server.address)
    sys.stdout.flush()
    console.say("serving the page to this machine; Ctrl-C ends it", quiet)
    if not no_browser:
        threading.Thread(target=open_page, args=(server.address,), daemon=True).start()
    while not stop and not server.wait(LISTEN_SECONDS):
        pass
    cut_short = server.close()
    if cut_short:
        console.say(f"interrupted: {', '.join(sorted(set(cut_short)))}; nothing of that was published")
    if stop and (cut_short or stop[0] in (signal.SIGTERM, getattr(signal, "SIGHUP", None))):
        raise typer.Exit(exit_code_of(stop[0]))


def _export(opened: list[Embeddings], folder: Path, overwrite: bool, quiet: bool) -> None:
    """Write the page into a folder, and say where."""
    from tessera_engine.view.still import export_still

    if len(opened) > 1:
        raise InputError("--export writes the page of one output; give one")
    with interruptible(NOTHING_LEFT):
        made = export_still(opened[0], folder, overwrite, progress=not quiet)
    console.print_line(made.out)
    if made.step > 1:
        console.say(
            f"note: the output is too large for such a page, so it has every {made.step}th pixel across and down "
            f"({made.width} x {made.height}); serve the page with 'tessera-engine view' to see all",
            quiet,
        )
    console.say(f"open {made.out / 'index.html'} in a browser", quiet)


def _segments(path: Path, output: Embeddings, quiet: bool) -> Segments:
    """The segments over an output; what is left out is said."""
    from tessera_engine.view.segments import read_segments

    found = read_segments(path, output.grid)
    if found.note:
        console.say(f"note: {path}: {found.note}", quiet)
    return found


def _open(outputs: list[Path], years: list[int], untils: list[date]) -> list[Embeddings]:
    """The embeddings to show, one or two."""
    from tessera_engine.formats.opening import open_embeddings

    if len(outputs) == 1 and 2 in (len(years), len(untils)):
        outputs = outputs * 2
    if len(outputs) > 2:
        raise InputError(f"{len(outputs)} outputs were given; give one, or two to compare")
    for option, given in (("--year", years), ("--until", untils)):
        if given and len(given) != len(outputs):
            raise InputError(
                f"{option} was given {len(given)} times for {len(outputs)} outputs; give it once for each"
            )
    opened = [
        open_embeddings(path, year=years[i] if years else None, until=untils[i] if untils else None)
        for i, path in enumerate(outputs)
    ]
    if len(opened) == 2 and _names(opened[0]) == _names(opened[1]):
        raise InputError(
            f"{opened[0].path} was given twice; give outputs of two times, or --year or --until twice"
        )
    return opened


def _names(embeddings: Embeddings) -> tuple[Path, object]:
    about = embeddings.provenance
    return embeddings.path.resolve(), about.get("year") or about.get("season")


def _signals() -> list[int]:
    """A list that gets the number of the signal that asks the process to end; the second one ends it at once."""
    received: list[int] = []

    def stop(number: int, frame: object) -> None:
        if received:
            os._exit(exit_code_of(number))
        received.append(number)

    for number in SIGNALS:
        signal.signal(number, stop)
    return received
