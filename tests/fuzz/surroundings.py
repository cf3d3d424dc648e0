"""What lies around a fuzzed input: whole outputs, scenes and labels, made once; parsers get copies of them.

Valid inputs that are small are kept in `corpus/`; those that depend on the engine's own writers are made here, so that
they never lag behind it.
"""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
from cube_files import s1_variables, s2_variables, write_netcdf, write_zarr
from made_up import CRS, ORIGIN, made_up_arrays, write_tile
from mosaic_files import write_mosaics
from outputs import made_up_output
from product_files import write_hyp3, write_opera, write_raster, write_safe
from stac_files import write_items, write_stac_s1, write_stac_s2
from staged import landscape

from tessera_engine.analysis.change import change
from tessera_engine.analysis.maps.make import map as make_map
from tessera_engine.analysis.similar import similar
from tessera_engine.pictures.make import picture
from tessera_engine.running.convert import convert
from tessera_engine.running.journal import Finished, Journal
from tessera_engine.scene import Window

SIZE = 12
"""Pixels across an output."""


def make(folder: Path) -> None:
    """Write everything into an empty folder, sorted by what it is."""
    _make_outputs(folder / "outputs")
    _make_labels(folder / "labels")
    make_map(
        folder / "outputs" / "cog",
        folder / "labels" / "points.gpkg",
        "crop",
        folder / "outputs" / "map",
        progress=False,
    )
    _make_classifiers(folder)
    _make_scenes(folder / "scenes")
    (folder / "journals").mkdir()
    done = Finished(3, "0" * 64, {"s2": "a" * 16, "s1_ascending": "b" * 16})
    identity = {"scene": "field", "model": "nano", "out": "x"}
    begun = Journal(folder / "journals" / "begun", identity, 16, "state", {Window(0, 0, 5, 3): done})
    begun.save()
    complete = Journal(folder / "journals" / "complete", identity, 16, "state", dict(begun.finished))
    complete.save()
    complete.add(Window(0, 3, 5, 3), done)
    complete.add_complete("c" * 64)
    (folder / "palettes").mkdir()
    for kind in ("pca", "clusters"):
        made = folder / "palettes" / f"{kind}.json"
        picture(
            folder / "outputs" / "cog",
            folder / "x.png",
            quicklook=kind,
            palette=made,
            overwrite=True,
            progress=False,
        )


def _make_outputs(folder: Path) -> None:
    land, later = landscape(SIZE, SIZE, 16), landscape(SIZE, SIZE, 16, seed=1)
    for kind, stored_as in (("cog", "int8"), ("npy", "int8"), ("cog", "float32")):
        name = kind if stored_as == "int8" else f"{kind}32"
        made_up_output(_new(folder / name), land, kind, stored_as, year=2023)
    made_up_output(_new(folder / "later"), later, year=2024)
    wide = {
        year: landscape(SIZE, SIZE, 128, seed=year) for year in (2023, 2024)
    }  # as geotessera's clients expect
    for year, embedding in wide.items():
        made_up_output(_new(folder / f"wide-{year}"), embedding, year=year)
    for kind in ("zarr", "geotessera"):
        convert(folder / "wide-2023", folder / kind, kind, progress=False)
        grown = folder / f"{kind}-grown"
        convert(folder / "wide-2023", grown, kind, progress=False)
        convert(folder / "wide-2024", grown, kind, append=True, progress=False)
    convert(folder / "cog", folder / "vq", "vq", progress=False)
    similar(folder / "cog", POINT, folder / "similar", progress=False)
    change(folder / "cog", folder / "later", folder / "change", progress=False)


POINT = (3.0009, 50.5512)
"""A point on all outputs, longitude and latitude."""


def _new(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _make_labels(folder: Path) -> None:
    import pyogrio
    import shapely

    folder.mkdir()
    rng = np.random.default_rng(0)
    xy = np.array(ORIGIN @ rng.uniform(0, SIZE, (2, 40))).T
    points = [shapely.Point(x, y) for x, y in xy]
    kinds = np.array(["wheat", "ፈላሻ"], dtype=object)[rng.integers(0, 2, 40)]
    values = rng.uniform(0, 9, 40)
    for name, driver in (
        ("points.gpkg", "GPKG"),
        ("points.geojson", "GeoJSON"),
        ("points.shp", "ESRI Shapefile"),
    ):
        pyogrio.raw.write(
            folder / name, shapely.to_wkb(points), [kinds, values], ["crop", "value"], crs=CRS,
            geometry_type="Point", driver=driver, **({"layer_options": {"RFC7946": "NO"}} if driver == "GeoJSON" else {}),
        )  # fmt: skip
    boxes = [shapely.box(x, y, x + 25, y + 25) for x, y in xy[:8]]
    pyogrio.raw.write(
        folder / "fields.geojson", shapely.to_wkb(boxes), [kinds[:8]], ["crop"], crs=CRS, geometry_type="Polygon",
        driver="GeoJSON",
    )  # fmt: skip
    from rasterio.warp import transform

    lon, lat = transform(CRS, "EPSG:4326", *xy.T)
    rows = "".join(
        f"{a:.6f},{b:.6f},{c},{d:.3f}\n" for a, b, c, d in zip(lon, lat, kinds, values, strict=True)
    )
    (folder / "points.csv").write_text("lon,lat,crop,value\n" + rows, encoding="utf-8")
    write_raster(folder / "raster.tif", rng.integers(0, 3, (SIZE, SIZE)).astype(np.uint8), nodata=0)


def _make_classifiers(folder: Path) -> None:
    (folder / "classifiers").mkdir()
    for method, regression in (
        ("linear", False),
        ("knn", True),
        ("boosting", False),
        ("forest", True),
        ("mlp", False),
    ):
        out, saved = folder / "learned", folder / "classifiers" / f"{method}.model"
        make_map(
            folder / "outputs" / "cog", folder / "labels" / "points.gpkg", "value" if regression else "crop", out,
            method=method, regression=regression, save=saved, applicability=method == "linear", overwrite=True,
            progress=False,
        )  # fmt: skip
    shutil.rmtree(out)


def _make_scenes(folder: Path) -> None:
    arrays = made_up_arrays(steps=2)
    one = made_up_arrays(steps=1)
    write_tile(folder / "dpixel", arrays)
    write_mosaics(folder / "mosaics", one)
    write_safe(folder / "safe", one, pixels="tif")
    write_safe(folder / "safe-zip", one, pixels="tif", zipped=True)
    write_hyp3(folder / "hyp3", one)
    write_hyp3(folder / "hyp3-zip", one, zipped=True)
    write_opera(folder / "opera", one)
    for kind in ("pc", "earthsearch", "earthsearch-v0"):
        scene = folder / f"stac-{kind}"
        write_items(scene, write_stac_s2(scene, one, kind=kind))
    write_items(folder / "stac-s1", write_stac_s1(folder / "stac-s1", one))
    variables = s2_variables(arrays)
    write_netcdf(folder / "netcdf" / "cube.nc", variables, arrays["doys"])
    _write_netcdf4(folder / "netcdf4" / "cube.nc", folder / "netcdf" / "cube.nc")
    (folder / "zarr").mkdir()
    write_zarr(folder / "zarr" / "cube.zarr", variables, arrays["doys"])
    radar = s1_variables(arrays, "ascending", "power")
    write_netcdf(folder / "netcdf-s1" / "cube.nc", radar, arrays["sar_ascending_doy"])


def _write_netcdf4(path: Path, classic: Path) -> None:
    """The same cube as HDF5."""
    import xarray

    path.parent.mkdir()
    with xarray.open_dataset(classic, engine="scipy", decode_cf=False) as cube:
        cube.load().to_netcdf(path, engine="h5netcdf" if _has_h5netcdf() else "netcdf4")


def _has_h5netcdf() -> bool:
    try:
        import h5netcdf  # noqa: F401
    except ImportError:
        return False
    return True


def tree_as_json(folder: Path) -> bytes:
    """The metadata of a Zarr store as one JSON object: path -> content. Chunks are left out."""
    texts = {
        path.relative_to(folder).as_posix(): json.loads(path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.name in (".zgroup", ".zarray", ".zattrs", ".zmetadata", "zarr.json")
    }
    return json.dumps(texts).encode()


def names_of(folder: Path) -> bytes:
    """The paths of all files of a scene, one a line."""
    paths = (path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file())
    return "\n".join(paths).encode()


def fresh_copy(source: Path, target: Path) -> Path:
    """A copy of a folder, instead of what is there."""
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(source, target))


def zip_of(folder: Path) -> bytes:
    """A folder as a zip."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder).as_posix())
    return made.getvalue()


def write_metadata(folder: Path, data: bytes, otherwise: Path) -> None:
    """Metadata files into a Zarr store; bytes that are no JSON become one of them."""
    try:
        texts = json.loads(data)
    except (ValueError, RecursionError):
        texts = None
    if not isinstance(texts, dict):
        otherwise.write_bytes(data)
    for name, content in texts.items() if isinstance(texts, dict) else ():
        for path in safe_paths(folder, name.encode("utf-8", "surrogatepass")):
            with suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(content), encoding="ascii")


def safe_paths(folder: Path, lines: bytes) -> list[Path]:
    """The paths that lines name, those that stay in the folder and that the system takes."""
    found = []
    for line in lines.split(b"\n")[:100]:
        parts = [part for part in line.replace(b"\0", b"").split(b"/") if part not in (b"", b".", b"..")]
        if parts and all(len(part) < 200 for part in parts) and len(parts) < 20:
            found.append(folder.joinpath(*(part.decode("utf-8", "surrogateescape") for part in parts)))
    return found


if __name__ == "__main__":
    import sys

    make(Path(sys.argv[1]))
