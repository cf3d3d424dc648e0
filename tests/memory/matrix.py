"""Peak memory of every command beside what it may take: formats, shapes, models, backends, many tiles, many labels.

    python tests/memory/matrix.py                          # all cases, about half an hour
    python tests/memory/matrix.py embed-zarr square        # cases whose name has one of these words
    python tests/memory/matrix.py --source ../older        # another state of the code, for comparison

It prints a table and ends with 1 if a case takes more than it may.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    _root = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(_root / each) for each in ("engine", "export", "kernels", "tests/helpers", "tests")]

from made_up import CRS, ORIGIN
from memory import inputs
from places import ROOT

READING_MB = 350
"""What commands may take that have no option `--memory`."""

CODING_MB = 380
"""What `convert` may take to vq: it learns codebooks too, and holds the numbers of 16 tiles, 17 MB of one shard."""

SHAPES = {
    "square-256": (256, 256, 60),
    "wide": (4096, 16, 60),
    "tall": (16, 4096, 60),
    "square-1024": (1024, 1024, 6),
}
"""Width, height, dates."""

FORMATS = ("cog", "npy", "zarr", "geotessera", "vq")
INT8_ONLY = ("zarr", "geotessera")
LEAST = {"zarr": 360, "geotessera": 390, "vq": 440}
"""MB that formats need: zarr holds a shard four times while it writes it, of vq what is learned from a tile of 512 x 512
pixels is in memory and the numbers of 16; and all have libraries of their own."""


@dataclass(frozen=True)
class Case:
    """One command.

    Attributes:
        name: for people.
        limit: MB that it may take.
        words: the command, without `tessera-engine` and `--memory`.
        needs: name of a file or folder -> what makes it at a path.
        asks: whether the command has the option `--memory`.
    """

    name: str
    limit: int
    words: tuple[str, ...]
    needs: dict[str, Callable[[Path], object]]
    asks: bool = True


def point(width: int, height: int) -> tuple[str, str]:
    """Longitude and latitude of the middle of a scene."""
    from rasterio.warp import transform

    x, y = ORIGIN @ (width / 2 + 0.5, height / 2 + 0.5)
    (lon,), (lat,) = transform(CRS, "EPSG:4326", [x], [y])
    return str(lon), str(lat)


def _tile(width: int, height: int, dates: int) -> dict[str, Callable[[Path], object]]:
    return {f"tile-{width}-{height}-{dates}": lambda path: inputs.tile(path, width, height, dates)}


def _mosaics(width: int, height: int, dates: int) -> dict[str, Callable[[Path], object]]:
    return {f"mosaics-{width}-{height}-{dates}": lambda path: inputs.mosaics(path, width, height, dates)}


def _output(width: int, height: int, format: str, stored_as: str = "int8", year: int = 2021, col: int = 0) -> dict[str, Callable[[Path], object]]:  # fmt: skip
    name = f"output-{format}-{stored_as}-{width}-{height}-{year}-{col}"
    return {name: lambda path: inputs.output(path, width, height, format, stored_as, year, (col, 0))}


def embed_cases(shapes: dict[str, tuple[int, int, int]]) -> Iterator[Case]:
    """`embed` in each format that holds int8 and float32, and on each backend."""
    for shape, size in shapes.items():
        for precision, words, limit in (("int8", ("--int8",), 300), ("fp32", (), 400)):
            for format in FORMATS:
                needs = (
                    _tile(*size) if format in ("cog", "npy") else _mosaics(size[0], size[1], min(size[2], 12))
                )
                stored = ("--store", "int8") if format in INT8_ONLY and precision == "fp32" else words
                line = ("embed", next(iter(needs)), "--format", format, *stored)
                yield Case(
                    f"embed-{format}-{precision}-{shape}", max(limit, LEAST.get(format, 0)), line, needs
                )
    needs = _tile(256, 256, 60)
    scene = next(iter(needs))
    for backend in ("onnxruntime", "openvino"):
        if importlib.util.find_spec(backend):
            for precision, words in (("int8", ("--int8",)), ("fp32", ())):
                part = ("--window", "0", "0", "256", "64")
                # A run counts the weights three times, and OpenVINO's libraries as 200 MB
                yield Case(
                    f"embed-{backend}-{precision}",
                    580 if (backend, precision) == ("openvino", "fp32") else 500,
                    ("embed", scene, "--backend", backend, *part, *words),
                    needs,
                )
    for kind in ("clusters", "rgb"):
        words = ("embed", scene, "--int8", "--quicklook", kind)
        yield Case(f"embed-quicklook-{kind}", 300, words, needs)
    needs = {"tiles": lambda path: inputs.tiles(path, 5, 4, 256, 12)}
    yield Case("embed-20-tiles", 300, ("embed", "tiles", "--int8"), needs)
    needs = {"safe": lambda path: inputs.safe(path, 1200, 8)}
    words = ("embed", "safe", "--int8", "--window", "0", "0", "512", "512")
    yield Case("embed-safe-warped", 500, words, needs)


def model_cases() -> Iterator[Case]:
    """`embed` with a model of another width, on each backend."""
    scene = _tile(256, 256, 60)
    limits = {"fused": (560, 740), "onnxruntime": (940, 1120), "openvino": (1040, 1220)}
    for backend, of in limits.items():
        if backend == "fused" or importlib.util.find_spec(backend):
            for precision, limit in zip(("int8", "fp32"), of, strict=True):
                model = f"medium.{precision}.onnx"
                needs = scene | {model: lambda path, p=precision: inputs.model(path, "medium", p)}
                words = ("embed", next(iter(scene)), "--model", model, "--backend", backend)
                part = ("--window", "0", "0", "64", "16", *(("--int8",) if precision == "int8" else ()))
                yield Case(f"embed-medium-{backend}-{precision}", limit, (*words, *part), needs)


def convert_cases() -> Iterator[Case]:
    """`convert` from and to each format."""
    for side in (1024, 2048):
        for format in FORMATS:
            needs = _output(side, side, "cog")
            limit = CODING_MB if format == "vq" else READING_MB
            yield Case(f"convert-cog-{format}-{side}", limit, ("convert", next(iter(needs)), "--format", format), needs, False)  # fmt: skip
    for stored_as in ("int8", "float32"):
        for size in ((4096, 16), (16, 4096), (1024, 1024)):
            needs = _output(*size, "cog", stored_as)
            for format in ("npy", "geotessera"):
                words = ("convert", next(iter(needs)), "--format", format)
                yield Case(
                    f"convert-{stored_as}-{format}-{size[0]}x{size[1]}", READING_MB, words, needs, False
                )
    for format in ("npy", "zarr", "geotessera"):
        needs = _output(1024, 1024, format)
        yield Case(f"convert-{format}-cog", READING_MB, ("convert", next(iter(needs)), "--format", "cog"), needs, False)  # fmt: skip
    for format in ("zarr", "geotessera"):
        store = _output(1024, 1024, format)
        for what, added in (
            ("scene", _output(1024, 1024, "cog", col=600)),
            ("year", _output(1024, 1024, "cog", year=2022)),
        ):
            words = ("convert", next(iter(added)), "--format", format, "-o", next(iter(store)), "--append")
            yield Case(f"convert-append-{what}-{format}", READING_MB, words, store | added, False)


def reading_cases() -> Iterator[Case]:
    """Commands that read outputs."""
    side = 1024
    lon_lat = point(side, side)
    labels = {"labels.tif": lambda path: inputs.label_raster(path, side, side)}
    shapes = {"shapes.geojson": lambda path: inputs.label_shapes(path, 300_000, side, side)}
    for format, stored_as in (("cog", "int8"), ("cog", "float32"), ("npy", "int8"), ("npy", "float32"), ("zarr", "int8"), ("geotessera", "int8"), ("vq", "int8"), ("vq", "float32")):  # fmt: skip
        needs = _output(side, side, format, stored_as)
        other = _output(side, side, format, stored_as, 2022)
        (name,), (second,) = needs, other
        end = f"{format}-{stored_as}"
        yield Case(f"similar-{end}", 330, ("similar", name, "--at", *lon_lat), needs)
        yield Case(f"change-{end}", 330, ("change", name, second), needs | other)
        yield Case(f"map-{end}", 530, ("map", name, "--labels", "labels.tif"), needs | labels)
        yield Case(f"picture-{end}", READING_MB, ("picture", name), needs, False)
        yield Case(f"evaluate-{end}", 550, ("evaluate", name, "--labels", "labels.tif", "--method", "linear"), needs | labels, False)  # fmt: skip
        yield Case(f"verify-{end}", READING_MB, ("verify", name), needs, False)
        yield Case(f"info-{end}", READING_MB, ("info", name), needs, False)
    needs = _output(side, side, "cog")
    (name,) = needs
    yield Case("map-300000-shapes", 600, ("map", name, "--labels", "shapes.geojson", "--field", "crop"), needs | shapes)  # fmt: skip
    for name, needs in (("tile", _tile(1024, 1024, 6)), ("mosaics", _mosaics(1024, 1024, 6))):
        yield Case(f"info-scene-{name}", READING_MB, ("info", next(iter(needs))), needs, False)
    for width, height in ((4096, 16), (16, 4096)):
        needs = _output(width, height, "cog")
        yield Case(f"similar-{width}x{height}", 330, ("similar", next(iter(needs)), "--at", *point(width, height)), needs)  # fmt: skip


def shapes_cases() -> Iterator[Case]:
    """`embed` of the pixels in shapes, and tables of them."""
    scene, large = _tile(256, 256, 60), _tile(1024, 1024, 6)
    points = {"plots.csv": lambda path: inputs.plots(path, 1024, 1024, 20_000)}
    words = ("embed", next(iter(large)), "--int8", "--points", "plots.csv", "--shapes-crs", CRS)
    yield Case("embed-shapes-points", 310, words, large | points)
    coast = {"coast.gpkg": lambda path: inputs.coast(path, 256, 256, 1_000_000)}
    words = ("embed", next(iter(scene)), "--int8", "--aoi", "coast.gpkg")
    yield Case("embed-shapes-coast", 460, words, scene | coast)
    mosaic = {"tiles": lambda path: inputs.tiles(path, 5, 4, 256, 12)}
    parcels = {"parcels.gpkg": lambda path: inputs.parcels(path, 5 * 256, 4 * 256, 5000, 4)}
    words = ("embed", "tiles", "--int8", "--aoi", "parcels.gpkg")
    yield Case("embed-shapes-mosaic", 440, words, mosaic | parcels)
    words = ("sample", "tiles", "parcels.gpkg", "--int8", "--pool", "mean,std")
    yield Case("sample-shapes-mosaic", 500, words, mosaic | parcels)
    for format in FORMATS:
        needs = _output(4096, 4096, format)
        name = next(iter(needs))
        points = {"many.csv": lambda path: inputs.plots(path, 4096, 4096, 100_000)}
        words = ("sample", name, "many.csv", "--shapes-crs", CRS)
        yield Case(f"sample-points-{format}", 500, words, needs | points, False)
        fields = {"fields.gpkg": lambda path: inputs.parcels(path, 4096, 4096, 5000)}
        words = ("sample", name, "fields.gpkg", "--pool", "mean,std,median")
        yield Case(f"sample-shapes-{format}", 500, words, needs | fields, False)


def cases() -> list[Case]:
    """All of them."""
    needs = _tile(128, 64, 12)
    small = Case("embed-cog-int8-small", 300, ("embed", next(iter(needs)), "--int8"), needs)
    return [
        small, *embed_cases(SHAPES), *large_cases(), *model_cases(), *convert_cases(), *reading_cases(), *shapes_cases(),
    ]  # fmt: skip


def large_cases() -> Iterator[Case]:
    """`embed` of 2,048 x 2,048 pixels: memory mustn't grow with the scene."""
    for precision, words, limit in (("int8", ("--int8",), 300), ("fp32", (), 400)):
        for format in FORMATS:
            needs = _tile(2048, 2048, 2) if format in ("cog", "npy") else _mosaics(2048, 2048, 2)
            stored = ("--store", "int8") if format in INT8_ONLY and precision == "fp32" else words
            line = ("embed", next(iter(needs)), "--format", format, *stored)
            yield Case(
                f"embed-{format}-{precision}-square-2048", max(limit, LEAST.get(format, 0)), line, needs
            )


def run(command: list[str], folder: Path, source: Path = ROOT, **variables: str) -> dict[str, Any]:
    """Run a command of `tessera-engine` in a folder; see `memory.peak.measure`."""
    path = os.pathsep.join(str(source / room) for room in ("engine", "export", "kernels"))
    done = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).with_name("peak.py")),
            sys.executable,
            "-m",
            "tessera_engine",
            *command,
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path} | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def measure(case: Case, folder: Path, source: Path = ROOT) -> dict[str, Any]:
    """Make what a case needs, if it isn't there, and run it; its result is removed."""
    for name, make in case.needs.items():
        if not (folder / name).exists():
            new = folder / f"new-{name}"  # with its ending, which some writers ask for
            make(new)
            new.rename(folder / name)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        words, store = [], None
        for word in case.words:
            place = folder / word
            if word in case.needs:
                if words and words[-1] == "-o":  # a store that grows: a copy of it
                    place = Path(work) / "store"
                    subprocess.run(["cp", "-a", str(folder / word), str(place)], check=True)
                    store = place
                word = str(place)
            words.append(word)
        if case.words[0] not in ("info", "verify") and store is None:
            ends = {"picture": "result.png", "sample": "result.parquet"}
            words += ["-o", ends.get(case.words[0], "result")]
        if case.asks:
            words += ["--memory", f"{case.limit}MB"]
        if case.words[0] not in ("info", "verify"):
            words.append("-q")
        return run(words, Path(work), source)


def _wanted(name: str, words: list[str], exact: bool) -> bool:
    return name in words if exact else not words or any(word in name for word in words)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*", help="parts of the names of cases; default: all")
    parser.add_argument("--source", type=Path, default=ROOT, help="repository whose code is measured")
    parser.add_argument("--work", type=Path, help="folder for scenes and outputs, which are kept")
    parser.add_argument("--exact", action="store_true", help="the words are whole names of cases")
    parser.add_argument("--list", action="store_true", help="print the names only")
    arguments = parser.parse_args()
    chosen = [case for case in cases() if _wanted(case.name, arguments.words, arguments.exact)]
    if arguments.list:
        print("\n".join(case.name for case in chosen))
        return
    above = False
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for case in chosen:
            done = measure(case, folder, arguments.source.resolve())
            if done["exit_code"] == 0 and done["peak"] > case.limit * 10**6:
                # Kernels that are compiled at their first use take more memory, once
                done = measure(case, folder, arguments.source.resolve())
            peak = done["peak"] / 1e6
            wrong = "" if done["exit_code"] == 0 else f"  exit {done['exit_code']}: {done['messages']}"
            over = " ABOVE" if peak > case.limit else ""
            print(
                f"{case.name:40} {peak:5.0f} / {case.limit} MB{over}  {done['seconds']} s{wrong}", flush=True
            )
            above |= peak > case.limit or done["exit_code"] != 0
    sys.exit(above)


if __name__ == "__main__":
    main()
