"""Sentinel-2 L2A products in EOPF's format: one Zarr store a product, bands in `measurements/reflectance/r10m/b02`.

Source: "EOPF product structure and format definition", ESA, and the products of its sample service.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tessera_engine.scene import S2_BANDS
from tessera_engine.scenes.layouts.cube.bands import Band, CubeBands
from tessera_engine.scenes.layouts.cube.container import Container
from tessera_engine.scenes.layouts.cube.optical import asset
from tessera_engine.scenes.layouts.cube.packing import baseline_offset, classes, digital_numbers
from tessera_engine.scenes.layouts.cube.times import moment_of
from tessera_engine.scenes.metadata.baseline import offset_by_baseline
from tessera_engine.scenes.metadata.names import L2A_NAME, compact, moment
from tessera_engine.scenes.products import Processing, S2Product, Unusable

_MEASUREMENTS = "measurements/reflectance"
_SCL = "conditions/mask/l2a_classification/r20m/scl"
_OTHER_LEVEL = re.compile(r"S2[A-D]_MSIL1C_|S02MSIL1C")
_AT_10 = ("B02", "B03", "B04", "B08")


def is_eopf(container: Container) -> bool:
    """Whether a store has the structure of EOPF's Sentinel-2 products."""
    return any(name.startswith(f"{_MEASUREMENTS}/") for name in container.arrays)


def product_of(container: Container) -> S2Product:
    """The product that a store is.

    Raises:
        Unusable: it is of another level, incomplete, or has no date.
    """
    name = _name(container)
    if _OTHER_LEVEL.match(name) or _OTHER_LEVEL.match(container.path.name):
        raise Unusable("is Sentinel-2 Level-1C (top of atmosphere), expected Level-2A; fetch the L2A product")
    wanted = {
        band: f"{_MEASUREMENTS}/r{'10' if band in _AT_10 else '20'}m/{band.lower()}" for band in S2_BANDS
    }
    wanted["SCL"] = _SCL
    missing = [where for where in wanted.values() if where not in container.arrays]
    if missing:
        raise Unusable(f"lacks {', '.join(missing)}; copy the whole product again")
    properties = _properties(container)
    sensed = _moment(container, name, properties)
    reader = CubeBands(container, sensed)
    bands = {band: reader.band(container.arrays[where]) for band, where in wanted.items()}
    several = [band.name for band in bands.values() if len(band.times) != 1]
    if several:
        raise Unusable(f"has several dates in {several[0]}, expected one product")
    offset, known = _offset(bands, name, properties, sensed)
    return S2Product(
        name=name,
        source=container.path,
        date=sensed.date(),
        bands={
            band: asset(container.path, bands[band].layer(digital_numbers(bands[band].packing, "numbers")), 0)
            for band in S2_BANDS
        },
        mask=asset(container.path, bands["SCL"].layer(classes(bands["SCL"].packing)), 0),
        offset=offset,
        offset_known=known,
        processing=_processing(name, properties),
    )


def _name(container: Container) -> str:
    """The product's name by its metadata, else the file's; ESA's pattern decides where only one of them has it."""
    stem = container.path.name
    for suffix in (".zip", ".zarr", ".SAFE"):
        stem = stem.removesuffix(suffix)
    discovery = container.groups.get("", {}).get("stac_discovery")
    known = str(discovery.get("id", "")) if isinstance(discovery, Mapping) else ""
    for suffix in (".zarr", ".SAFE"):
        known = known.removesuffix(suffix)
    return known if known and (L2A_NAME.match(known) or not L2A_NAME.match(stem)) else stem


def _properties(container: Container) -> Mapping[str, Any]:
    discovery = container.groups.get("", {}).get("stac_discovery")
    properties = discovery.get("properties") if isinstance(discovery, Mapping) else None
    return properties if isinstance(properties, Mapping) else {}


def _moment(container: Container, name: str, properties: Mapping[str, Any]) -> datetime:
    for key in ("datetime", "start_datetime"):
        sensed = moment_of(str(properties.get(key, "")))
        if sensed is not None:
            return sensed
    match = L2A_NAME.match(name) or re.search(r"_(?P<sensing>\d{8}T\d{6})_", container.path.name)
    sensed = moment_of(match["sensing"]) if match else None
    if sensed is None:
        raise Unusable("has no date: neither stac_discovery's datetime nor the name of a product")
    return sensed


def _offset(
    bands: Mapping[str, Band], name: str, properties: Mapping[str, Any], sensed: datetime
) -> tuple[int, bool]:
    """From scale_factor and add_offset; where the bands have none, from the processing baseline as in SAFE products."""
    packings = [bands[band].packing for band in S2_BANDS]
    if not all(packing.plain for packing in packings):
        offset = baseline_offset(packings)
        if offset is None:
            packed = sorted({(packing.scale, packing.offset) for packing in packings})
            raise Unusable(
                f"has scale_factor and add_offset {packed}, expected 0.0001 and 0 or -0.1 for all bands"
            )
        return offset, True
    match = L2A_NAME.match(name)
    version = str(properties.get("processing:version", "")) or None
    return offset_by_baseline(version or (match["baseline"] if match else None), sensed.date())


def _processing(name: str, properties: Mapping[str, Any]) -> Processing | None:
    """What tells processings of one acquisition apart; None where the name isn't ESA's."""
    match = L2A_NAME.match(name)
    if match is None:
        return None
    discriminator = match["discriminator"] or ""
    return Processing(
        (match["satellite"], match["tile"]),
        moment(match["sensing"]),
        str(properties.get("processing:version", "")) or match["baseline"],
        compact(properties.get("processing:datetime")) or discriminator,
        discriminator,
    )
