"""Names of Sentinel-2's bands and scene classification, ESA's and the common ones."""

from __future__ import annotations

COMMON_NAMES = {
    "B02": "blue",
    "B03": "green",
    "B04": "red",
    "B05": "rededge1",
    "B06": "rededge2",
    "B07": "rededge3",
    "B08": "nir",
    "B8A": "nir08",
    "B11": "swir16",
    "B12": "swir22",
    "SCL": "scl",
}
"""Name at ESA and Planetary Computer -> name at Earth Search, which TESSERA's downloader uses for its folders."""
