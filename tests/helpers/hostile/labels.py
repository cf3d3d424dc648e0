"""Labels whose content leads elsewhere."""

from __future__ import annotations

import json
import sqlite3
import zipfile
from pathlib import Path

import numpy as np
from made_up import CRS

from hostile.elsewhere import LINK, bad_crs, ogr_vrt, rasters, vrt
from hostile.kit import URL, Commands, Kit, geojson, kind


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
def label_links(kit: Kit) -> Commands:
    """A shapefile and a file geodatabase, a part of which is a link to elsewhere."""
    import pyogrio
    import shapely

    commands = []
    points = shapely.to_wkb(shapely.points([[500025 + 30 * i, 5599975] for i in range(6)]))
    crop = np.array(list("ababab"), dtype=object)
    for name, driver, part in (
        ("points.shp", "ESRI Shapefile", "points.dbf"),
        ("points.gdb", "OpenFileGDB", "points.gdb/a00000009.gdbtable"),
    ):
        path = kit.folder / name
        pyogrio.raw.write(path, points, [crop], ["crop"], geometry_type="Point", crs=CRS, driver=driver)
        table = kit.folder / part
        table.rename(kit.outside / table.name)
        table.symlink_to(kit.outside / table.name)
        commands.append(with_labels(kit, path, len(commands)))
    return commands


@kind
def beside_label_rasters(kit: Kit) -> Commands:
    """Overviews, masks and names of classes beside a raster, which lie elsewhere or are described there."""
    commands = []
    for name, target in (
        ("link", None),
        ("file", kit.outside / "raster.tif"),
        ("url", f"/vsicurl/{URL}/o.tif"),
    ):
        path = kit.copy(kit.scene / "roi.tiff", f"{name}.tif")
        for ending in ("ovr", "msk", "aux.xml"):
            beside = path.with_name(f"{path.name}.{ending}")
            if target is None:
                beside.symlink_to(kit.outside / "raster.tif")
            else:
                beside.write_text(vrt(str(target)))
        commands.append(with_labels(kit, path, len(commands), False))
        out = f"{kit.folder.name}-{name}"
        commands += [
            ["area", str(path), "--reference", str(kit.labels), "--field", "crop"],
            ["sample-design", str(path), "--per-class", "2", "-o", f"{out}.csv", "-q"],
            ["change", "--from-to", str(path), str(path), "-o", f"{out}-to", "-q"],
            ["embed", str(kit.scene), "--like", str(path), "--int8", "-o", f"{out}-like", "-q"],
        ]
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
