"""The command `kit`: a folder to carry to machines without a network, and its check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tessera_engine.cli import console
from tessera_engine.cli.app import app
from tessera_engine.cli.embeddings import NOTHING_LEFT
from tessera_engine.cli.options import Quiet
from tessera_engine.cli.signals import interruptible
from tessera_engine.errors import CheckFailed, InputError


@app.command()
@interruptible(NOTHING_LEFT)
def kit(
    folder: Annotated[Path, typer.Argument(help="Folder to make, or to check with --verify.")],
    platform: Annotated[
        str,
        typer.Option(
            help="linux-x86_64, linux-aarch64, windows or macos-arm64; several with commas.", metavar="NAMES"
        ),
    ] = "linux-x86_64",
    models: Annotated[
        str, typer.Option(help="Models of this machine to carry; several with commas.", metavar="NAMES")
    ] = "demo",
    python: Annotated[
        str | None,
        typer.Option(
            help="Python of the other machines: 3.10 to 3.14; several with commas. Default: as here.",
            metavar="VERSIONS",
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Make nothing: check that a kit is complete and unchanged.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Make a folder that installs the engine without a network.

    This command runs in a checkout and uses the network: pip brings the packages from the index that it is configured
    to use.

    Example: tessera-engine kit kit --platform linux-x86_64,windows --python 3.11 --models demo
    """
    if verify:
        _verify(folder, quiet)
        return
    from tessera_engine.kit.make import LARGEST, make_kit

    made = make_kit(
        folder,
        _listed(platform),
        _listed(models),
        None if python is None else _listed(python),
        lambda line: console.say(line, quiet),
    )
    console.print_line(folder)
    for each in made:
        console.say(f"{each.target.name}: {len(each.packages)} packages, {each.bytes / 1e6:.0f} MB", quiet)
        if each.bytes > LARGEST:
            console.say(
                f"warning: the kit for {each.target.name} is larger than {LARGEST / 1e6:.0f} MB; give fewer --models"
            )


def _listed(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _verify(folder: Path, quiet: bool) -> None:
    from tessera_engine.kit.carried.install import SUMS, find_added, find_problems

    if not (folder / SUMS).is_file():
        raise InputError(
            f"{folder} is not a kit: it has no {SUMS}; give the folder that 'tessera-engine kit' made"
        )
    problems = find_problems(folder)
    for problem in problems:
        console.say(problem)
    if problems:
        raise CheckFailed(
            f"{folder} is not as it was made: {len(problems)} problems, see above; copy it again"
        )
    added = find_added(folder)
    if added:
        names = ", ".join(added[:3])
        console.say(f"note: {len(added)} files were not packed and are not used: {names}", quiet)
    console.print_line(folder)
    console.say("all files are there and unchanged", quiet)
