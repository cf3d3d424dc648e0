"""Commands on finished embeddings: `convert`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from tessera_engine.cli.app import Quiet, app

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
