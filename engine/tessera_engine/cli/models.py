"""The commands `model list`, `add` and `pack`. The export package adds `model import` and `model fetch`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tessera_engine.cli import console
from tessera_engine.cli.app import models
from tessera_engine.cli.embeddings import NOTHING_LEFT
from tessera_engine.cli.options import Json, Quiet
from tessera_engine.cli.signals import interruptible

if TYPE_CHECKING:
    from tessera_engine.model.carried import Added

INCOMPLETE = "what is finished is kept; give the same command again to make the rest"

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")]


@models.command("list")
def model_list(json: Json = False) -> None:
    """List the models on this machine.

    Example: tessera-engine model list
    """
    from tessera_engine.model.file import read_model_file
    from tessera_engine.model.installed import list_models

    opened = [read_model_file(path) for path in list_models()]
    if json:
        console.print_json(
            [
                {
                    "name": m.facts.name,
                    "precision": m.facts.precision,
                    "size": m.facts.size,
                    "file": str(m.path),
                }
                for m in opened
            ]
        )
        return
    rows = [
        (
            m.facts.name,
            m.facts.precision,
            m.facts.size,
            f"{m.path.stat().st_size / 1e6:.1f} MB",
            m.facts.licence,
            str(m.path),
        )
        for m in opened
    ]
    console.print_table(rows, ("name", "precision", "size", "file size", "licence", "file"))


@models.command("add")
@interruptible(INCOMPLETE, INCOMPLETE)
def model_add(
    source: Annotated[
        Path, typer.Argument(help="A model file (.onnx), a pack (.tessera), or a folder of these.")
    ],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace other files of the same model.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Add model files, so that embed finds them by name.

    Each file is checked as embed checks it, before anything is written. PyTorch and the network are not needed.

    Example: tessera-engine model add /media/stick/nano.tessera
    """
    from tessera_engine.model.carried import add_models

    say_added(add_models(source, overwrite), quiet)


def say_added(added: Iterable[Added], quiet: bool) -> None:
    """Print what was added, and where."""
    for each in added:
        console.say(f"{each.model.label} {'added' if each.new else 'is here already'}", quiet)
        console.print_line(each.model.path)


@models.command("pack")
@interruptible(NOTHING_LEFT)
def model_pack(
    name: Annotated[str, typer.Argument(help="A model on this machine.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write (.tessera).")],
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write all files of a model into one file to carry.

    Example: tessera-engine model pack nano -o nano.tessera
    """
    from tessera_engine.model.carried import pack_model

    packed = pack_model(name, out, overwrite)
    console.say(f"packed {name} in {', '.join(model.facts.precision for model in packed)}", quiet)
    console.print_line(out)
