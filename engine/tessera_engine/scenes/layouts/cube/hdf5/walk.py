"""Walks an HDF5 file without leaving it.

The engine imports this module, and `trial.py` runs it in a process of its own, where it imports h5py only.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import math
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import h5py

ERRORS = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
    AttributeError,
    IndexError,
    MemoryError,
    ArithmeticError,
)
"""What h5py raises for damaged files."""

FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32", 4: "szip", 5: "nbit", 6: "scaleoffset", 32000: "lzf"}
"""Filters that are part of HDF5 or h5py. HDF5 looks for all others in folders of plugins."""

_DEEPEST = 8
_MOST = 10_000


class Refused(Exception):
    """The file needs something outside of it; the message continues after the file's name."""


def groups(file: Any) -> Iterator[tuple[str, Any]]:
    """The path of each group, '' for the root, and the group."""
    for name, node in _nodes(file):
        if isinstance(node, h5py.Group):
            yield name, node


def datasets(file: Any) -> Iterator[tuple[str, Any]]:
    """The path of each dataset, and the dataset.

    Raises:
        Refused: one needs another file, or a filter that isn't part of HDF5.
    """
    for name, node in _nodes(file):
        if isinstance(node, h5py.Dataset):
            _check(name, node)
            yield name, node


def _nodes(file: Any) -> Iterator[tuple[str, Any]]:
    left: list[tuple[str, Any, int]] = [("", file["/"], 0)]
    seen = 0
    while left:
        path, group, depth = left.pop()
        yield path, group
        for key in group:
            seen += 1
            if seen > _MOST or depth > _DEEPEST:
                raise Refused(
                    f"has more than {_MOST:,} arrays, or groups deeper than {_DEEPEST}; save fewer in a file"
                )
            name = f"{path}/{key}" if path else key
            link = group.get(key, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise Refused(
                    f"has a link in {name}, which may lead to another file; save the file without links"
                )
            node = group[key]
            if isinstance(node, h5py.Group):
                left.append((name, node, depth + 1))
            else:
                yield name, node


def _check(name: str, dataset: Any) -> None:
    if dataset.is_virtual:
        raise Refused(f"takes {name} from other files (a virtual dataset); save the values themselves")
    if dataset.external:
        raise Refused(
            f"has the values of {name} in other files (external storage); save them in the file itself"
        )
    properties = dataset.id.get_create_plist()
    for i in range(properties.get_nfilters()):
        code, _, _, label = properties.get_filter(i)
        if code not in FILTERS:
            what = label.decode("utf-8", "replace") or code
            raise Refused(
                f"has {name} compressed by {what} ({code}), expected deflate (zlib=True) or no compression"
            )
    if dataset.chunks and properties.get_nfilters():
        _check_chunks(name, dataset)


def _check_chunks(name: str, dataset: Any) -> None:
    """Refuse chunks that store more than their values: HDF5 decodes them to their end, to a thousand times as much."""
    values = math.prod(dataset.chunks) * dataset.dtype.itemsize
    most = values + values // 8 + 4096  # what can't be compressed grows a little, and filters add checksums
    largest = 0

    def look(chunk: Any) -> None:
        nonlocal largest
        largest = max(largest, chunk.size)

    dataset.id.chunk_iter(look)
    if largest > most:
        raise Refused(
            f"has {largest:,} bytes in a chunk of {name}, expected at most {most:,} for {values:,} bytes of values: "
            "copy it again, it is damaged or made to do harm"
        )


def try_all(paths: list[str], seconds: int, step: int, largest: int) -> None:
    """Read from each file what the engine reads later, after an empty line on stdout; ends this process.

    HDF5 can't be interrupted from Python, so a file that takes longer than `seconds` ends the process too.

    Args:
        paths: the files.
        seconds: for each of them.
        step: seconds of CPU time for each array, and for its values. A flipped byte is enough for HDF5 to loop.
        largest: bytes of a chunk whose values are read.
    """
    for path in paths:
        sys.stdout.write("\n")
        sys.stdout.flush()
        faulthandler.dump_traceback_later(seconds, exit=True)
        with contextlib.suppress(Refused, *ERRORS):  # the engine meets the same error, and names it
            _try(path, step, largest)
    os._exit(0)  # everything has been tried; closing a damaged file may crash


def _allow(step: int) -> None:
    """End this process, whatever it does, when it has worked for `step` seconds from now; not on Windows."""
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_PROF, step)


def _try(path: str, step: int, largest: int) -> None:
    _allow(step)
    with h5py.File(path, "r", locking=False) as file:
        for _, dataset in datasets(file):
            for key in dataset.attrs:
                with contextlib.suppress(*ERRORS):
                    dataset.attrs[key]
            if dataset.chunks:
                dataset.id.get_num_chunks()
            chunk = math.prod(dataset.chunks or (1,)) * dataset.dtype.itemsize
            if dataset.shape and all(dataset.shape) and chunk <= largest:
                for end in (0, -1):
                    _allow(step)
                    dataset[tuple(end for _ in dataset.shape)]
            _allow(step)


if __name__ == "__main__":
    task = json.load(sys.stdin)
    given = [os.fsdecode(bytes.fromhex(each)) for each in task["files"]]
    try_all(given, **task["limits"])
