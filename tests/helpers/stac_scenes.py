"""A scene of STAC items, and changes of them."""

from __future__ import annotations

from mosaic_files import day_of
from product_files import product_arrays

from tessera_engine.scenes.metadata.listing import list_folder
from tessera_engine.scenes.search import find_products

ARRAYS = product_arrays(4, 6, steps=2)
DAYS = [day_of(doy) for doy in ARRAYS["doys"]]


def find(folder):
    return find_products(list_folder(folder), "stac")[1]


def first_asset(href):
    return lambda item: item["assets"]["B02"].update(href=href)


def change(**properties):
    return lambda item: item["properties"].update(properties)
