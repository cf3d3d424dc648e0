"""Readers of a store that is replaced again and again: each sees one version of it, never parts of two."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

FORMATS = ("zarr", "geotessera", "npy", "cog")
READERS = 2


@dataclass
class Readings:
    """What happened.

    Attributes:
        published: versions that were written.
        reads: whole stores that were read.
        failures: what was wrong, a line each.
    """

    published: int = 0
    reads: int = 0
    failures: list[str] = field(default_factory=list)


def fingerprint(store: Path) -> str:
    """Read everything that a store holds, window by window, as a user of the library would."""
    import tessera_engine as te

    opened = te.open_embeddings(store)
    digest = hashlib.sha256(str(opened.provenance.get("year")).encode())
    for window in opened.grid.window.blocks(8, 8):
        digest.update(opened.read(window).tobytes())
        digest.update(opened.read_observations(window).tobytes())
    return digest.hexdigest()


def soak(made: Path, work: Path, seconds: float) -> Readings:
    """Replace a store of each format by another in turn, while other processes read it and check what they read."""
    found = Readings()
    for format in FORMATS:
        _soak(made, work, format, seconds / len(FORMATS), found)
    return found


def _soak(made: Path, work: Path, format: str, seconds: float, found: Readings) -> None:
    import tessera_engine as te

    folder = work / "read"
    folder.mkdir()
    versions = []
    for name in ("a.npy", "b.npy"):
        te.convert(made / name, folder / f"{name}.{format}", format, progress=False)
        versions.append(fingerprint(folder / f"{name}.{format}"))
    store, until = folder / "store", time.monotonic() + seconds
    te.convert(made / "a.npy", store, format, progress=False)
    readers = [_reader(store, versions, until) for _ in range(READERS)]
    turn = 0
    while time.monotonic() < until:
        turn += 1
        te.convert(made / ("a.npy", "b.npy")[turn % 2], store, format, overwrite=True, progress=False)
    found.published += turn
    for process, said in readers:
        os.waitpid(process, 0)
        with os.fdopen(said) as lines:
            reads, *wrong = lines.read().splitlines() or ["0", "it ended at once"]
        found.reads += int(reads)
        found.failures += [f"reader of {format}: {line}" for line in wrong]
    te.open_embeddings(store)
    left = sorted(set(os.listdir(folder)) - {"store", *(f"{name}.{format}" for name in ("a.npy", "b.npy"))})
    if left:
        found.failures.append(f"{format}: left over: {left}")
    shutil.rmtree(folder)


def _reader(store: Path, versions: list[str], until: float) -> tuple[int, int]:
    """A process that reads until the time is over; and where it says how often, and what was wrong."""
    reading, writing = os.pipe()
    process = os.fork()
    if process:
        os.close(writing)
        return process, reading
    reads, wrong = 0, []
    while time.monotonic() < until and len(wrong) < 5:
        try:
            if fingerprint(store) not in versions:
                wrong.append("neither one version nor the other")
            reads += 1
        except BaseException:
            wrong.append(" | ".join(traceback.format_exc().splitlines()[-6:]))
    os.write(writing, "\n".join([str(reads), *wrong]).encode()[:60_000])
    os._exit(0)
