"""Settings of GDAL and PROJ that keep them off the network: for one call, or for the whole process.

The command line switches the whole process, see `go_offline`. In Python the process belongs to the user, who may read
from the network by rasterio or pyogrio. So there `tessera_engine.gdal` sets the options only while the engine reads.

These settings are the second line. The first is that no driver is allowed that could ask for a connection, because
libcurl opens a socket, though no connection, as soon as GDAL starts it.
"""

from __future__ import annotations

import os

GDAL_OPTIONS = {
    # The only name that /vsicurl/, /vsis3/ and all others of their kind may open. No such file exists
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "offline",
    # libcurl knows no such kind of proxy and gives up before it looks up a host name
    "GDAL_HTTP_PROXY": "offline://offline",
    "GDAL_HTTPS_PROXY": "offline://offline",
    # SQL inside a GeoPackage or SQLite file could read rasters from anywhere
    "OGR_SQLITE_ALLOW_EXTERNAL_ACCESS": "NO",
    "OGR_SQLITE_LOAD_EXTENSIONS": "",
    # Python in a virtual raster
    "GDAL_VRT_ENABLE_PYTHON": "NO",
}
"""Configuration options of GDAL."""

_PROCESS = {
    **GDAL_OPTIONS,
    "PROJ_NETWORK": "OFF",  # grids of transformations
}


def go_offline() -> None:
    """Keep GDAL and PROJ off the network in this whole process, whatever its environment says.

    Call it before rasterio, pyogrio or pyproj is used: each has its own copy of GDAL or PROJ, and all of them read the
    environment.
    """
    os.environ.update(_PROCESS)
