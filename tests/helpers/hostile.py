"""Inputs whose content leads elsewhere: to files outside of what the user named, or to the network.

Each function makes one kind in a folder of its own, and gives the command lines to try it with.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from affine import Affine
from cube_files import WKT, _coordinates, s2_variables, write_zarr
from made_up import CRS, ORIGIN, made_up_arrays, write_roi, write_tile
from product_files import product_arrays, write_hyp3, write_safe
from stac_files import write_items, write_stac_s2

URL = "http://127.0.0.1:9"
"""Nothing listens there, and there is no network: a request fails, but is seen."""

SIDE = 24

Commands = list[list[str]]


class Kit(NamedTuple):
    """What a kind is made from.

    Attributes:
        folder: where it goes; exists.
        outside: a folder that no command names, see `write_outside`.
        scene: an ordinary d-pixel scene.
        outputs: ordinary outputs of it by format.
        labels: ordinary points on it, with the field `crop`.
        model: an ordinary model file.
    """

    folder: Path
    outside: Path
    scene: Path
    outputs: dict[str, Path]
    labels: Path
    model: Path

    def copy(self, path: Path, name: str | None = None) -> Path:
        """A copy of an ordinary folder or file."""
        to = self.folder / (name or path.name)
        shutil.copytree(path, to) if path.is_dir() else shutil.copy(path, to)
        return to


class Opens:
    """Its pickle opens a file elsewhere when it is loaded."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def __reduce__(self):
        return open, (str(self._kit.outside / "secret.bin"),)


KINDS: dict[str, Callable[[Kit], Commands]] = {}


def kind(make: Callable[[Kit], Commands]) -> Callable[[Kit], Commands]:
    KINDS[make.__name__] = make
    return make


CUBES: dict[str, Callable[[Kit], Commands]] = {}


def cube(make: Callable[[Kit], Commands]) -> Callable[[Kit], Commands]:
    CUBES[make.__name__] = make
    return make


def write_outside(folder: Path) -> Path:
    """Files of many formats that nothing may open."""
    folder.mkdir()
    write_roi(folder / "raster.tif", SIDE, SIDE, ORIGIN)
    (folder / "points.geojson").write_text(geojson())
    for name, array in made_up_arrays(SIDE, SIDE).items():
        np.save(folder / f"{name}.npy", array)
    (folder / "secret.bin").write_bytes(bytes(1 << 20))
    (folder / "grid.gsb").write_bytes(b"NUM_OREC" + bytes(2000))
    return folder


def geojson(head: str = "", count: int = 12) -> str:
    """Points of two crops on the made-up scene."""
    x, y = ORIGIN @ (2.5, 2.5)
    points = [
        {
            "type": "Feature",
            "properties": {"crop": "ab"[i % 2]},
            "geometry": {"type": "Point", "coordinates": [x + 10 * (i % 6) * 3, y - 100 * (i // 6)]},
        }
        for i in range(count)
    ]
    crs = head or '"crs":{"type":"name","properties":{"name":"EPSG:32631"}},'
    return '{"type":"FeatureCollection",' + crs + '"features":' + json.dumps(points) + "}"


def vrt(source: str, bands: int = 1, dtype: str = "Byte") -> str:
    """A virtual raster on the grid of the made-up scene."""
    one = "".join(
        f'<VRTRasterBand dataType="{dtype}" band="{i}"><SimpleSource><SourceFilename relativeToVRT="0">{source}'
        f"</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        for i in range(1, bands + 1)
    )
    place = "500000,10,0,5600000,0,-10"
    return (
        f'<VRTDataset rasterXSize="{SIDE}" rasterYSize="{SIDE}"><SRS>{CRS}</SRS><GeoTransform>{place}</GeoTransform>'
        f"{one}</VRTDataset>"
    )


def ogr_vrt(source: str) -> str:
    return (
        f'<OGRVRTDataSource><OGRVRTLayer name="points"><SrcDataSource relativeToVRT="0">{source}</SrcDataSource>'
        "</OGRVRTLayer></OGRVRTDataSource>"
    )


WMS = f"<GDAL_WMS><Service name=\"TMS\"><ServerUrl>{URL}/${{z}}</ServerUrl></Service><DataWindow><UpperLeftX>0</UpperLeftX><UpperLeftY>0</UpperLeftY><LowerRightX>1</LowerRightX><LowerRightY>1</LowerRightY><SizeX>{SIDE}</SizeX><SizeY>{SIDE}</SizeY></DataWindow><BandsCount>1</BandsCount></GDAL_WMS>"  # fmt: skip


def rasters(kit: Kit) -> dict[str, str]:
    """Descriptions that GDAL would open as rasters, by name."""
    inside = kit.outside / "raster.tif"
    return {
        "vrt-file": vrt(str(inside)),
        "vrt-url": vrt(f"/vsicurl/{URL}/a.tif"),
        "wms": WMS,
        "gti": f"<GDALTileIndexDataset><IndexDataset>{kit.outside}/points.geojson</IndexDataset></GDALTileIndexDataset>",
        "wmts": f'<Capabilities xmlns="http://www.opengis.net/wmts/1.0"><x href="{URL}/wmts"/></Capabilities>',
        "stacta": json.dumps({"type": "Feature", "stac_extensions": ["tiled-assets"], "properties": {"tiles:tile_matrix_sets": f"{URL}/t", "tiles:tile_matrix_links": {}}, "asset_templates": {}}),
        "plain-url": f"{URL}/a.tif",
    }  # fmt: skip


# Scenes


@kind
def roi_descriptions(kit: Kit) -> Commands:
    commands = []
    for name, text in rasters(kit).items():
        scene = kit.copy(kit.scene, name)
        (scene / "roi.tiff").write_text(text)
        commands.append(["info", str(scene)])
    return [
        *commands,
        ["embed", str(kit.folder / "vrt-url"), "-q"],
        ["train", str(kit.folder / "vrt-url"), "-o", "x.pt"],
    ]


@kind
def roi_overviews_elsewhere(kit: Kit) -> Commands:
    """A GeoTIFF whose metadata name the file of its overviews."""
    commands = []
    for name, target in (("file", kit.outside / "raster.tif"), ("url", f"/vsicurl/{URL}/overviews.tif")):
        for where in ("inside", "beside"):
            scene = kit.copy(kit.scene, f"{name}-{where}")
            roi = scene / "roi.tiff"
            if where == "inside":
                with rasterio.open(roi, "r+") as file:
                    file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(target))
                    file.update_tags(ns="MASK", MASK_FILE=str(target))
            else:
                (scene / "roi.tiff.aux.xml").write_text(
                    f'<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{target}</MDI></Metadata></PAMDataset>'
                )
            commands.append(["info", str(scene)])
            commands.append(
                ["map", str(kit.outputs["cog"]), "--labels", str(roi), "-o", f"ov-{name}-{where}", "-q"]
            )
    return commands


def bad_crs(kit: Kit) -> dict[str, str]:
    """CRSs that refer to something elsewhere."""
    return {
        "url": f"{URL}/crs.wkt",
        "urn": "urn:ogc:def:crs:EPSG::32631",
        "path": str(kit.outside / "secret.bin"),
        "grid": f"+proj=longlat +ellps=bessel +nadgrids={kit.outside}/grid.gsb +type=crs",
        "init": f"+init={kit.outside}/secret.bin:1",
    }


@kind
def crs_beside_roi(kit: Kit) -> Commands:
    commands = []
    for name, crs in bad_crs(kit).items():
        scene = kit.copy(kit.scene, name)
        (scene / "roi.tiff.aux.xml").write_text(f"<PAMDataset><SRS>{crs}</SRS></PAMDataset>")
        commands += [["info", str(scene)], ["embed", str(scene), "-q", "--int8", "-o", f"crs-{name}"]]
    return commands


@kind
def pickled_arrays(kit: Kit) -> Commands:
    commands = []
    for name in ("bands", "doys", "sar_ascending"):
        scene = kit.copy(kit.scene, name)
        np.save(scene / f"{name}.npy", np.array([Opens(kit)], dtype=object), allow_pickle=True)
        commands.append(["info", str(scene)])
        (scene / f"{name}.npy").write_bytes(pickle.dumps(Opens(kit)))
        commands.append(["info", str(scene)])
    return commands


@kind
def linked_tile(kit: Kit) -> Commands:
    commands = []
    for name in ("bands", "doys", "sar_ascending"):
        scene = kit.copy(kit.scene, name)
        (scene / f"{name}.npy").unlink()
        (scene / f"{name}.npy").symlink_to(kit.outside / f"{name}.npy")
        commands += [["info", str(scene)], ["embed", str(scene), "-q", "--int8", "-o", f"linked-{name}"]]
    scene = kit.copy(kit.scene, "roi")
    (scene / "roi.tiff").unlink()
    (scene / "roi.tiff").symlink_to(kit.outside / "raster.tif")
    return [*commands, ["info", str(scene)]]


@kind
def linked_tile_folders(kit: Kit) -> Commands:
    """A folder of tiles, of which one is a link to a tile elsewhere."""
    tiles = kit.folder / "tiles"
    write_tile(tiles / "a", made_up_arrays(SIDE, SIDE))
    write_tile(
        kit.outside / f"tile-{os.getpid()}", made_up_arrays(SIDE, SIDE), ORIGIN @ Affine.translation(SIDE, 0)
    )
    (tiles / "b").symlink_to(kit.outside / f"tile-{os.getpid()}")
    return [["info", str(tiles)], ["embed", str(tiles), "-q", "--int8", "-o", "linked-tiles"]]


@kind
def stac_hrefs(kit: Kit) -> Commands:
    commands = []
    outside = kit.outside / "raster.tif"
    for name, href in (
        ("absolute", str(outside)),
        ("parents", os.path.relpath(outside, kit.folder / "parents")),
        ("file", outside.as_uri()),
        ("http", f"{URL}/b.tif"),
        ("vsicurl", f"/vsicurl/{URL}/b.tif"),
        ("escaped", "%2e%2e/" * 8 + str(outside).lstrip("/")),
        ("link", "./link.tif"),
    ):
        scene = kit.folder / name
        items = write_stac_s2(scene, product_arrays(SIDE, SIDE, 2))
        (scene / "link.tif").symlink_to(outside)
        for item in items:
            item["assets"]["B04"]["href"] = href
            item["links"] = [
                {"rel": "child", "href": f"{URL}/c.json"},
                {"rel": "self", "href": f"{URL}/s.json"},
            ]
        write_items(scene, items)
        (scene / "catalog.json").write_text(
            json.dumps({"type": "Catalog", "links": [{"rel": "child", "href": f"{URL}/c"}]})
        )
        commands += [["info", str(scene)], ["embed", str(scene), "-q", "--int8", "-o", f"stac-{name}"]]
    return commands


@kind
def product_descriptions(kit: Kit) -> Commands:
    """Bands of products that are virtual rasters, on disk and in a zip, with each suffix."""
    commands = []
    for name, pixels, zipped in (("jp2", "jp2", False), ("tif", "tif", False), ("zip", "jp2", True)):
        scene = kit.folder / name
        for product in write_safe(scene, product_arrays(SIDE, SIDE, 2), pixels=pixels):
            for n, band in enumerate(sorted(product.rglob(f"*.{pixels}"))):
                band.write_text(list(rasters(kit).values())[n % 4])
            if zipped:
                from product_files import zip_up

                zip_up(product)
        commands.append(["info", str(scene)])
    scene = kit.folder / "hyp3"
    for product in write_hyp3(scene, product_arrays(SIDE, SIDE, 2)):
        for band in product.glob("*_V?.tif"):
            band.write_text(vrt(f"/vsicurl/{URL}/vv.tif", dtype="Float32"))
    return [*commands, ["info", str(scene)]]


@kind
def product_links(kit: Kit) -> Commands:
    scene = kit.folder / "safe"
    for product in write_safe(scene, product_arrays(SIDE, SIDE, 2), pixels="tif"):
        band = next(product.rglob("*B04*"))
        band.unlink()
        band.symlink_to(kit.outside / "raster.tif")
    (scene / "more").symlink_to(kit.outside)
    return [["info", str(scene)], ["embed", str(scene), "-q", "--int8", "-o", "links"]]


@kind
def like_description(kit: Kit) -> Commands:
    write_safe(kit.folder / "safe", product_arrays(SIDE, SIDE, 2), pixels="tif")
    commands = []
    for name, text in rasters(kit).items():
        (kit.folder / f"{name}.tif").write_text(text)
        commands.append(["info", str(kit.folder / "safe"), "--like", str(kit.folder / f"{name}.tif")])
    return commands


@cube
def zarr_cubes(kit: Kit) -> Commands:
    arrays = product_arrays(SIDE, SIDE, 3)
    commands = []

    def copy(name: str) -> Path:
        store = write_zarr(kit.folder / name / "c.zarr", s2_variables(arrays), arrays["doys"])
        commands.append(["info", str(kit.folder / name)])
        commands.append(["embed", str(kit.folder / name), "-q", "--int8", "-o", f"zarr-{name}"])
        return store

    store = copy("chunk")
    (store / "B04" / "0.0.0").unlink()
    (store / "B04" / "0.0.0").symlink_to(kit.outside / "secret.bin")
    store = copy("array")
    shutil.rmtree(store / "B04")
    (store / "B04").symlink_to(kit.outside)
    for name, crs in bad_crs(kit).items():
        store = copy(f"crs-{name}")
        for attributes in store.glob("*/.zattrs"):
            content = json.loads(attributes.read_text())
            content["_CRS"] = {"url": crs, "wkt": crs}
            content |= {"crs_wkt": crs, "spatial_ref": crs} if "crs_wkt" in content else {}
            attributes.write_text(json.dumps(content))
    store = copy("pickle")
    header = json.loads((store / "B04" / ".zarray").read_text())
    header |= {"filters": [{"id": "pickle"}], "dtype": "|O"}
    (store / "B04" / ".zarray").write_text(json.dumps(header))
    (store / "B04" / "0.0.0").write_bytes(pickle.dumps(Opens(kit)))
    refs = {
        ".zgroup": '{"zarr_format":2}',
        "B04/.zarray": (kit.folder / "chunk/c.zarr/B04/.zarray").read_text(),
    }
    for name, where in (("url", f"{URL}/chunk"), ("file", str(kit.outside / "secret.bin"))):
        for form in ("c.zarr", "c.json"):
            (kit.folder / f"refs-{name}-{form}").mkdir()
            (kit.folder / f"refs-{name}-{form}" / form).write_text(
                json.dumps({"version": 1, "refs": {**refs, "B04/0.0.0": [where, 0, 100]}})
            )
            commands.append(["info", str(kit.folder / f"refs-{name}-{form}")])
    parquet = kit.folder / "parquet" / "c.zarr"
    parquet.mkdir(parents=True)
    (parquet / ".zmetadata").write_text(json.dumps({"metadata": refs, "record_size": 100}))
    commands.append(["info", str(parquet.parent)])
    return commands


@cube
def hdf5_cubes(kit: Kit) -> Commands:
    """NetCDF-4 files whose values, variables or groups lie in other files."""
    import h5py

    commands = []
    secret = str(kit.outside / "secret.bin")
    with h5py.File(kit.outside / "other.h5", "w") as other:
        other["B04"] = np.zeros((3, SIDE, SIDE), np.int16)
    for name in ("external-storage", "external-link", "virtual", "soft"):
        path = kit.folder / name / "c.nc"
        path.parent.mkdir()
        with h5py.File(path, "w") as file:
            write_cube(file)
            del file["B04"]
            if name == "external-storage":
                band = file.create_dataset("B04", (3, SIDE, SIDE), np.int16, external=[(secret, 0, 1 << 20)])
            elif name == "external-link":
                file["B04"] = h5py.ExternalLink(str(kit.outside / "other.h5"), "/B04")
                band = None
            elif name == "virtual":
                layout = h5py.VirtualLayout((3, SIDE, SIDE), np.int16)
                layout[:] = h5py.VirtualSource(str(kit.outside / "other.h5"), "B04", (3, SIDE, SIDE))
                band = file.create_virtual_dataset("B04", layout)
            else:
                file["more"] = h5py.ExternalLink(str(kit.outside / "other.h5"), "/")
                file["B04"] = h5py.SoftLink("/more/B04")
                band = None
            if band is not None:
                for axis, dimension in enumerate(("t", "y", "x")):
                    band.dims[axis].attach_scale(file[dimension])
        commands += [
            ["info", str(path.parent)],
            ["embed", str(path.parent), "-q", "--int8", "-o", f"h5-{name}"],
        ]
    (kit.folder / "text").mkdir()
    (kit.folder / "text" / "c.nc").write_text(vrt(f"/vsicurl/{URL}/nc.tif"))
    return [*commands, ["info", str(kit.folder / "text")]]


def write_cube(file) -> None:
    """An optical cube of three dates as NetCDF-4."""
    arrays = product_arrays(SIDE, SIDE, 3)
    for name, (values, attributes) in _coordinates(arrays["doys"], (3, SIDE, SIDE), ORIGIN).items():
        file[name] = values
        file[name].make_scale(name)
        file[name].attrs.update({key: np.bytes_(value) for key, value in attributes.items()})
    file["crs"] = np.int32(0)
    mapping = {"crs_wkt": WKT, "spatial_ref": WKT, "grid_mapping_name": "transverse_mercator"}
    file["crs"].attrs.update({key: np.bytes_(value) for key, value in mapping.items()})
    for name, (values, _) in s2_variables(arrays).items():
        file[name] = values
        file[name].attrs["grid_mapping"] = np.bytes_("crs")
        for axis, dimension in enumerate(("t", "y", "x")):
            file[name].dims[axis].attach_scale(file[dimension])


# Labels


def with_labels(kit: Kit, path: Path, number: int, field: bool = True) -> list[str]:
    out = f"labels-{kit.folder.name}-{number}"
    more = ["--field", "crop"] if field else []
    return ["map", str(kit.outputs["cog"]), "--labels", str(path), *more, "-o", out, "-q"]


@kind
def label_rasters(kit: Kit) -> Commands:
    commands = []
    for name, text in rasters(kit).items():
        for suffix in ("tif", "vrt", "tiff"):
            path = kit.folder / f"{name}.{suffix}"
            path.write_text(text)
            commands.append(with_labels(kit, path, len(commands), False))
    commands.append(["evaluate", str(kit.outputs["cog"]), "--labels", str(kit.folder / "vrt-url.tif"), "-q"])
    return commands


LINK = f'{{"type":"link","properties":{{"href":"{URL}/crs","type":"proj4"}}}}'


@kind
def label_shapes(kit: Kit) -> Commands:
    """Descriptions under every name that shapes have."""
    path = kit.outside / "points.geojson"
    texts = {
        "vrt-file": ogr_vrt(str(path)),
        "vrt-url": ogr_vrt(f"/vsicurl/{URL}/a.geojson"),
        "vrt-late": '{"type":"FeatureCollection","x":"' + " " * 300 + ogr_vrt(str(path)).replace('"', "'") + '","features":[]}',
        "gdalg": json.dumps({"type": "gdal_streamed_alg", "command_line": f"gdal vector pipeline ! read {path} ! write streamed_dataset --output-format stream"}),
        "url": f"{URL}/a.geojson",
        "wfs": f"<OGRWFSDataSource><URL>{URL}/wfs</URL></OGRWFSDataSource>",
        "gml": f'<FeatureCollection xmlns="http://www.opengis.net/gml" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://x {URL}/x.xsd"/>',
        "esri": json.dumps({"geometryType": "esriGeometryPoint", "features": [], "spatialReference": {"wkt": f"{URL}/w"}}),
        "kml": f'<?xml version="1.0"?><!DOCTYPE kml [<!ENTITY x SYSTEM "file://{path}">]><kml xmlns="http://www.opengis.net/kml/2.2"><Document><name>&x;</name><NetworkLink><Link><href>{URL}/n.kml</href></Link></NetworkLink></Document></kml>',
    }  # fmt: skip
    commands = []
    for name, text in texts.items():
        for suffix in ("geojson", "json", "shp", "gpkg", "kml", "vrt", "csv"):
            file = kit.folder / f"{name}.{suffix}"
            file.write_text(text)
            commands.append(with_labels(kit, file, len(commands)))
    return commands


@kind
def label_crs(kit: Kit) -> Commands:
    """GeoJSON whose CRS is a link, in all the spellings that GDAL takes."""
    heads = {
        "link": f'"crs":{LINK},',
        "spaces": f'"crs" :\n {LINK},',
        "upper": f'"CRS":{LINK},',
        "escaped": f'"\\u0063rs":{LINK},',
        "comment": f'"crs"/**/:{LINK},',
        "single": f"'crs':{LINK},",
        "twice": f'"crs":{{"type":"name","properties":{{"name":"EPSG:4326"}}}},"crs":{LINK},',
        "inside": f'"crs":{{"type":"name","properties":{{"name":"EPSG:4326"}},{LINK[1:-1]}}},',
        "url-type": f'"crs":{{"type":"url","properties":{{"url":"{URL}/crs"}}}},',
        "far": f'"x":"{" " * (1 << 23)}","crs":{LINK},',
        "name-url": f'"crs":{{"type":"name","properties":{{"name":"{URL}/crs"}}}},',
        "name-path": f'"crs":{{"type":"name","properties":{{"name":"{kit.outside}/secret.bin"}}}},',
        "name-grid": f'"crs":{{"type":"name","properties":{{"name":"{bad_crs(kit)["grid"]}"}}}},',
    }
    commands = []
    for name, head in heads.items():
        path = kit.folder / f"{name}.geojson"
        path.write_text(geojson(head))
        commands.append(with_labels(kit, path, len(commands)))
        if name in ("link", "escaped"):
            with zipfile.ZipFile(kit.folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
                archive.write(path, "labels.geojson")
            commands.append(with_labels(kit, kit.folder / f"{name}.zip", len(commands)))
            (kit.folder / f"{name}.csv").write_text(path.read_text())
            commands.append(with_labels(kit, kit.folder / f"{name}.csv", len(commands)))
    path = kit.folder / "jsonp.geojson"
    path.write_text(f"jsonp({geojson(heads['link'])})")
    commands.append(with_labels(kit, path, len(commands)))
    path = kit.folder / "end.geojson"
    path.write_text(geojson('"x":1,')[:-1] + f',"crs":{LINK}}}')
    return [*commands, with_labels(kit, path, len(commands))]


@kind
def label_projections(kit: Kit) -> Commands:
    """Shapefiles and GeoPackages whose CRS refers to a file."""
    import pyogrio
    import shapely

    commands = []
    points = shapely.points([[500025 + 30 * i, 5599975] for i in range(6)])
    crop = np.array(list("ababab"), dtype=object)
    for driver, suffix in (("ESRI Shapefile", "shp"), ("GPKG", "gpkg"), ("FlatGeobuf", "fgb")):
        for name, crs in bad_crs(kit).items():
            wkt = f'GEOGCS["x",DATUM["d",SPHEROID["b",6377397,299],EXTENSION["PROJ4_GRIDS","{kit.outside}/grid.gsb"]],PRIMEM["g",0],UNIT["degree",0.0174],EXTENSION["PROJ4","{crs}"]]'
            path = kit.folder / f"{name}.{suffix}"
            pyogrio.raw.write(
                path, shapely.to_wkb(points), [crop], ["crop"], geometry_type="Point", crs=CRS, driver=driver
            )
            if suffix == "shp":
                path.with_suffix(".prj").write_text(wkt)
            elif suffix == "gpkg":
                with sqlite3.connect(path) as database:
                    database.execute(
                        "update gpkg_spatial_ref_sys set definition = ?, organization = 'x'", (wkt,)
                    )
                database.close()
            commands.append(with_labels(kit, path, len(commands)))
    return commands


@kind
def label_tables(kit: Kit) -> Commands:
    """Tables whose CRS, beside them or in them, is an address or names a file."""
    commands = []
    for name, crs in bad_crs(kit).items():
        for suffix, header, row in (
            ("csv", "x,y,crop", "{x},5599975,{c}"),
            ("tsv", "geom\tcrop", "SRID={crs};POINT({x} 5599975)\t{c}"),
        ):
            path = kit.folder / f"{name}.{suffix}"
            rows = [row.format(x=500025 + 30 * i, c="ab"[i % 2], crs=crs) for i in range(6)]
            path.write_text("\n".join([header, *rows, ""]))
            path.with_suffix(".prj").write_text(crs)
            commands.append(with_labels(kit, path, len(commands)))
    return commands


@kind
def label_databases(kit: Kit) -> Commands:
    """GeoPackages with SQL in them."""
    import pyogrio
    import shapely

    commands = []
    for name, value in (
        ("geocode", f"ogr_geocode('x', 'geometry', 'SERVER=c', 'QUERY_TEMPLATE={URL}/%s')"),
        ("pixel", f"gdal_get_pixel_value('{kit.outside}/raster.tif', 1, 'pixel', 0, 0)"),
        ("layers", f"ogr_datasource_load_layers('{kit.outside}/points.geojson')"),
        ("extension", f"load_extension('{kit.outside}/secret.bin')"),
        ("readfile", f"readfile('{kit.outside}/secret.bin')"),
    ):
        path = kit.folder / f"{name}.gpkg"
        points = shapely.to_wkb(shapely.points([[500025 + 30 * i, 5599975] for i in range(6)]))
        crop = np.array(list("ababab"), dtype=object)
        pyogrio.raw.write(
            path, points, [crop], ["crop"], geometry_type="Point", crs=CRS, driver="GPKG", layer="points"
        )
        with sqlite3.connect(path) as database:
            database.execute("pragma writable_schema=1")
            database.execute(
                "insert into sqlite_master values ('view', 'trap', 'trap', 0, ?)",
                (f"CREATE VIEW trap AS SELECT fid, geom, {value} AS crop FROM points",),
            )
            database.execute(
                "insert into gpkg_contents select 'trap', data_type, 'trap', description, last_change, min_x, min_y, max_x, max_y, srs_id from gpkg_contents"
            )
            database.execute(
                "insert into gpkg_geometry_columns select 'trap', column_name, geometry_type_name, srs_id, z, m from gpkg_geometry_columns"
            )
            database.execute("delete from gpkg_contents where table_name = 'points'")
            database.execute("delete from gpkg_geometry_columns where table_name = 'points'")
        database.close()
        commands.append(with_labels(kit, path, len(commands)))
    return commands


# Outputs


def uses(path: Path, name: str) -> Commands:
    """Commands that read an output."""
    p = str(path)
    return [
        ["info", p],
        ["verify", p],
        ["convert", p, "--format", "npy", "-o", f"{name}-npy", "-q"],
        ["picture", p, "-o", f"{name}.png", "-q"],
        ["picture", p, "-o", f"{name}.tif", "-q"],
        ["view", p, "--export", f"{name}-page", "-q"],
        ["similar", p, "--at", "3.001", "50.549", "-o", f"{name}-similar", "-q"],
        ["change", p, p, "-o", f"{name}-change", "-q"],
    ]


def changed_item(output: Path, change: Callable[[dict], None]) -> None:
    """Change an item, with the checksum that belongs to it."""
    from tessera_engine.stac.items import ITEM_SHA256, item_sha256

    item = json.loads((output / "item.json").read_text())
    change(item)
    item["properties"].pop(ITEM_SHA256, None)
    item["properties"][ITEM_SHA256] = item_sha256(item)
    (output / "item.json").write_text(json.dumps(item))


@kind
def output_hrefs(kit: Kit) -> Commands:
    commands = []
    shutil.copy(kit.outputs["cog"] / "embeddings.tif", kit.outside / "embeddings.tif")
    outside = kit.outside / "embeddings.tif"
    for name, href in (
        ("absolute", str(outside)),
        ("parents", os.path.relpath(outside, kit.folder / "parents")),
        ("file", outside.as_uri()),
        ("http", f"{URL}/e.tif"),
        ("vsicurl", f"/vsicurl/{URL}/e.tif"),
    ):
        output = kit.copy(kit.outputs["cog"], name)
        changed_item(output, lambda item, href=href: item["assets"]["embeddings"].update(href=href))
        commands += uses(output, f"href-{name}")
    return commands


@kind
def output_links(kit: Kit) -> Commands:
    commands = []
    output = kit.copy(kit.outputs["cog"], "cog")
    (output / "embeddings.tif").unlink()
    (output / "embeddings.tif").symlink_to(kit.outside / "embeddings.tif")
    shutil.copy(kit.outputs["cog"] / "embeddings.tif", kit.outside / "embeddings.tif")
    commands += uses(output, "link-cog")
    output = kit.copy(kit.outputs["npy"], "npy")
    array = max(output.rglob("*.npy"), key=lambda path: path.stat().st_size)
    shutil.copy(array, kit.outside / "embeddings.npy")
    array.unlink()
    array.symlink_to(kit.outside / "embeddings.npy")
    commands += uses(output, "link-npy")
    output = kit.copy(kit.outputs["zarr"], "zarr")
    chunk = max((path for path in output.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    shutil.copy(chunk, kit.outside / "chunk")
    chunk.unlink()
    chunk.symlink_to(kit.outside / "chunk")
    commands += uses(output, "link-zarr")
    output = kit.copy(kit.outputs["geotessera"], "geotessera")
    cell = next(path for path in output.rglob("grid_*") if path.is_dir())
    shutil.copytree(cell, kit.outside / cell.name)
    shutil.rmtree(cell)
    cell.symlink_to(kit.outside / cell.name)
    return [*commands, *uses(output, "link-geotessera")]


@kind
def output_descriptions(kit: Kit) -> Commands:
    """Rasters of outputs that are virtual rasters."""
    commands = []
    for name, source in (("file", str(kit.outside / "raster.tif")), ("url", f"/vsicurl/{URL}/e.tif")):
        output = kit.copy(kit.outputs["cog"], name)
        (output / "embeddings.tif").write_text(vrt(source, 128, "Int8"))
        (output / "scales.tif").write_text(vrt(source, 1, "Float32"))
        commands += uses(output, f"vrt-{name}")
    tree = kit.copy(kit.outputs["geotessera"], "tree")
    for path in tree.rglob("*.tiff"):
        path.write_text(vrt(str(kit.outside / "raster.tif")))
    (tree / "item.json").unlink()  # as a downloaded tree
    return [*commands, *uses(tree, "vrt-tree")]


@kind
def output_pickles(kit: Kit) -> Commands:
    commands = []
    for format in ("npy", "geotessera"):
        output = kit.copy(kit.outputs[format], format)
        for path in output.rglob("*.npy"):
            path.unlink()
            np.save(path, np.array([[[Opens(kit)]]], dtype=object), allow_pickle=True)
        commands += uses(output, f"pickle-{format}")
    return commands


@kind
def output_crs(kit: Kit) -> Commands:
    commands = []
    for name, crs in bad_crs(kit).items():
        for key in ("proj:code", "proj:wkt2"):
            output = kit.copy(kit.outputs["npy"], f"{name}-{key[5:]}")

            def change(item, key=key, crs=crs):
                item["properties"].pop("proj:code", None)
                item["properties"][key] = crs

            changed_item(output, change)
            commands += uses(output, f"crs-{name}-{key[5:]}")
            commands.append(
                [
                    "map",
                    str(output),
                    "--labels",
                    str(kit.labels),
                    "--field",
                    "crop",
                    "-o",
                    f"crs-{name}-{key[5:]}-map",
                    "-q",
                ]
            )
    return commands


@kind
def zarr_output_elsewhere(kit: Kit) -> Commands:
    """A Zarr output whose metadata name a store elsewhere."""
    output = kit.copy(kit.outputs["zarr"], "zarr")
    for path in output.rglob("zarr.json"):
        content = json.loads(path.read_text())
        content["storage_transformers"] = [{"name": "reference", "configuration": {"url": f"{URL}/x"}}]
        path.write_text(json.dumps(content))
    return uses(output, "zarr-transformers")


# Models, checkpoints, palettes


@kind
def model_files(kit: Kit) -> Commands:
    import onnx

    commands = []
    for name, location in (
        ("absolute", str(kit.outside / "secret.bin")),
        ("parents", "../../outside/secret.bin"),
        ("url", f"{URL}/w.bin"),
    ):
        model = onnx.load(kit.model)
        tensor = max(model.graph.initializer, key=lambda each: len(each.raw_data))
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        path = kit.folder / f"{name}.onnx"
        path.write_bytes(model.SerializeToString())
        commands += [
            ["info", str(path)],
            ["embed", str(kit.scene), "--model", str(path), "-q", "-o", f"model-{name}"],
            [
                "embed",
                str(kit.scene),
                "--model",
                str(path),
                "--backend",
                "onnxruntime",
                "-q",
                "-o",
                f"model-{name}",
            ],
            ["verify", str(path)],
            ["verify", "demo", "--reference", str(path)],
            ["bench", str(path)],
        ]
    return commands


@kind
def checkpoints(kit: Kit) -> Commands:
    import torch

    path = kit.folder / "model.pt"
    torch.save({"state_dict": Opens(kit), "model_state_dict": Opens(kit)}, path)
    old = kit.folder / "old.pt"
    old.write_bytes(pickle.dumps(Opens(kit)))
    return [
        command
        for each in (str(path), str(old))
        for command in (
            ["export", each, "-o", "stolen.onnx"],
            ["model", "import", each, "--name", "stolen"],
            ["verify", "demo", "--reference", each],
            ["distil", str(kit.scene), "--teacher", each, "-o", "stolen.pt"],
            ["info", each],
        )
    ]


@kind
def palettes(kit: Kit) -> Commands:
    commands = []
    for name, content in (
        ("vrt", vrt(str(kit.outside / "raster.tif"))),
        (
            "reference",
            json.dumps({"tessera-engine palette": 1, "$ref": str(kit.outside / "secret.bin"), "kind": "pca"}),
        ),
    ):
        path = kit.folder / f"{name}.json"
        path.write_text(content)
        commands.append(
            ["picture", str(kit.outputs["cog"]), "--palette", str(path), "-o", f"palette-{name}.png", "-q"]
        )
    return commands
