"""Unpacked embeddings in the user's cache folder: pixel by pixel, to be mapped instead of decoded for each question.

    <cache>/unpacked/<key>/values.bin   (height, width, K) int8 or float32, C order
                           scales.bin   (height, width) float32; with int8 only
                           about.json   shape and dtype, the files' sizes and times, checksums of their parts

`key` stands for the content: the checksums that the output's item records of its files, or those of the files of a tree
that other software wrote. A folder appears complete, by rename. What isn't whole is removed and made again. The folders
used longest ago make room for new ones; nothing is removed that isn't such a folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files.checksums import path_sha256
from tessera_engine.files.partial import Partial, finish_or_undo
from tessera_engine.files.text import write_text
from tessera_engine.files.user_folders import cache_folder
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.progress import Progress
from tessera_engine.scene import Grid, Window
from tessera_engine.view.levels import ArraySource

FORM = "tessera-engine unpacked embeddings 1"

MOST_BYTES = 20_000_000_000
"""What the cache keeps. One that is larger is kept alone."""

RESERVE_BYTES = 1_000_000_000
"""What stays free on the disk."""

PART_BYTES = 1 << 22
"""Of a file, that has a checksum of its own."""

CHECKED_PARTS = 8
"""Parts of a file that are read again each time it is used."""

THREADS = 2
"""That decode. Most time goes to one library call a tile, without Python's lock."""

BLOCK = 256
"""Pixels across what is decoded at a time, at least; as large as the file's tiles, so that none is decoded twice."""

_KEY = re.compile(r"[0-9a-f]{64}")
_ABOUT, _VALUES, _SCALES = "about.json", "values.bin", "scales.bin"
_WAIT_SECONDS = 0.2


def needed_bytes(embeddings: Embeddings) -> int:
    """Bytes that unpacked embeddings take on the disk."""
    pixels = embeddings.grid.window.pixels
    return pixels * (embeddings.dim + 4 if embeddings.stored_as == "int8" else 4 * embeddings.dim)


def find(embeddings: Embeddings) -> Embeddings | None:
    """The same embeddings, mapped from the cache; None where they aren't there, or not whole.

    Raises:
        TesseraError: a file can't be read.
    """
    folder = _folder() / _key(embeddings)
    finish_or_undo(folder)
    if not folder.is_dir() or not _is_whole(folder, embeddings):
        return None
    os.utime(folder)  # used last, so removed last
    return _mapped(embeddings, folder)


def unpack(embeddings: Embeddings, report: Progress) -> Embeddings:
    """Unpack embeddings into the cache, unless they are there; gives them mapped from there.

    Args:
        embeddings: an output, with all its dimensions.
        report: called with bytes done and in all; may raise to end the work, of which nothing is left then.

    Raises:
        TesseraError: there is no room for them, the cache can't be used, or a file can't be read or written.
    """
    folder = _folder() / _key(embeddings)
    needed = needed_bytes(embeddings)
    place = _place(folder, report, needed)
    try:
        found = find(embeddings) if folder.exists() else None
        if found is None:
            _make_room(folder, needed)
            place.clear()
            _write(place.make_output(), embeddings, report)
            place.publish(replace=True)
    finally:
        place.close(keep=False)
    return found or _mapped(embeddings, folder)


def _folder() -> Path:
    """The cache's folder.

    Raises:
        TesseraError: it can't be made, or others could write into it.
    """
    from tessera_kernels.private import not_private  # which loads numba: half a second

    folder = cache_folder("unpacked")
    try:
        folder.mkdir(0o700, parents=True, exist_ok=True)
        why = not_private(folder)
    except OSError as error:
        why = f"can't be made ({error.strerror})"
    if why is not None:
        raise TesseraError(
            f"unpacked embeddings can't be kept: {folder} {why}; set TESSERA_ENGINE_HOME to a folder of yours"
        )
    return folder


def _key(embeddings: Embeddings) -> str:
    """Hex sha256 of what the unpacked embeddings depend on."""
    assets = embeddings.item.get("assets", {})
    stored = [assets.get(name, {}).get("tessera:sha256") for name in ("embeddings", "scales")]
    if stored[0] is None:
        with embeddings.folder.reading() as here:
            stored = [path_sha256(here)]
    facts = (
        FORM,
        stored,
        embeddings.provenance.get("year"),
        embeddings.dim,
        embeddings.stored_as,
        _shape(embeddings),
        embeddings.grid.crs,
        list(embeddings.grid.transform)[:6],  # it may have been brought to another grid
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _shape(embeddings: Embeddings) -> list[int]:
    return [embeddings.grid.height, embeddings.grid.width, embeddings.dim]


def _place(folder: Path, report: Progress, needed: int) -> Partial:
    """The place where an entry is made. Where another process makes the same one, wait for it."""
    while True:
        try:
            return Partial(folder)
        except InputError:
            if not folder.with_name(f"{folder.name}.partial").exists():
                raise
            report(0, needed)
            time.sleep(_WAIT_SECONDS)


def _make_room(folder: Path, needed: int) -> None:
    """Remove entries, the one used longest ago first, until there is room for another.

    Raises:
        TesseraError: there is too little all the same.
    """
    entries = sorted(_entries(folder.parent), key=lambda entry: entry.stat().st_mtime)
    sizes = {entry: sum(file.stat().st_size for file in entry.iterdir()) for entry in entries}
    while True:
        free = shutil.disk_usage(folder.parent).free
        if needed + RESERVE_BYTES <= free and (not sizes or sum(sizes.values()) + needed <= MOST_BYTES):
            return
        if not sizes:
            raise TesseraError(
                f"unpacking needs {(needed + RESERVE_BYTES) / 1e9:.1f} GB in {folder.parent}, where {free / 1e9:.1f} "
                "GB are free; free some space; until then answers are of the overview"
            )
        oldest = next(iter(sizes))
        del sizes[oldest]
        _remove(oldest)


def _remove(entry: Path) -> None:
    """Remove what `unpack` wrote, and nothing that somebody else has put there."""
    with suppress(OSError):  # Windows keeps what another process has mapped
        for name in (_ABOUT, _VALUES, _SCALES):
            (entry / name).unlink(missing_ok=True)
        entry.rmdir()


def _entries(folder: Path) -> list[Path]:
    """Folders that `unpack` made."""
    return [path for path in folder.iterdir() if _KEY.fullmatch(path.name) and _about(path) is not None]


def _about(folder: Path) -> dict[str, Any] | None:
    """What an entry says of itself; None where it isn't one."""
    try:
        about = json.loads((folder / _ABOUT).read_bytes())
    except (OSError, ValueError):
        return None
    return about if isinstance(about, dict) and about.get("form") == FORM else None


def _write(folder: Path, embeddings: Embeddings, report: Progress) -> None:
    grid, dim = embeddings.grid, embeddings.dim
    size = np.dtype(embeddings.stored_as).itemsize
    total, done = needed_bytes(embeddings), 0
    side = max(BLOCK, embeddings.source.block)
    # One row of blocks after the other: their rows lie together in the file
    with (
        (folder / _VALUES).open("wb") as values,
        (folder / _SCALES).open("wb") as scales,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        for window, stored in _decoded(pool, embeddings, side):
            _put(values, stored.values, window, grid, dim * size)
            if stored.scales is not None:
                _put(scales, stored.scales, window, grid, 4)
            done += window.pixels
            report(total * done // grid.window.pixels, total)
    if embeddings.stored_as != "int8":
        (folder / _SCALES).unlink()
    files = {name: _described(folder / name) for name in _file_names(embeddings)}
    about = {"form": FORM, "shape": _shape(embeddings), "dtype": embeddings.stored_as, "files": files}
    write_text(folder / _ABOUT, json.dumps(about))


def _file_names(embeddings: Embeddings) -> list[str]:
    return [_VALUES, _SCALES] if embeddings.stored_as == "int8" else [_VALUES]


def _decoded(
    pool: ThreadPoolExecutor, embeddings: Embeddings, side: int
) -> Iterator[tuple[Window, StoredBlock]]:
    """All blocks in order. Few are decoded ahead, so that memory doesn't grow."""
    waiting = []
    for window in embeddings.grid.window.blocks(side, side):
        waiting.append((window, pool.submit(embeddings.read_stored, window)))
        if len(waiting) > THREADS:
            first, block = waiting.pop(0)
            yield first, block.result()
    for first, block in waiting:
        yield first, block.result()


def _put(file: BinaryIO, block: NDArray[Any], window: Window, grid: Grid, pixel: int) -> None:
    """Write the rows of a block at their places."""
    for i, row in enumerate(np.ascontiguousarray(block)):
        file.seek(((window.row + i) * grid.width + window.col) * pixel)
        file.write(row.data)


def _described(path: Path) -> dict[str, Any]:
    """A file's size, time, and the CRC-32 of each of its parts."""
    sums = []
    with path.open("rb") as file:
        while part := file.read(PART_BYTES):
            sums.append(zlib.crc32(part))
    status = path.stat()
    return {"size": status.st_size, "time": status.st_mtime_ns, "crc32": sums}


def _is_whole(folder: Path, embeddings: Embeddings) -> bool:
    """Whether an entry is as it was written: sizes and times, and the checksums of some of its parts."""
    about = _about(folder)
    if (
        about is None
        or about.get("shape") != _shape(embeddings)
        or about.get("dtype") != embeddings.stored_as
    ):
        return False
    expected = {_VALUES: needed_bytes(embeddings)}
    if embeddings.stored_as == "int8":
        scales = 4 * embeddings.grid.window.pixels
        expected = {_VALUES: expected[_VALUES] - scales, _SCALES: scales}
    with suppress(OSError, LookupError, TypeError):
        return all(
            _is_as_written(folder / name, about["files"][name], size) for name, size in expected.items()
        )
    return False


def _is_as_written(path: Path, facts: dict[str, Any], size: int) -> bool:
    status, sums = path.stat(), facts["crc32"]
    if (status.st_size, status.st_mtime_ns) != (size, facts["time"]) or len(sums) != -(-size // PART_BYTES):
        return False
    with path.open("rb") as file:
        for number in np.unique(np.linspace(0, len(sums) - 1, CHECKED_PARTS).astype(int)).tolist():
            file.seek(number * PART_BYTES)
            if zlib.crc32(file.read(PART_BYTES)) != sums[number]:
                return False
    return True


def _mapped(embeddings: Embeddings, folder: Path) -> Embeddings:
    shape = _shape(embeddings)
    values: NDArray[Any] = np.memmap(folder / _VALUES, embeddings.stored_as, "r", shape=tuple(shape))
    scales: NDArray[np.float32] | None = None
    if embeddings.stored_as == "int8":
        scales = np.memmap(folder / _SCALES, np.float32, "r", shape=tuple(shape[:2]))
    return replace(embeddings, source=ArraySource(embeddings.grid, values, scales))
