"""How far int8 codes shrink without loss, and how fast they are read: `python lossless.py OUT NAME=OUTPUT...`.

Writes `lossless.json` and `lossless.md` into OUT. Each OUTPUT is a folder that `embed --int8` made. Codes are written
in many layouts by GDAL and by zarr, read back, and compared. Then all layouts are read in turn, a few times. Times are
CPU seconds, which other programs on the machine disturb less than the clock, and the smallest of all turns.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
import zarr
from numpy.typing import NDArray
from rasterio.windows import Window as Strip
from zarr.codecs import BloscCodec, GzipCodec, TransposeCodec, ZstdCodec
from zarr.codecs.numcodecs import Delta

from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.opening import open_embeddings
from tessera_engine.running.convert import convert
from tessera_engine.scene import Window

LARGEST = 1024
"""Pixels across the part of an output that is measured."""

TURNS = 3
"""Each layout is read so many times."""

PIXELS = 40
"""Single pixels that are read in a turn, on the diagonal."""

STRIP = 256
"""Rows that are read at a time: a row of tiles."""


class Measured(NamedTuple):
    """One layout of one output's codes.

    Attributes:
        output: its name.
        kind: `GeoTIFF`, `Zarr` or `npy`.
        layout: in words.
        bytes_per_pixel: of the codes, without overviews, scales and counts.
        written: CPU seconds a Mpx to write it.
        read: CPU seconds a Mpx to read all of it by the library, in the file's order.
        pixel: CPU seconds to read the vector of one pixel; None where it isn't measured.
    """

    output: str
    kind: str
    layout: str
    bytes_per_pixel: float
    written: float
    read: float
    pixel: float | None


class Written(NamedTuple):
    """One layout on disk.

    Attributes:
        kind: see `Measured`.
        layout: see `Measured`.
        size: bytes.
        written: CPU seconds.
        read: reads all of it.
        pixels: reads `PIXELS` single vectors; None: this isn't measured.
    """

    kind: str
    layout: str
    size: int
    written: float
    read: Callable[[], object]
    pixels: Callable[[], object] | None = None


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def geotiffs() -> Iterator[tuple[str, dict[str, Any]]]:
    """Layouts and their options; all in tiles of 256 pixels, band after band, unless they say otherwise."""
    yield "not compressed", {}
    for predictor in (1, 2):
        suffix = ", differences of neighbours" if predictor == 2 else ""
        for level in (1, 6):
            yield f"DEFLATE {level}{suffix}", {"COMPRESS": "DEFLATE", "ZLEVEL": level, "PREDICTOR": predictor}
        for level in (1, 9):
            yield f"ZSTD {level}{suffix}", {"COMPRESS": "ZSTD", "ZSTD_LEVEL": level, "PREDICTOR": predictor}
    best = {"COMPRESS": "ZSTD", "ZSTD_LEVEL": 1, "PREDICTOR": 2}
    yield "LZW, differences of neighbours", {"COMPRESS": "LZW", "PREDICTOR": 2}
    yield "LERC and ZSTD 1", {"COMPRESS": "LERC_ZSTD", "MAX_Z_ERROR": 0, "ZSTD_LEVEL": 1}
    for block in (128, 512):
        yield f"ZSTD 1, differences, tiles of {block}", best | {"BLOCKXSIZE": block, "BLOCKYSIZE": block}
    yield "ZSTD 1, differences, pixel after pixel", best | {"INTERLEAVE": "PIXEL"}


def zarrs() -> Iterator[tuple[str, dict[str, Any]]]:
    """Layouts and their options; in chunks of 32 x 32 pixels with all bands, unless they say otherwise."""
    for shuffle, suffix in (("noshuffle", ""), ("bitshuffle", ", bits shuffled")):
        for name, level in (("zstd", 1), ("zstd", 3), ("lz4", 1)):
            codec = BloscCodec(cname=name, clevel=level, shuffle=shuffle)
            yield f"Blosc {name} {level}{suffix}", {"compressors": codec}
    yield "zstd 1", {"compressors": ZstdCodec(level=1)}
    yield "gzip 1", {"compressors": GzipCodec(level=1)}
    yield (
        "differences of neighbours, zstd 1",
        {"compressors": ZstdCodec(level=1), "filters": [Delta(dtype="int8")]},
    )
    for side in (64, 128):
        for name, level in (("zstd", 3), ("zstd", 5), ("lz4", 1), ("lz4hc", 9)):
            codec = BloscCodec(cname=name, clevel=level, shuffle="bitshuffle")
            text = f"Blosc {name} {level}, bits shuffled, chunks of {side}"
            yield text, {"compressors": codec, "side": side}
    last = [TransposeCodec(order=(1, 2, 0))]
    codec = BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle")
    yield (
        "Blosc zstd 3, bits shuffled, bands last, chunks of 64",
        {"compressors": codec, "side": 64, "filters": last},
    )
    for side in (32, 64):
        yield f"not compressed, chunks of {side}", {"compressors": None, "side": side}


def write_geotiff(path: Path, layout: str, codes: NDArray[np.int8], options: dict[str, Any]) -> Written:
    """One file, written by GDAL."""
    bands, height, width = codes.shape
    chosen = {"BLOCKXSIZE": 256, "BLOCKYSIZE": 256, "INTERLEAVE": "BAND", **options}
    size = {"width": width, "height": height, "count": bands, "dtype": "int8"}

    def write() -> None:
        with rasterio.open(path, "w", driver="GTiff", TILED="YES", **size, **chosen) as file:
            file.write(codes)

    def read() -> list[NDArray[np.int8]]:
        with rasterio.Env(GDAL_CACHEMAX=64_000_000), rasterio.open(path) as file:
            rows = range(0, height, STRIP)
            return [file.read(window=Strip(0, row, width, min(STRIP, height - row))) for row in rows]

    written = seconds(write)
    if not (np.concatenate(read(), axis=1) == codes).all():
        raise ValueError(f"{layout} isn't lossless")
    return Written("GeoTIFF", layout, path.stat().st_size, written, read)


def write_zarr(path: Path, layout: str, codes: NDArray[np.int8], options: dict[str, Any]) -> Written:
    """One store, written by zarr."""
    bands, height, width = codes.shape
    shard, side = min(512, height, width), options.get("side", 32)
    array = zarr.create_array(
        path,
        shape=codes.shape,
        chunks=(bands, min(side, shard), min(side, shard)),
        shards=(bands, shard, shard),
        dtype="int8",
        **{key: value for key, value in options.items() if key != "side"},
    )

    def write() -> None:
        array[:] = codes

    written = seconds(write)
    if not (np.asarray(array[:]) == codes).all():
        raise ValueError(f"{layout} isn't lossless")
    places = np.linspace(0, min(height, width) - 1, PIXELS).astype(int).tolist()
    return Written(
        "Zarr",
        layout,
        _bytes(path),
        written,
        lambda: array[:],
        lambda: [array[:, place, place] for place in places],
    )


def write_all(embeddings: Embeddings, folder: Path) -> Iterator[Written]:
    """Every layout of an output's codes, of at most `LARGEST` x `LARGEST` pixels."""
    stored = embeddings.read_stored(_part(embeddings))
    codes = np.ascontiguousarray(np.moveaxis(stored.values, 2, 0))
    for number, (layout, options) in enumerate(geotiffs()):
        yield write_geotiff(folder / f"{number}.tif", layout, codes, options)
    for number, (layout, options) in enumerate(zarrs()):
        yield write_zarr(folder / f"{number}.zarr", layout, codes, options)
    path, plain = folder / "codes.npy", np.ascontiguousarray(stored.values)
    written = seconds(lambda: np.save(path, plain))
    yield Written("npy", "not compressed", path.stat().st_size, written, lambda: np.load(path))


def write_by_engine(embeddings: Embeddings, folder: Path) -> Iterator[Written]:
    """What the engine writes and reads: codes and scales, pixel after pixel, and all files of the output."""
    about = embeddings.provenance
    year = None if about.get("year") or about.get("season") else 2024
    for format in ("cog", "zarr", "npy"):
        start = time.process_time()
        made = convert(embeddings, folder / format, format, year=year, progress=False)
        written = time.process_time() - start
        yield Written("engine", format, _bytes(made), written, partial(_read_stored, open_embeddings(made)))


def _read_stored(embeddings: Embeddings) -> None:
    for window in embeddings.tiles(64_000_000):
        embeddings.read_stored(window)


def measure(name: str, embeddings: Embeddings, folder: Path) -> Iterator[Measured]:
    """Every layout of an output; all are read in turn."""
    for layouts, part in (
        (list(write_all(embeddings, folder)), _part(embeddings)),
        (list(write_by_engine(embeddings, folder)), embeddings.grid.window),
    ):
        turns: list[list[tuple[float, float | None]]] = [[] for _ in layouts]
        for _ in range(TURNS):
            for each, found in zip(layouts, turns, strict=True):
                found.append((seconds(each.read), None if each.pixels is None else seconds(each.pixels)))
        for each, found in zip(layouts, turns, strict=True):
            read = min(whole for whole, _ in found)
            singles = [single / PIXELS for _, single in found if single is not None]
            yield Measured(
                name,
                each.kind,
                each.layout,
                each.size / part.pixels,
                each.written / part.pixels * 1e6,
                read / part.pixels * 1e6,
                min(singles, default=None),
            )


def _part(embeddings: Embeddings) -> Window:
    return Window(0, 0, min(LARGEST, embeddings.grid.width), min(LARGEST, embeddings.grid.height))


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and file.suffix != ".png")


def report(found: list[Measured]) -> str:
    """The page."""
    names = list(dict.fromkeys(each.output for each in found))
    by = {(each.output, each.kind, each.layout): each for each in found}
    lines = [*HEAD]
    for kind, title in TITLES.items():
        lines += [f"## {title}", "", f"| layout | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
        for layout in dict.fromkeys(each.layout for each in found if each.kind == kind):
            cells = [by[name, kind, layout] for name in names]
            texts = [
                f"{each.bytes_per_pixel:.1f} B, {each.read:.2f} s, {each.written:.2f} s" for each in cells
            ]
            lines.append(f"| {layout} | {' | '.join(texts)} |")
        lines.append("")
        if kind == "Zarr":
            lines += _kept([by[names[0], kind, layout] for layout in (ZARR, PLAIN)], found)
    return "\n".join(lines)


def _kept(now: list[Measured], found: list[Measured]) -> list[str]:
    """Why stores keep their codec, by the first output."""
    kept, plain = now
    small = [
        each
        for each in found
        if (each.output, each.kind) == (kept.output, "Zarr")
        and each.bytes_per_pixel <= MORE * kept.bytes_per_pixel
        and "chunks" in each.layout
    ]
    best = min(small, key=lambda each: each.read)
    chunks = (int(best.layout.rpartition(" ")[2]) // 32) ** 2
    return [
        f"Stores keep *{kept.layout}*. Of the layouts that every reader of Zarr v3 knows, and that take at most 5 %",
        f"more bytes, *{best.layout}* is read fastest:",
        f"{best.read:.2f} s instead of {kept.read:.2f} s. The chunks as they are, without any compression, take",
        f"{plain.read:.2f} s, most of it zarr's own work for each chunk. Larger chunks have a price. The vector of",
        f"one pixel is in {chunks} times as many bytes, and takes {1000 * (best.pixel or 0):.1f} ms of CPU to read",
        f"instead of {1000 * (kept.pixel or 0):.1f}; and an older store that grows would have to be written again.",
        "",
    ]


ZARR, PLAIN = "Blosc zstd 3, bits shuffled", "not compressed, chunks of 32"
"""The layout of stores, and the same without compression."""

MORE = 1.05
"""Bytes that faster reading may cost, in those of stores as they are."""

TITLES = {
    "GeoTIFF": "GeoTIFF: codes alone, read by GDAL",
    "Zarr": "Zarr: codes alone, read by zarr",
    "npy": "npy: codes alone",
    "engine": "What the engine writes and reads: all files, with scales, counts, overviews (cog) and prefixes (zarr)",
}

HEAD = (
    "# How far int8 codes shrink without loss",
    "",
    "Written by `python benchmarks/lossless.py`. A cell has bytes a pixel, CPU seconds to read a million pixels (the",
    "smallest of three turns through all layouts) and CPU seconds to write them. GeoTIFFs have tiles of 256 x 256",
    "pixels, band after band; one of 64 pixels is a tile that is mostly empty. Zarr arrays have chunks of 32 x 32",
    "pixels with all bands, in shards of 512 x 512. *Differences of neighbours* are along a row of one band (GDAL's",
    "predictor 2).",
    "",
)


def main() -> None:
    """Read the command line, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for lossless.json and lossless.md")
    parser.add_argument("outputs", nargs="+", help="name=folder of an int8 output")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    asked.out.mkdir(exist_ok=True)
    found: list[Measured] = []
    for each in asked.outputs:
        name, _, path = each.partition("=")
        embeddings = open_embeddings(path)
        with tempfile.TemporaryDirectory() as folder:
            found += measure(name, embeddings, Path(folder))
    numbers = [each._asdict() for each in found]
    (asked.out / "lossless.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    (asked.out / "lossless.md").write_text(report(found), encoding="utf-8")


if __name__ == "__main__":
    main()
