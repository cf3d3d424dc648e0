"""The command `docs`: the documentation as pages, without a network."""

from __future__ import annotations

from typing import Annotated

import typer

from tessera_engine.cli import console
from tessera_engine.cli.app import app
from tessera_engine.cli.browser import open_page


@app.command()
def docs(
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the path.")] = False,
) -> None:
    """Open this documentation in the browser, without a network.

    Prints the path of the first page. A kit and the wheel of a release have the pages; in a checkout 'make docs' builds
    them.

    Example: tessera-engine docs
    """
    from tessera_engine.kit.pages import find_pages

    first = find_pages()
    console.print_line(first)
    if no_browser or not open_page(first.as_uri()):
        console.say("open this file in a browser")
