"""Arguments and options of the commands that work on embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Embeddings = Annotated[Path, typer.Argument(help="Output folder of embed or convert.")]
Out = Annotated[
    Path | None, typer.Option("-o", "--out", help="Folder for the results. Default: in the current folder.")
]
OfYear = Annotated[int | None, typer.Option("--year", help="Year to use, if the output has several.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing results.")]

NOTHING_LEFT = "nothing was published, and earlier results are as they were; give the same command again"
"""What `interruptible` reports."""
