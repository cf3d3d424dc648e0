"""Runs the notebooks of docs/notebooks, and keeps in them what they show: `make notebooks`.

So they can be read where nothing runs. `tests/test_notebooks.py` runs them and compares.
"""

from __future__ import annotations

import base64
import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

FOLDER = Path(__file__).parent / "notebooks"

SECONDS = 300
"""That a cell may take."""

NUMBERS, SHADES = 0.05, 4
"""What may differ between machines, whose sums differ in the last digits: numbers by this share, pictures by this mean
difference of their values, of 255."""

_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def execute(path: Path) -> NotebookNode:
    """The notebook with what its cells show, run in a folder of its own."""
    notebook = nbformat.read(path, as_version=4)
    # The program that belongs to this Python comes first
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with tempfile.TemporaryDirectory() as folder:
        # In one piece, however the program's writing was cut
        client = NotebookClient(
            notebook, timeout=SECONDS, coalesce_streams=True, resources={"metadata": {"path": folder}}
        )
        client.execute()
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.clear()
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop("image/jpeg", None)  # the same picture again
            if output.output_type == "stream":
                output["text"] = _COLOUR.sub("", output.text).replace("\r\n", "\n")
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def differences(kept: NotebookNode, found: NotebookNode) -> Iterator[str]:
    """What two runs of a notebook show differently, a line each."""
    cells = [[cell for cell in each.cells if cell.cell_type == "code"] for each in (kept, found)]
    for number, (one, other) in enumerate(zip(*cells, strict=True), 1):
        shown = [list(_shown(cell)) for cell in (one, other)]
        if [kind for kind, _ in shown[0]] != [kind for kind, _ in shown[1]]:
            yield f"cell {number} shows {[kind for kind, _ in shown[1]]}, kept are {[kind for kind, _ in shown[0]]}"
            continue
        for (kind, before), (_, after) in zip(*shown, strict=True):
            if not (_same_picture if kind == "image/png" else _same_text)(before, after):
                yield f"cell {number} shows another {kind}: {after[:200]}"


def _shown(cell: NotebookNode) -> Iterator[tuple[str, str]]:
    for output in cell.outputs:
        if output.output_type == "error":
            yield "error", output.evalue
        elif output.output_type == "stream":
            if output.text.strip():
                yield output.name, output.text
        else:
            yield from sorted(output.data.items())


def _same_text(one: str, other: str) -> bool:
    if _NUMBER.sub("", one).split() != _NUMBER.sub("", other).split():
        return False
    numbers = [[float(each.replace(",", "")) for each in _NUMBER.findall(text)] for text in (one, other)]
    return np.allclose(*numbers, rtol=NUMBERS, atol=NUMBERS)


def _same_picture(one: str, other: str) -> bool:
    pictures = [Image.open(io.BytesIO(base64.b64decode(each))).convert("RGB") for each in (one, other)]
    if pictures[0].size != pictures[1].size:
        return False
    values = [np.asarray(each, np.float64) for each in pictures]
    return bool(np.abs(values[0] - values[1]).mean() < SHADES)


def main() -> None:
    """Run all of them."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        nbformat.write(execute(path), path)
        print(path)


if __name__ == "__main__":
    main()
