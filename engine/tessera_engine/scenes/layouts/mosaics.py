"""Date mosaics, the output of TESSERA's own downloader: one GeoTIFF for each band and date.

`data_raw/<band>/<YYYY-MM-DD>_mosaic.tiff`, where the band may be called `red`, `B04` or `B4`, and
`data_sar_raw/<YYYY-MM-DD>_{vv,vh}_{ascending,descending}.tiff`. The baseline offset has been removed already, and
Sentinel-1 is in TESSERA's code.
"""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import cast

from tessera_engine.scene import S2_BANDS
from tessera_engine.scenes.metadata.band_names import BAND_OF, COMMON_NAMES, plain
from tessera_engine.scenes.products import Asset, Found, Listing, Orbit, Problem, S1Product, S2Product

_S2_NAME = re.compile(r"(\d{4}-\d{2}-\d{2})_mosaic\.(?i:tiff?)")
_S1_NAME = re.compile(r"(\d{4}-\d{2}-\d{2})_(vv|vh)_(ascending|descending)\.(?i:tiff?)")


def find(listing: Listing) -> Found:
    """Find the mosaics of a folder, by their names."""
    found = Found()
    s2: dict[tuple[Path, date], dict[str, Path]] = defaultdict(dict)
    s1: dict[tuple[Path, date, str], dict[str, Path]] = defaultdict(dict)
    for file in listing.files:
        optical, radar = _S2_NAME.fullmatch(file.name), _S1_NAME.fullmatch(file.name)
        band = BAND_OF.get(plain(file.parent.name))
        if optical and band is not None:
            found.claimed.add(file)
            day = _day(optical[1], file, found)
            if day:
                s2[file.parent.parent, day].setdefault(band, file)
        elif radar:
            day = _day(radar[1], file, found)
            if day:
                s1[file.parent, day, radar[3]][radar[2]] = file
    for (folder, day), files in s2.items():
        _add_s2(found, listing, folder, day, files)
    for (folder, day, orbit), channels in s1.items():
        found.s1.append(
            S1Product(
                name=_name(listing, folder, day),
                source=folder,
                date=day,
                orbit=cast(Orbit, orbit),
                vv=Asset(channels["vv"]) if "vv" in channels else None,
                vh=Asset(channels["vh"]) if "vh" in channels else None,
                units="code",
            )
        )
    return found


def _add_s2(found: Found, listing: Listing, folder: Path, day: date, files: dict[str, Path]) -> None:
    missing = sorted(COMMON_NAMES[band] for band in COMMON_NAMES.keys() - files.keys())
    if missing:
        found.problems.append(Problem(folder, f"{day} has no mosaic of {', '.join(missing)}"))
        return
    found.s2.append(
        S2Product(
            name=_name(listing, folder, day),
            source=folder,
            date=day,
            bands={band: Asset(files[band]) for band in S2_BANDS},
            mask=Asset(files["SCL"]),
            offset=0,
        )
    )


def _day(text: str, file: Path, found: Found) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        found.problems.append(Problem(file, f"{text} is not a date"))
        return None


def _name(listing: Listing, folder: Path, day: date) -> str:
    return f"{folder.relative_to(listing.folder).as_posix()}/{day}"
