"""What the command lines on the pages name: small scenes, outputs, labels and models under those names, made when asked for."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import conformance
import numpy as np
import rasterio
from places import FLANDERS, ROOT
from rasterio.warp import transform

import tessera_engine as te
from tessera_engine.files.output import ITEM
from tessera_engine.simulate import simulate

SIDE = 48
"""Pixels of a scene."""

YEAR = 2024

QUIET = {"progress": False}


class Inputs:
    """Makes inputs by name in one folder, each once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, name: str) -> Path | None:
        """The path of an input that a page calls `name`; None: no page's input has such a name."""
        path = self.folder / name
        if not path.exists():
            for pattern, make in MAKERS.items():
                if re.fullmatch(pattern, name):
                    make(self, path)
                    break
            else:
                return None
        return path

    def need(self, name: str) -> Path:
        """The same, for inputs made of other inputs."""
        path = self.get(name)
        assert path is not None, name
        return path


def _scene(inputs: Inputs, path: Path) -> None:
    """A scene of the year in its name; all of them show one place, but `plain`. `scene_dir` has days of year only."""
    found = re.search(r"\d{4}", path.name)
    year = int(found[0]) if found else YEAR
    simulate(path, SIDE, seed=int(path.name == "plain"), year=year if found else 0)
    if path.name == "scene_dir":
        return
    first = date(year, 1, 1)
    days = {"s2_dates": np.load(path / "doys.npy")}
    orbits = [np.load(path / f"sar_{orbit}_doy.npy") for orbit in ("ascending", "descending")]
    days["s1_dates"] = np.sort(np.concatenate(orbits))
    text = {key: [str(first + timedelta(int(day) - 1)) for day in value] for key, value in days.items()}
    (path / "dates.json").write_text(json.dumps(text))


def _flanders(inputs: Inputs, path: Path) -> None:
    shutil.copytree(FLANDERS, path)


def _embeddings(inputs: Inputs, path: Path) -> None:
    scene = inputs.need(path.name.removesuffix(".embeddings"))
    te.embed(scene, te.load_model("demo", "int8"), path, stored_as="int8", **QUIET)


def _neighbour(inputs: Inputs, path: Path) -> None:
    shutil.copytree(inputs.need("scene_dir.embeddings"), path)


def _store(inputs: Inputs, path: Path) -> None:
    for year in (YEAR - 1, YEAR):
        output = inputs.need(f"{year}.embeddings")
        te.convert(output, path, "zarr", year=year, append=path.exists(), **QUIET)


def _season(inputs: Inputs, path: Path) -> None:
    scene = te.open_scene(inputs.need("scene_dir"), year=YEAR, season=f"{YEAR}-03:{YEAR}-09")
    te.embed(
        scene, te.load_model("demo", "int8"), path, format="zarr", every="month", stored_as="int8", **QUIET
    )


def _own_tree(inputs: Inputs, path: Path) -> None:
    te.convert(inputs.need("scene_dir.embeddings"), path, "geotessera", year=YEAR, **QUIET)


def _tree(inputs: Inputs, path: Path) -> None:
    """As geotessera leaves it: without our item."""
    _own_tree(inputs, path)
    for name in (ITEM, "quicklook.png", f"truecolour_{YEAR}.tif"):
        (path / name).unlink()


def _map(inputs: Inputs, path: Path) -> None:
    output = inputs.need(path.name.replace(".map", ".embeddings"))
    te.map(output, inputs.need("points.geojson"), "crop", path, **QUIET)


def _classifier(inputs: Inputs, path: Path) -> None:
    out = inputs.folder / "to-save.map"
    te.map(
        inputs.need("scene_dir.embeddings"), inputs.need("points.geojson"), "crop", out, save=path, **QUIET
    )
    shutil.rmtree(out)


def _transitions(inputs: Inputs, path: Path) -> None:
    te.from_to(inputs.need("2023.map"), inputs.need("2024.map"), path)


def _labels(inputs: Inputs, path: Path) -> None:
    """Points with the true cover, as `crop` and as `class`."""
    drawn = inputs.folder / "drawn.geojson"
    cover = inputs.need("scene_dir") / "cover.tif"
    te.sample_design(cover, drawn, per_class=12, show_class=True, overwrite=True)
    document = json.loads(drawn.read_text())
    for feature in document["features"]:
        name = feature["properties"]["map_class"]
        feature["properties"] = {"crop": name, "class": name}
    if path.suffix == ".geojson":
        path.write_text(json.dumps(document))
        return
    import geopandas

    geopandas.GeoDataFrame.from_features(document, crs="EPSG:4326").to_file(path)


def _fields(inputs: Inputs, path: Path) -> None:
    """Squares of 30 m around the labels."""
    import geopandas

    points = geopandas.read_file(inputs.need("points.geojson")).to_crs("EPSG:32631")
    points["geometry"] = points.buffer(15, cap_style="square")
    points.to_file(path)


def _plots(inputs: Inputs, path: Path) -> None:
    rows = "plot,crop,lon,lat\nA1,wheat,4.92631,50.80412\nA2,maize,4.92702,50.80315\n"
    path.write_text(rows)


def _checked(inputs: Inputs, path: Path) -> None:
    """Points that were drawn from the map, with the truth filled in."""
    drawn = inputs.folder / "to-check.csv"
    te.sample_design(inputs.need("scene_dir.map"), drawn, per_class=10, overwrite=True)
    with drawn.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with rasterio.open(inputs.need("scene_dir") / "cover.tif") as cover:
        places = transform(
            "EPSG:4326", cover.crs, *([float(row[name]) for row in rows] for name in ("lon", "lat"))
        )
        for row, (value,) in zip(rows, cover.sample(zip(*places, strict=True)), strict=True):
            row["reference"] = cover.tags(1)[f"class_{value}"]
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            out = csv.DictWriter(file, rows[0])
            out.writeheader()
            out.writerows(rows)
        return
    import geopandas

    lon, lat = ([float(row[name]) for row in rows] for name in ("lon", "lat"))
    made = geopandas.GeoDataFrame(rows, geometry=geopandas.points_from_xy(lon, lat), crs="EPSG:4326")
    made.astype({"stratum": int, "stratum_pixels": int}).to_file(path)


def _transitions_checked(inputs: Inputs, path: Path) -> None:
    """Points that were drawn from a map of transitions; the map is right at all of them."""
    drawn = inputs.folder / "to-check-twice.geojson"
    te.sample_design(
        inputs.need("2023.2024.transitions"), drawn, per_class=4, show_class=True, overwrite=True
    )
    import geopandas

    points = geopandas.read_file(drawn)
    for column, which in (("reference_before", 0), ("reference_after", -1)):
        points[column] = [
            name.removesuffix(" unchanged").split(" to ")[which] for name in points["map_class"]
        ]
    points.to_file(path)


def _jobs(inputs: Inputs, path: Path) -> None:
    path.write_text("scene,year\nnorth,2024\nsouth,2024\n")


def _palette(inputs: Inputs, path: Path) -> None:
    out = inputs.folder / "palette.png"
    te.picture(inputs.need("scene_dir.embeddings"), out, palette=path, overwrite=True)


def _raster(inputs: Inputs, path: Path) -> None:
    shutil.copy(inputs.need("scene_dir") / "cover.tif", path)


def _checkpoint(name: str) -> Callable[[Inputs, Path], None]:
    return lambda inputs, path: shutil.copy(conformance.checkpoint(name), path) and None


def _pack(inputs: Inputs, path: Path) -> None:
    from tessera_engine.model.carried import pack_model

    pack_model("demo", path)


def _scripts(inputs: Inputs, path: Path) -> None:
    path.symlink_to(ROOT / "benchmarks")


def _example(inputs: Inputs, path: Path) -> None:
    """Of a kit."""
    path.mkdir()
    shutil.copytree(inputs.need("scene_dir"), path / "scene")
    text = inputs.need("points.geojson").read_text().replace('"crop"', '"map_class"')
    (path / "labels.geojson").write_text(text)


def _drift(inputs: Inputs, path: Path) -> None:
    words = [sys.executable, "-m", "tessera_engine", "verify", "demo", "--precision", "int8", "--json"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    path.write_bytes(subprocess.run(words, env=environment, capture_output=True, check=True).stdout)


MAKERS: dict[str, Callable[[Inputs, Path], None]] = {
    "flanders(-2018)?": _flanders,
    r"scene_dir|scene_2025|farm(-2025)?|plain|north(-20\d\d)?|south(-20\d\d)?|east|country|20\d\d": _scene,
    "neighbour.embeddings": _neighbour,
    r".*\.embeddings": _embeddings,
    r"season\.zarr": _season,
    r".*\.zarr": _store,
    "tree": _tree,
    "own-tree": _own_tree,
    r".*\.map": _map,
    r"crops\.model": _classifier,
    r"2023\.2024\.transitions": _transitions,
    r"points\.geojson|scene_dir\.labels\.gpkg": _labels,
    r"fields\.gpkg": _fields,
    r"points\.csv": _plots,
    r"points\.gpkg|check\.gpkg|checked\.csv": _checked,
    r"transitions\.gpkg": _transitions_checked,
    r"jobs\.csv": _jobs,
    r"land\.json": _palette,
    r"other\.tif": _raster,
    r"(student_)?nano\.pt|mine\.pt|large\.pt|trained\.pt": _checkpoint("tiny"),
    r"v1_1\.pt": _checkpoint("v1_1_tiny"),
    r"medium\.tessera": _pack,
    "from-r": lambda inputs, path: shutil.copytree(inputs.need("scene_dir.map"), path) and None,
    r"drift\.json": _drift,
    "benchmarks": _scripts,
    "example": _example,
}
"""Pattern of a name -> what makes it."""
