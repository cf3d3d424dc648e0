"""A folder of results made from embeddings: it appears complete, by rename, or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tessera_engine.errors import InputError
from tessera_engine.files.durable import sync_all
from tessera_engine.files.output import is_output


@contextmanager
def result_folder(out: Path, overwrite: bool) -> Iterator[Path]:
    """Give a folder to write into, which becomes `out` when the with-block ends well and vanishes when not.

    Args:
        out: where the results shall appear.
        overwrite: replace earlier results there; nothing but a folder of this engine, by its item.json, ever is.

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
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # Beside it, so that the rename stays on one disk
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise InputError(
            f"can't write to {out.parent}: {error.strerror}; choose another place with -o"
        ) from None
    try:
        made = work / "made"
        made.mkdir()
        yield made
        if out.exists():
            # Nothing of the earlier one goes before all of this one is there
            sync_all(made)
            out.rename(work / "replaced")
        try:
            made.rename(out)
        except OSError:
            if (work / "replaced").exists():
                (work / "replaced").rename(out)
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
