"""The writing commands that the soak interrupts: one case for each command, format and way to write.

`test_soak.py` fails where a command that writes has no case.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

WRITES_NOTHING = {"info", "doctor", "docs", "verify", "bench", "model list"}

SHORT = {
    "a run's journal, and a growing store": "embed zarr append",
    "a store of many files that grows": "convert geotessera append",
    "result_folder": "area overwrite",
    "result_file": "segment overwrite",
    "result_pair": "map saved overwrite",
    "a table that is resumed": "sample scene",
    "a picture and its palette": "picture",
    "an installed model": "model import",
    "a checkpoint": "train",
}
"""What a short soak interrupts: way to write -> name of a case."""

HOME = "TESSERA_ENGINE_HOME"


@dataclass(frozen=True)
class Case:
    """One command line.

    Attributes:
        command: as `--help` lists it.
        words: the command line; `{made}` stands for the folder of the inputs, `{lonlat}` for a place in it.
        out: the result, in the folder where the command runs.
        old: what is at `out` before, in the folder of the inputs; empty: nothing.
        format: of the result, for the commands that have a choice; or in a word what else the command does.
        several: `out` is a folder with several results, each of which is whole.
        weight: how often it is interrupted, beside others: slow commands less often.
    """

    command: str
    words: str
    out: str = "out"
    old: str = ""
    format: str = ""
    several: bool = False
    weight: float = 1.0

    @property
    def name(self) -> str:
        how = [self.format, *(word for word in ("overwrite", "append") if f"--{word}" in self.words)]
        return " ".join([self.command, *filter(None, how)])

    def line(self, made: Path) -> list[str]:
        words = self.words.replace("{lonlat}", (made / "lonlat").read_text())
        return [word.replace("{made}", str(made)) for word in words.split()]


def cases() -> list[Case]:
    """Every case. Formats come from their registry."""
    from tessera_engine.formats.registry import FORMATS

    words = "--int8 --format zarr -o out -q"
    found = [
        Case("simulate", "simulate out --size 4 -q", weight=0.5),
        Case("embed", f"embed {{made}}/east {words} --aoi {{made}}/field.geojson", format="aoi", weight=0.3),
        Case(
            "embed",
            f"embed {{made}}/east {words} --season 2021-01:2021-03 --every month",
            format="months",
            weight=0.3,
        ),
        Case(
            "embed", f"embed {{made}}/east {{made}}/west {words}", format="scenes", several=True, weight=0.3
        ),
    ]
    for name, format in FORMATS.items():
        convert = f"convert {{made}}/b.npy --format {name} --year 2024 -o out -q"
        embed = f"embed {{made}}/east --int8 --format {name} -o out -q"
        found += [
            Case("convert", convert, format=name, weight=0.5),
            Case("convert", f"{convert} --overwrite", old=f"store.{name}", format=name, weight=2),
            Case("embed", embed, format=name, weight=0.3),
            Case("embed", f"{embed} --overwrite", old=f"store.{name}", format=name, weight=0.5),
        ]
        if format.appendable:
            found += [
                Case("convert", f"{convert} --append", old=f"store.{name}", format=name, weight=3),
                Case("embed", f"{embed} --append", old=f"east.{name}", format=name, weight=0.5),
            ]
    at, labels = "--at {lonlat}", "--labels {made}/labels.geojson --field crop"
    found += [
        Case("similar", f"similar {{made}}/a.npy {at} -o out -q"),
        Case("similar", f"similar {{made}}/a.npy {at} -o out -q --overwrite", old="similar"),
        Case("change", "change {made}/a.npy {made}/b.npy -o out -q --overwrite", old="similar"),
        Case("change", "change {made}/classes.tif {made}/later.tif --from-to -o out -q --overwrite", old="similar", format="maps", weight=0.5),
        Case("map", f"map {{made}}/a.npy {labels} -o out -q --overwrite", old="similar", weight=0.3),
        Case("map", f"map {{made}}/a.npy {labels} --method knn -o out/map --save out/crops.model -q", format="saved", several=True, weight=0.5),
        Case("map", f"map {{made}}/a.npy {labels} --method knn -o out/map --save out/crops.model -q --overwrite", old="kept", format="saved", several=True, weight=0.5),
        Case("apply", "apply {made}/kept/crops.model {made}/a.npy -o out -q --overwrite", old="similar", weight=0.5),
        Case("evaluate", f"evaluate {{made}}/a.npy {labels} --method knn -o out -q --overwrite", old="similar", weight=0.2),
        Case("evaluate", f"evaluate {{made}}/a.npy {labels} --curve -o out -q --overwrite", old="similar", format="curve", weight=0.2),
        Case("segment", "segment {made}/a.npy -o out.parquet -q --overwrite", out="out.parquet", old="old.pt"),
        Case("sample", "sample {made}/east {made}/labels.geojson --int8 -o out.csv -q", out="out.csv", format="scene", weight=0.5),
        Case("sample", "sample {made}/a.npy {made}/labels.geojson -o out.csv -q", out="out.csv"),
        Case("sample", "sample {made}/a.npy {made}/labels.geojson -o out.csv -q --overwrite", out="out.csv", old="old.csv"),
        Case("suggest", "suggest {made}/a.npy -n 3 -o out.csv -q --overwrite", out="out.csv", old="old.csv", weight=0.5),
        Case("sample-design", "sample-design {made}/classes.tif -o out.csv --per-class 2 -q", out="out.csv", weight=0.5),
        Case("area", "area {made}/classes.tif --reference {made}/checked.csv -o out -q --overwrite", old="similar", weight=0.5),
        Case("picture", "picture {made}/a.npy -o out.png -q --palette colours.json", out="out.png"),
        Case("picture", "picture {made}/a.npy -o out.png -q --overwrite", out="out.png", old="old.png"),
        Case("picture", "picture {made}/a.npy -o out.tif -q --quicklook clusters", out="out.tif", format="tif"),
        Case("kit", "kit out -q", weight=0.5),
        Case("view", "view {made}/a.npy --export out -q", weight=0.5),
        Case("view", "view {made}/a.npy --export out -q --overwrite", old="similar", weight=0.5),
        Case("export", "export {made}/tiny.pt -o out.onnx --overwrite", out="out.onnx", old="old.onnx", weight=0.2),
        Case("model import", "model import {made}/tiny.pt --name mine", out="home/models", several=True, weight=0.2),
        Case("model fetch", "model fetch nano --from {made}/tiny.pt --overwrite", out="home/models", several=True, old="models", weight=0.2),
        Case("model add", "model add {made}/oak -q", out="home/models", several=True, weight=0.5),
        Case("model pack", "model pack demo -o out.tessera -q --overwrite", out="out.tessera", old="old.pt", weight=0.5),
        Case("train", "train {made}/east -o out.pt --threads 1 --steps 2 --batch 16 --pixels 256 -q", out="out.pt", weight=0.2),
        Case("distil", "distil {made}/east --teacher {made}/tiny.pt -o out.pt --threads 1 --steps 2 --batch 16 --pixels 256 -q --overwrite", out="out.pt", old="old.pt", weight=0.2),
    ]  # fmt: skip
    return found


def write_classes(path: Path, grid: Any, side: int = 1) -> None:
    """A map of two classes, which take turns: so many pixels each."""
    import numpy as np
    import rasterio

    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "width": grid.width, "height": grid.height}
    with rasterio.open(path, "w", crs=grid.crs, transform=grid.transform, **profile) as file:
        file.write(
            np.arange(grid.width * grid.height, dtype=np.uint32).reshape(grid.height, -1) // side % 2 + 1, 1
        )


def _wheel(folder: Path, name: str) -> Path:
    """An empty wheel, with the same bytes each time."""
    path, info = folder / f"{name}-1.0-py3-none-any.whl", f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in (
            ("METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"),
            ("RECORD", ""),
        ):
            archive.writestr(zipfile.ZipInfo(f"{info}/{file}"), text)
    return path


def make_inputs(made: Path) -> None:
    """The inputs and the old results of all cases.

    In this process, a small checkpoint stands for the published nano, what int8 files are corrected by is simulated
    once, and two empty wheels stand for those that `kit` builds and asks an index for: all this would take most of each
    life.
    """
    import conformance
    from affine import Affine
    from cube_files import s1_variables, s2_variables, write_netcdf
    from made_up import CRS, ORIGIN
    from outputs import made_up_output
    from product_files import product_arrays
    from rasterio.transform import xy
    from rasterio.warp import transform as transform_coordinates
    from renamed_models import renamed
    from staged import landscape

    import tessera_engine as te
    from tessera_engine.formats.registry import FORMATS
    from tessera_engine.kit import make as kit
    from tessera_engine.kit.wheels import read_wheel
    from tessera_engine.model.published import PUBLISHED
    from tessera_engine.scene import Grid
    from tessera_export import export

    made.mkdir(parents=True)
    for place, (name, shift) in enumerate({"west": 0, "east": 8}.items()):
        transform = ORIGIN @ Affine.translation(shift, 0)
        arrays = product_arrays(12, 16, seed=place)
        variables = s2_variables(arrays)
        write_netcdf(made / name / "s2.nc", variables, arrays["doys"], transform)
        for orbit in ("ascending", "descending"):
            doys = arrays[f"sar_{orbit}_doy"]
            write_netcdf(made / name / f"{orbit}.nc", s1_variables(arrays, orbit), doys, transform)
    grid = Grid(30, 24, CRS, ORIGIN)
    for seed, (name, year) in enumerate({"a.npy": 2023, "b.npy": 2024}.items()):
        facts = {"scene_name": name, "scene_fingerprint": f"{seed:064d}"}
        output = made_up_output(
            made / "made" / name, landscape(24, 30, 128, seed), grid=grid, year=year, **facts
        )
        te.convert(output, made / name, "npy", progress=False)
    model = te.load_model("demo", precision="int8")
    for name in FORMATS:
        te.convert(made / "a.npy", made / f"store.{name}", name, progress=False)
        te.embed(
            made / "west",
            model,
            made / f"east.{name}",
            format=name,
            progress=False,
            announce=lambda line: None,
        )
    cols, rows = zip(*((col, row) for row in (4, 12, 20) for col in (4, 14, 24)), strict=True)
    corners = list(zip(*transform_coordinates(CRS, "EPSG:4326", *xy(ORIGIN, rows, cols)), strict=True))
    labels = [
        {"type": "Feature", "properties": {"crop": "ab"[i % 2]}, "geometry": {"type": "Point", "coordinates": list(place)}}
        for i, place in enumerate(corners)
    ]  # fmt: skip
    (made / "labels.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": labels}))
    field = [corners[at] for at in (0, 1, 4, 3, 0)]
    (made / "field.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [field]}))
    kept = {"save": made / "kept" / "crops.model", "progress": False}
    te.map(made / "a.npy", made / "labels.geojson", "crop", made / "kept" / "map", **kept)
    te.similar(made / "a.npy", corners[0], made / "similar", progress=False)
    write_classes(made / "classes.tif", grid)
    write_classes(made / "later.tif", grid, 3)
    te.sample_design(made / "classes.tif", made / "checked.csv", per_class=3, show_class=True)
    points = (
        (made / "checked.csv")
        .read_text()
        .replace("reference", "unused")
        .replace('"map_class"', '"reference"')
    )
    (made / "checked.csv").write_text(points)
    (made / "lonlat").write_text("{} {}".format(*corners[4]))
    shutil.copy(conformance.checkpoint("tiny"), made / "tiny.pt")
    content = (made / "tiny.pt").read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    PUBLISHED["nano"] = replace(PUBLISHED["nano"], bytes=len(content), sha256=sha256)
    export.simulated_pixels = cache(export.simulated_pixels)
    kit.build_wheel = lambda root, folder: _wheel(folder, "tessera_engine")
    kit.bring_wheels = lambda *of: [read_wheel(_wheel(of[-1], "other"))]
    for name in ("old.png", "old.csv", "old.onnx", "old.pt"):
        (made / name).write_bytes(b"old")
    (made / "models").mkdir()
    (made / "oak").mkdir()
    for precision in ("fp32", "int8"):
        renamed(made / "oak" / f"oak.{precision}.onnx", precision, name="oak")
    os.sync()
