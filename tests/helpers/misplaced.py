"""Scenes whose dates lie beside each other, or have seams; made from observations in memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tessera_engine.scene import Observations, Window

FIELDS = ("s2", "s1_ascending", "s1_descending")


def moved(images: np.ndarray, down: float, right: float) -> np.ndarray:
    """Images (h, w, ...) moved by parts of pixels, by linear interpolation; the edges repeat."""
    for axis, by in ((0, down), (1, right)):
        at = np.clip(np.arange(images.shape[axis]) - by, 0, images.shape[axis] - 1)
        low = np.minimum(np.floor(at).astype(int), images.shape[axis] - 2)
        part = (at - low).astype(np.float32)
        part = part.reshape([-1 if k == axis else 1 for k in range(images.ndim)])
        images = np.take(images, low, axis) * (1 - part) + np.take(images, low + 1, axis) * part
    return images


def misplaced(observations: Observations, field: str, dates, down: float, right: float) -> Observations:
    """The same observations, with some dates of a field moved."""
    values = getattr(observations, field).copy()
    changed = {field: values}
    if field == "s2":
        changed["s2_valid"] = observations.s2_valid.copy()
    for t in dates:
        known = (values[t] != 0).all(axis=-1, keepdims=True)
        after = np.rint(moved(values[t].astype(np.float32), down, right)).astype(values.dtype)
        values[t] = np.where(moved(known.astype(np.float32), down, right) > 0.999, after, 0)
        if field == "s2":
            mask = moved((observations.s2_valid[t] != 0).astype(np.float32), down, right)
            changed["s2_valid"][t] = mask > 0.999
    return replace(observations, **changed)


def as_real(observations: Observations, seed: int, s2: float = 0.2, s1: float = 0.1) -> Observations:
    """Blurred as by a sensor, and each date at a place of its own: as well as real products fit together.

    Args:
        observations: sharp, all on one place.
        seed: of the places.
        s2: standard deviation of Sentinel-2 dates, in pixels to each side.
        s1: the same of Sentinel-1.
    """
    rng = np.random.default_rng(seed)
    for field in FIELDS:
        for t in range(len(getattr(observations, f"{field}_doy"))):
            down, right = rng.normal(0, s2 if field == "s2" else s1, 2)
            # Linear interpolation by half a pixel there and back is a blur of one pixel
            observations = _in_place(observations, field, t, down, right)
    return observations


def _in_place(observations: Observations, field: str, t: int, down: float, right: float) -> Observations:
    values = getattr(observations, field)
    known = (values[t] != 0).all(axis=-1, keepdims=True)
    image = moved(moved(values[t].astype(np.float32), 0.5, 0.5), down - 0.5, right - 0.5)
    values[t] = np.where(known, np.maximum(np.rint(image), 1), 0).astype(values.dtype)
    return observations


def copied(observations: Observations) -> Observations:
    """A copy whose arrays can be changed."""
    arrays = {name: getattr(observations, name).copy() for name in (*FIELDS, "s2_valid")}
    return replace(observations, **arrays)


def jumping(
    observations: Observations, field: str, dates, axis: int, places: slice, by: float
) -> Observations:
    """The same observations with `by` added to rows (axis 0) or columns (axis 1) of some dates."""
    values = getattr(observations, field).copy()
    at = (places, slice(None)) if axis == 0 else (slice(None), places)
    for t in dates:
        part = values[(t, *at)].astype(np.float32)
        values[(t, *at)] = np.where(part == 0, 0, np.maximum(part + by, 1)).astype(values.dtype)
    return replace(observations, **{field: values})


class OneBlock:
    """A reader of one block, for the checks that compare neighbours."""

    period = None

    def __init__(self, observations: Observations, satellites=None, orbits=None) -> None:
        self.observations = observations
        self._satellites, self._orbits = satellites or {}, orbits or {}

    def satellites(self):
        return self._satellites

    def relative_orbits(self):
        return self._orbits

    def blocks(self, region, count):
        height, width = self.observations.s2_valid.shape[1:]
        yield Window(0, 0, width, height), self.observations
