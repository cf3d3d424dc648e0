"""Mistakes that people make with scenes, each as a change of the observations of a good scene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from tessera_engine.scene import S2_BANDS, Dates, Grid, Observations


class Mistake(NamedTuple):
    """The finding that the guard must report, and how to make the mistake."""

    finding: str
    make: Callable[[Observations, Dates, Grid], tuple[Observations, Dates, Grid]]


def optical(change):
    """A change of the (T, height, width, 10) digital numbers, given as float."""

    def make(observations, dates, grid):
        values = change(observations.s2.astype(np.float64))
        return replace(observations, s2=np.clip(np.rint(values), 0, 65535).astype(np.uint16)), dates, grid

    return make


def reordered(*order):
    return optical(lambda values: values[..., [S2_BANDS.index(band) for band in order]])


def masked(change):
    """A change of the (T, height, width) masks."""

    def make(observations, dates, grid):
        return replace(observations, s2_valid=change(observations.s2_valid).astype(np.uint8)), dates, grid

    return make


def radar(change):
    """Replace codes by a function of the (T, height, width, 2) gamma0 in dB; missing values stay missing."""

    def make(observations, dates, grid):
        changed = {}
        for name in ("s1_ascending", "s1_descending"):
            codes = getattr(observations, name)
            values = change(codes / 400.0 - 25)
            changed[name] = np.where(codes == 0, 0, np.clip(values, -32768, 32767)).astype(np.int16)
        return replace(observations, **changed), dates, grid

    return make


def without_dates(s2=lambda doy: doy > 0, ascending=lambda doy: doy > 0, descending=lambda doy: doy > 0):
    """Keep the dates whose day of year passes a test."""

    def make(observations, dates, grid):
        keep = {"s2": s2, "s1_ascending": ascending, "s1_descending": descending}
        changed = {}
        for name, test in keep.items():
            doy = getattr(observations, f"{name}_doy")
            for each in (name, f"{name}_doy", *(["s2_valid"] if name == "s2" else [])):
                changed[each] = getattr(observations, each)[test(doy)]
        kept = Dates(*(tuple(d for d in getattr(dates, name) if keep[name](np.array(d))) for name in keep))
        return replace(observations, **changed), kept, grid

    return make


def sparse(observations, dates, grid):
    """Every twelfth date."""
    days = np.unique(observations.s2_doy)[::12]
    return without_dates(s2=lambda doy: np.isin(doy, days))(observations, dates, grid)


def on_dates(which, change):
    """A change of the digital numbers on some dates; `which` gets the (T,) ranks of the dates and how many there are."""

    def make(observations, dates, grid):
        ranks = np.argsort(np.argsort(observations.s2_doy, kind="stable"), kind="stable")
        chosen = which(ranks, len(ranks))
        values = observations.s2.astype(np.int64)
        # Outside the swath a pixel stays 0 in all bands
        seen = values[chosen].max(axis=-1, keepdims=True) > 0
        values[chosen] = np.where(seen, change(values[chosen]), 0)
        return replace(observations, s2=np.clip(values, 0, 65535).astype(np.uint16)), dates, grid

    return make


DATES = {
    "a third of dates": lambda ranks, count: ranks % 3 == 0,
    "every second date": lambda ranks, count: ranks % 2 == 0,
    "the second half": lambda ranks, count: ranks >= count // 2,
    "the first fourteen dates": lambda ranks, count: ranks < 14,
    "one season": lambda ranks, count: (ranks >= count // 4) & (ranks < count // 2),
}
"""Dates on which the offset is wrong."""


def swapped(observations, dates, grid):
    orbits = ("s1_ascending", "s1_descending")
    return (
        replace(observations, **{name: getattr(observations, name)[..., ::-1] for name in orbits}),
        dates,
        grid,
    )


def nothing(doy):
    return doy < 0


def folded(values):
    """Subtract 1000 from values of at least 1000 a second time: the published code's rule applied twice."""
    return np.where(values >= 1000, values - 1000, values)


MISTAKES = {
    "offset kept": Mistake("s2-offset", optical(lambda v: v + 1000)),
    **{
        f"offset kept on {name}": Mistake("s2-offset", on_dates(which, lambda v: v + 1000))
        for name, which in DATES.items()
    },
    **{
        f"offset off twice on {name}": Mistake("s2-offset-twice", on_dates(which, lambda v: v - 1000))
        for name, which in DATES.items()
    },
    "offset off twice, by the rule": Mistake("s2-offset-twice", optical(folded)),
    "offset off twice, cut at 0": Mistake("s2-offset-twice", optical(lambda v: v - 1000)),
    "offset off twice, wrapped": Mistake("s2-offset-twice", optical(lambda v: (v - 1000) % 65536)),
    "bands by wavelength": Mistake(
        "s2-band-order", reordered("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
    ),
    "bands by name, B8A last": Mistake(
        "s2-band-order", reordered("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B11", "B12", "B8A")
    ),
    "bands by colour name": Mistake(
        "s2-band-order", reordered("B02", "B03", "B08", "B8A", "B04", "B05", "B06", "B07", "B11", "B12")
    ),
    "blue, green, red first": Mistake(
        "s2-band-order", reordered("B02", "B03", "B04", "B08", "B8A", "B05", "B06", "B07", "B11", "B12")
    ),
    "red, green, blue first": Mistake(
        "s2-band-order", reordered("B04", "B03", "B02", "B08", "B8A", "B05", "B06", "B07", "B11", "B12")
    ),
    "B12 before B11": Mistake(
        "s2-band-order", reordered("B04", "B02", "B03", "B08", "B8A", "B05", "B06", "B07", "B12", "B11")
    ),
    "floats cut to integers": Mistake("s2-scale", optical(lambda v: np.floor(v / 10_000))),
    "0..255": Mistake("s2-scale", optical(lambda v: np.minimum(v / 10_000, 1) * 255)),
    "0..1000": Mistake("s2-scale", optical(lambda v: v / 10)),
    "0..65535": Mistake("s2-scale", optical(lambda v: np.minimum(v / 10_000, 1) * 65535)),
    "mask inverted": Mistake("mask-inverted", masked(lambda mask: mask == 0)),
    "mask empty": Mistake("mask-empty", masked(lambda mask: mask * 0)),
    "mask all clear": Mistake("mask-all-clear", masked(lambda mask: mask * 0 + 1)),
    "decibels as they are": Mistake("s1-units", radar(lambda db: db)),
    "decibels * 100": Mistake("s1-units", radar(lambda db: db * 100)),
    "(dB + 50) * 200, as from amplitude": Mistake("s1-amplitude", radar(lambda db: (db + 50) * 200)),
    "(dB + 50) * 100": Mistake("s1-units", radar(lambda db: (db + 50) * 100)),
    "uncalibrated amplitude": Mistake("s1-units", radar(lambda db: (db + 83 + 50) * 200)),
    "VV and VH swapped": Mistake("s1-swapped", swapped),
    "six clear dates": Mistake("s2-few-clear", sparse),
    "no Sentinel-2 in summer": Mistake("s2-gap", without_dates(s2=lambda doy: (doy < 150) | (doy > 270))),
    "ascending lost in spring": Mistake(
        "s1-gap-ascending", without_dates(ascending=lambda doy: (doy < 50) | (doy > 150))
    ),
    "no descending orbit": Mistake("s1-orbit-missing", without_dates(descending=nothing)),
    "no Sentinel-1": Mistake("s1-missing", without_dates(ascending=nothing, descending=nothing)),
    "no Sentinel-2": Mistake("s2-missing", without_dates(s2=nothing)),
}  # fmt: skip
"""What was done wrong -> the mistake."""
