"""Which band a name means: `B04`, `B4`, `b04`, `B04_10m`, `S2-L2A-B04`, `red`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from tessera_engine.scene import S2_BANDS
from tessera_engine.scenes.metadata.band_names import COMMON_NAMES
from tessera_engine.scenes.products import Unusable

_Named = TypeVar("_Named")

MASKS = ("SCL", "clear")
CHANNELS = ("VV", "VH")
WANTED = (*S2_BANDS, *MASKS, *CHANNELS)

_OTHER_COMMON = {
    "red_edge_1": "B05", "red_edge_2": "B06", "red_edge_3": "B07", "rededge_1": "B05", "rededge_2": "B06",
    "rededge_3": "B07", "rededge071": "B05", "rededge075": "B06", "rededge078": "B07", "nir_1": "B08", "nir_2": "B8A",
    "nir_broad": "B08", "nir_narrow": "B8A", "narrow_nir": "B8A", "nir_08": "B8A", "rededge4": "B8A",
    "swir_16": "B11", "swir_22": "B12", "swir_1": "B11", "swir1": "B11", "swir_2": "B12", "swir2": "B12",
    "scene_classification": "SCL", "l2a_classification": "SCL",
}  # fmt: skip
_COMMON = {common: band for band, common in COMMON_NAMES.items()} | _OTHER_COMMON
"""Common names in lower case -> band: those of STAC, and the other spellings of cubes."""

_DEA = {"nbart_swir_2": "B11", "nbart_swir_3": "B12", "nbart_nir_1": "B08", "nbart_nir_2": "B8A"}
"""Digital Earth's names count the short-wave infrared bands differently."""

_TOKEN = re.compile(r"B(\d{1,2})(A?)", re.I)
_RESOLUTION = re.compile(r"r?(10|20|60)m", re.I)
_NATIVE = {band: "10" if band in ("B02", "B03", "B04", "B08") else "20" for band in (*S2_BANDS, "SCL")}
_CENTRES = {"mean", "median", "avg", "average", "med", "p50", "composite", "mosaic"}
"""A name with one of these is the band's reflectance, but counts only where no plain name does."""

_STATISTICS = {
    "std", "stdev", "stddev", "sd", "var", "variance", "count", "counts", "cnt", "n", "num", "nobs", "obs", "min",
    "max", "minimum", "maximum", "range", "sum", "mad", "iqr", "cv", "rmse", "skew", "kurtosis", "err", "error",
    "uncertainty", "unc", "qa", "qc", "quality", "mask", "flag", "flags", "anomaly", "diff", "delta", "trend", "slope",
    "angle", "zenith", "azimuth", "index", "weight", "weights", "norm", "normalized", "zscore", "percentile",
    "quantile", "valid", "defective", "bounds", "bnds", "snr",
    "footprint", "id", "date", "doy", "texture", "lag", "residual",
}  # fmt: skip
_PERCENTILE = re.compile(r"[pq]\d{1,3}")

_ORBIT_WORDS = {"asc", "desc", "ascending", "descending"}


class Match(NamedTuple):
    """What a name means.

    Attributes:
        band: the band, mask or channel.
        rank: how plainly the name says it; the lowest rank of a container counts.
    """

    band: str
    rank: int


def match(name: str) -> Match | None:
    """What the last part of a variable's path means; None if it is no band.

    `VV_ascending` is a channel as plainly as `VV`: the orbit is part of its name.
    """
    lower = name.lower()
    if name in WANTED:
        return Match(name, 0)
    whole = (
        _DEA.get(lower) or _of_token(name) or _COMMON.get(lower) or ("clear" if lower == "clear" else None)
    )
    if whole is not None:
        return Match(whole, 1)
    words = [word for word in re.split(r"[^A-Za-z0-9]+", name) if word]
    lowered = [word.lower() for word in words]
    if is_statistic(name):
        return None
    bands = {band for word in words if (band := _of_token(word)) is not None}
    if not bands:
        rest = "_".join(word for word in lowered if word not in _CENTRES and not _RESOLUTION.fullmatch(word))
        ends = [common for common in _COMMON if f"_{rest}".endswith(f"_{common}")]
        bands = {_COMMON[max(ends, key=len)]} if ends else set()
    if len(bands) != 1:
        return None
    band = bands.pop()
    if any(word in _CENTRES for word in lowered):
        return Match(band, 6)
    resolution = next((found[1] for word in words if (found := _RESOLUTION.fullmatch(word))), None)
    if resolution is None:
        plain = band in CHANNELS and all(word in _ORBIT_WORDS or word.upper() == band for word in lowered)
        return Match(band, 1 if plain else 3)
    return Match(band, 2 if resolution == _NATIVE.get(band, resolution) else 4 if resolution == "10" else 5)


def chosen(
    named: Iterable[tuple[str, _Named]], key: Callable[[str], object] = lambda name: None
) -> dict[str, list[_Named]]:
    """For each band, what has its plainest name.

    Args:
        named: name and what has that name.
        key: names with different keys don't compete, such as those of two orbits.

    Raises:
        Unusable: several names are equally plain.
    """
    candidates: dict[tuple[str, object], list[tuple[int, str, _Named]]] = {}
    for name, value in named:
        leaf = name.rpartition("/")[2]
        found = match(leaf)
        if found is not None:
            candidates.setdefault((found.band, key(name)), []).append((found.rank, name, value))
    result: dict[str, list[_Named]] = {}
    for (band, _), several in candidates.items():
        best = min(rank for rank, _, _ in several)
        plainest = [(name, value) for rank, name, value in several if rank == best]
        if len(plainest) > 1:
            names = ", ".join(name for name, _ in plainest)
            raise Unusable(f"has several variables for {band}: {names}; keep one, or name one of them {band}")
        result.setdefault(band, []).append(plainest[0][1])
    return result


def _of_token(word: str) -> str | None:
    """The band that one word means: a band's number with or without zeros, a mask or a channel."""
    upper = word.upper()
    if upper in ("SCL", *CHANNELS):
        return upper
    found = _TOKEN.fullmatch(word)
    if found is None:
        return None
    band = f"B{int(found[1])}A" if found[2] else f"B{int(found[1]):02d}"
    return band if band in S2_BANDS else None


def is_statistic(name: str) -> bool:
    """Whether a name is that of a statistic or of a quality layer, such as `reflectance_std`."""
    words = [word.lower() for word in re.split(r"[^A-Za-z0-9]+", name) if word]
    return any(word in _STATISTICS or (_PERCENTILE.fullmatch(word) and word != "p50") for word in words)
