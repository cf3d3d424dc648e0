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
from tessera_engine.scenes.products import S2Product, Unusable

_MEASUREMENTS = "measurements/reflectance"
_SCL = "conditions/mask/l2a_classification/r20m/scl"
_NAME = re.compile(
    r"(?P<satellite>S2[A-D])_MSIL2A_(?P<sensing>\d{8}T\d{6})_N(?P<baseline>\d{4})_R\d{3}_(?P<tile>T\d\d[A-Z]{3})"
    r"(?:_(?P<made>\d{8}T\d{6}))?"
)
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
    moment = _moment(container, name, properties)
    reader = CubeBands(container, moment)
    bands = {band: reader.band(container.arrays[where]) for band, where in wanted.items()}
    several = [band.name for band in bands.values() if len(band.times) != 1]
    if several:
        raise Unusable(f"has several dates in {several[0]}, expected one product")
    offset, known = _offset(bands, name, properties, moment)
    return S2Product(
        name=name,
        source=container.path,
        date=moment.date(),
        bands={
            band: asset(container.path, bands[band].layer(digital_numbers(bands[band].packing, "numbers")), 0)
            for band in S2_BANDS
        },
        mask=asset(container.path, bands["SCL"].layer(classes(bands["SCL"].packing)), 0),
        offset=offset,
        offset_known=known,
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
    return known if known and (_NAME.match(known) or not _NAME.match(stem)) else stem


def _properties(container: Container) -> Mapping[str, Any]:
    discovery = container.groups.get("", {}).get("stac_discovery")
    properties = discovery.get("properties") if isinstance(discovery, Mapping) else None
    return properties if isinstance(properties, Mapping) else {}


def _moment(container: Container, name: str, properties: Mapping[str, Any]) -> datetime:
    for key in ("datetime", "start_datetime"):
        moment = moment_of(str(properties.get(key, "")))
        if moment is not None:
            return moment
    match = _NAME.match(name) or re.search(r"_(?P<sensing>\d{8}T\d{6})_", container.path.name)
    moment = moment_of(match["sensing"]) if match else None
    if moment is None:
        raise Unusable("has no date: neither stac_discovery's datetime nor the name of a product")
    return moment


def _offset(
    bands: Mapping[str, Band], name: str, properties: Mapping[str, Any], moment: datetime
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
    match = _NAME.match(name)
    version = str(properties.get("processing:version", "")) or None
    return offset_by_baseline(version or (match["baseline"] if match else None), moment.date())


def acquisition(product: S2Product) -> tuple[tuple[str, ...], str]:
    """The acquisition of a product, and a text that sorts its processings; see `duplicates.drop_duplicates`."""
    match = _NAME.match(product.name)
    if match is None:
        return (product.name,), ""
    return (match["satellite"], match["sensing"], match["tile"]), match["baseline"] + (match["made"] or "")
