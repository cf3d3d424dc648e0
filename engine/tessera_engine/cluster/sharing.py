"""The folder that all machines share: how a cell's files come into it, and how it is closed when all are there.

Workers write into `<out>.partial/cells`. When all cells are finished, their files move out of it by two renames: a
worker that nobody waits for any more, because it hung or its network was cut, finds no folder there when it goes on,
and makes none. So what has been checked stays as it is, and nothing comes back after the output has been published.
"""

from __future__ import annotations

import shutil
import uuid
from contextlib import suppress
from functools import partial
from pathlib import Path

from tessera_engine.files.checksums import file_sha256
from tessera_engine.files.durable import sync_file, sync_folder
from tessera_engine.files.publish import MADE
from tessera_engine.files.windows import patiently

CELLS, STAGING = "cells", "staging"
"""In `<out>.partial`: what workers write into; and in either, the folder of marks and pictures."""


def open_cells(work: Path) -> None:
    """Let workers write, into what an interrupted run left or into nothing.

    Args:
        work: `<out>.partial`.
    """
    cells = work / CELLS
    cells.mkdir(exist_ok=True)
    _move(work, cells)
    (cells / STAGING).mkdir(exist_ok=True)


def close_cells(work: Path) -> None:
    """Take what workers wrote to where none of them writes."""
    _move(work / CELLS, work)
    sync_folder(work)


def _move(source: Path, target: Path) -> None:
    for name in (STAGING, MADE):
        old, new = source / name, target / name
        if old.exists() and not new.exists():
            patiently(partial(old.rename, new))


def deliver(source: Path, folder: Path, name: str) -> str:
    """Copy a file into the folder that all machines share: whole, on the disk, by one rename.

    Args:
        source: a file of this machine.
        folder: below it, folders are made; itself it has to be there.
        name: a path in it.

    Returns:
        Its hex sha256.

    Raises:
        OSError: it couldn't be written, or the folder has gone.
    """
    target, sha256 = folder / name, file_sha256(source)
    if not target.parent.is_dir():
        for above in reversed(Path(name).parents[:-1]):
            (folder / above).mkdir(exist_ok=True)
    fresh = target.with_name(f"{target.name}.{uuid.uuid4().hex}.new")
    try:
        shutil.copyfile(source, fresh)
        sync_file(fresh)
        fresh.replace(target)
    except OSError:
        with suppress(OSError):
            fresh.unlink()
        raise
    return sha256
