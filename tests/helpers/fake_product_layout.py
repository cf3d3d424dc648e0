"""A product layout for tests of the registry: one date of Sentinel-2 in a GeoTIFF, named `<date>.ten-bands.tif`.

Bands 1 to 10 are those of `S2_BANDS`, band 11 is 1 where it is clear.
"""

from __future__ import annotations

from datetime import date

from tessera_engine.scene import S2_BANDS
from tessera_engine.scenes.products import Asset, Found, Listing, S2Product


def find(listing: Listing) -> Found:
    """Every such GeoTIFF, by its name."""
    found = Found()
    for path in listing.files:
        if path.name.endswith(".ten-bands.tif"):
            bands = {band: Asset(path, band=number) for number, band in enumerate(S2_BANDS, 1)}
            day = date.fromisoformat(path.name[:10])
            found.s2.append(
                S2Product(path.stem, path, day, bands, Asset(path, band=11), 0, mask_kind="clear")
            )
    return found
