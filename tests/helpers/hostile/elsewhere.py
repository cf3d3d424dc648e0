"""Texts and files that lead elsewhere, in the forms that several kinds take."""

from __future__ import annotations

import json

from made_up import CRS

from hostile.kit import SIDE, URL, Kit


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


def bad_crs(kit: Kit) -> dict[str, str]:
    """CRSs that refer to something elsewhere."""
    return {
        "url": f"{URL}/crs.wkt",
        "urn": "urn:ogc:def:crs:EPSG::32631",
        "path": str(kit.outside / "secret.bin"),
        "grid": f"+proj=longlat +ellps=bessel +nadgrids={kit.outside}/grid.gsb +type=crs",
        "init": f"+init={kit.outside}/secret.bin:1",
    }


LINK = f'{{"type":"link","properties":{{"href":"{URL}/crs","type":"proj4"}}}}'
