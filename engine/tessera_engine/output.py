"""The output folder: it appears complete, by rename, or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tessera_engine.errors import InputError

ITEM = "item.json"


@contextmanager
def output_folder(out: Path, overwrite: bool) -> Iterator[Path]:
    """Give a folder to write into, which becomes `out` when the with-block ends well and vanishes when not.

    Args:
        out: where the output shall appear.
        overwrite: replace an earlier output there; nothing but an output of this engine is ever replaced.

    Raises:
        InputError: something stands there already, or the place can't be written.
    """
    out = out.absolute()
    if out.exists():
        if not overwrite:
            raise InputError(
                f"{out} exists already; give --overwrite to replace it, or another place with -o"
            )
        if not is_output(out):
            raise InputError(f"{out} is not an output of tessera-engine, so --overwrite leaves it alone")
    partial = out.with_name(f"{out.name}.partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
    except OSError as error:
        raise InputError(
            f"can't write to {out.parent}: {error.strerror}; choose another place with -o"
        ) from None
    try:
        yield partial
        replaced = out.with_name(f"{out.name}.replaced")
        shutil.rmtree(replaced, ignore_errors=True)
        if out.exists():
            out.rename(replaced)
        partial.rename(out)
        shutil.rmtree(replaced, ignore_errors=True)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def is_output(folder: Path) -> bool:
    """Whether the folder is an output of this engine, by its item.json."""
    try:
        item = json.loads((folder / ITEM).read_text(encoding="utf-8"))
        return any(key.startswith("tessera:") for key in item["properties"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
