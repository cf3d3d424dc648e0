"""Sentinel-2 products of a cube: one for each date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from tessera_engine.scene import S2_BANDS
from tessera_engine.scenes.layouts.cube.bands import Band
from tessera_engine.scenes.layouts.cube.packing import (
    Convert,
    baseline_offset,
    classes,
    clear_mask,
    digital_numbers,
    kind_of_values,
)
from tessera_engine.scenes.layouts.cube.planes import Layer, Plane
from tessera_engine.scenes.products import Asset, Found, S2Product, Unusable

_SAMPLED_DATES, _SAMPLED_SIDE = 5, 128
"""Of bands in floating point, whose meaning follows from their values."""

_Kind = Literal["numbers", "reflectance"]


def add_s2(found: Found, path: Path, bands: Mapping[str, Sequence[Band]]) -> None:
    """Add the Sentinel-2 dates of a cube.

    Raises:
        Unusable: the cube has some of the bands, and can't be used.
    """
    if not any(band in bands for band in S2_BANDS):
        return
    missing = [band for band in S2_BANDS if band not in bands]
    if "SCL" not in bands and "clear" not in bands:
        missing.append("SCL (or a variable 'clear', 1 where it is clear)")
    if missing:
        raise Unusable(f"lacks {', '.join(missing)}: all ten bands and a mask are needed")
    mask = bands["SCL" if "SCL" in bands else "clear"][0]
    used = [bands[band][0] for band in S2_BANDS]
    for band in (*used, mask):
        if band.times != used[0].times:
            raise Unusable(f"has different times in {band.name} and {used[0].name}, expected the same")
    kind, offset = _meaning(used)
    mask_kind: Literal["scl", "clear"] = "scl" if "SCL" in bands else "clear"
    as_mask = classes(mask.packing) if mask_kind == "scl" else clear_mask(mask.packing)
    layers = {band: each.layer(_numbers(each, kind)) for band, each in zip(S2_BANDS, used, strict=True)}
    mask_layer = mask.layer(as_mask)
    for i, time in enumerate(used[0].times):
        found.s2.append(
            S2Product(
                name=f"{path.name}/{time.isoformat()}",
                source=path,
                date=time.date(),
                bands={band: asset(path, layer, i) for band, layer in layers.items()},
                mask=asset(path, mask_layer, i),
                offset=offset or 0,
                mask_kind=mask_kind,
            )
        )
    if kind == "reflectance":
        found.warnings.append(
            f"{path.name} has reflectance in {used[0].array.dtype.name}: it is read as reflectance * 10000, rounded"
        )
    if offset is None:
        found.warnings.append(
            f"{path.name} has no metadata about the baseline offset: it is read as already removed, as openEO "
            "delivers it"
        )


def asset(path: Path, layer: Layer, date: int) -> Asset:
    """One date of a layer."""
    return Asset(path, band=date + 1, pixels=Plane(layer, date))


def _numbers(band: Band, kind: _Kind) -> Convert:
    return digital_numbers(band.packing, kind)


def _meaning(bands: Sequence[Band]) -> tuple[_Kind, int | None]:
    """How the values become digital numbers, and the number to subtract from these; None where it isn't known."""
    packings = [band.packing for band in bands]
    if all(packing.plain for packing in packings) and not any(band.array.dtype.kind == "f" for band in bands):
        return "numbers", None
    offset = baseline_offset(packings)
    if offset is not None:
        return "numbers", offset
    mixed = len({packing.plain for packing in packings}) > 1
    kinds = {band: None if mixed else _kind(band) for band in bands}
    known = {kind for kind in kinds.values() if kind is not None}
    if mixed or len(known) > 1:
        odd, other = _two_kinds(bands, kinds)
        raise Unusable(
            f"has {_stored(odd)} in {odd.name} and {_stored(other)} in {other.name}, expected the same in all bands, "
            "whole numbers: reflectance * 10000"
        )
    if known != {"reflectance"} and not packings[0].plain:
        packed = sorted({(packing.scale, packing.offset) for packing in packings})
        raise Unusable(
            f"has scale_factor and add_offset {packed}, expected 0.0001 and 0 or -0.1 for all bands"
        )
    return (known.pop() if known else "numbers"), None


def _kind(band: Band) -> _Kind | None:
    if band.packing.plain and band.array.dtype.kind != "f":
        return "numbers"
    return kind_of_values(band.name, _sample(band))


def _two_kinds(bands: Sequence[Band], kinds: Mapping[Band, _Kind | None]) -> tuple[Band, Band]:
    """One band of the kind that fewer bands have, and one of the other kind."""
    groups: dict[object, list[Band]] = {}
    for band in bands:
        groups.setdefault((band.packing.plain, kinds[band]), []).append(band)
    few, *_, many = sorted(groups.values(), key=len)
    return few[0], many[0]


def _stored(band: Band) -> str:
    packing = band.packing
    packed = (
        ""
        if packing.plain
        else f" with scale_factor and add_offset {packing.scale:.6g} and {packing.offset:.6g}"
    )
    return f"{band.array.dtype.name}{packed}"


def _sample(band: Band) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Some unpacked values, NaN where there are none."""
    dates = sorted({*np.linspace(0, len(band.times) - 1, _SAMPLED_DATES).astype(int).tolist()})
    packing = band.packing
    layer = band.layer(digital_numbers(packing, "numbers"))
    parts = []
    for values in layer.sample(dates, _SAMPLED_SIDE):
        numbers = values.astype(np.float64).ravel()
        for each in packing.missing:
            numbers[numbers == each] = np.nan
        parts.append(numbers * packing.scale + packing.offset)
    return np.concatenate(parts)
