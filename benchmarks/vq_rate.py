"""How fast `--format vq` is coded and decoded, without start and files: `python benchmarks/vq_rate.py OUTPUT`.

OUTPUT is an output of `embed --int8`, of 1,024 x 1,024 pixels for instance. Its tiles are read first. Each turn codes
all of them, with each number of threads in turn, so that a machine that gets busier changes all alike. Printed are the
medians of the turns: million pixels a second by the clock, and CPU seconds a million pixels.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from tessera_engine.formats.opening import open_embeddings
from tessera_engine.formats.vq.tiles import TILE, Tile, decode, encode
from tessera_kernels.threads import set_threads


def main() -> None:
    """Print the table, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    asked = parser.parse_args()
    embeddings = open_embeddings(asked.output)
    blocks = [embeddings.read_stored(window) for window in embeddings.grid.window.blocks(TILE, TILE)]
    pixels = embeddings.grid.window.pixels
    print(
        f"{asked.output}: {pixels / 1e6:.2f} Mpx in {len(blocks)} tiles, {asked.turns} turns.\n", flush=True
    )

    def code() -> list[Tile]:
        return [tile for tile in map(encode, blocks) if tile is not None]

    tiles = code()  # and the kernels are compiled

    def read() -> None:
        for tile in tiles:
            decode(tile.books, tile.numbers, embeddings.dim)

    read()
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for _ in range(asked.turns):
        for threads in asked.threads:
            set_threads(threads)
            for name, work in (("code", code), ("decode", read)):
                found.setdefault((name, threads), []).append(_seconds(work))
    for threads in asked.threads:
        set_threads(threads)
        _check_same(tiles, code())
    print("| | threads | Mpx a second | CPU s a Mpx |\n|---|---:|---:|---:|")
    for (name, threads), times in found.items():
        clock, cpu = (median(each) / pixels * 1e6 for each in zip(*times, strict=True))
        print(f"| {name} | {threads} | {1 / clock:.2f} | {cpu:.2f} |")


def _seconds(work: Callable[[], object]) -> tuple[float, float]:
    """By the clock, and of all cores."""
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - cpu


def _check_same(tiles: list[Tile], others: list[Tile]) -> None:
    for tile, other in zip(tiles, others, strict=True):
        np.testing.assert_array_equal(tile.numbers, other.numbers)
        for book, same in zip(tile.books, other.books, strict=True):
            np.testing.assert_array_equal(book.steps, same.steps)
            np.testing.assert_array_equal(book.ranges, same.ranges)


if __name__ == "__main__":
    main()
