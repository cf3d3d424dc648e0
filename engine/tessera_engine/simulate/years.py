"""Another year of the same land: other weather and other farming everywhere, another crop on some fields."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tessera_engine.simulate.ground import Ground
from tessera_engine.simulate.landscape import draw_covers
from tessera_engine.simulate.noise import Stream, generator
from tessera_engine.simulate.parcels import draw_parcels

CHANGED = 0.1
"""Share of the fields with another crop than in the first year. Real farms rotate far more, but then no field would
stay the same."""

FARMING = ("late", "vigour", "catch_before", "catch_after", "mowing", "drought")
"""What differs each year on every parcel; soil, aspect and the plants' spectra stay."""


def seed_of_year(seed: int, year: int) -> int:
    """The seed of everything that changes with the year; for year 0, the scene's own."""
    # Larger than any seed that users give
    return seed + (year << 64)


def in_year(ground: Ground, seed: int, year: int) -> Ground:
    """The ground of a scene in a year after the first.

    Args:
        ground: in the first year.
        seed: of the scene.
        year: 1 or more.
    """
    rng = generator(seed_of_year(seed, year), Stream.LAYOUT)
    before = ground.landscape.cover
    climate = ground.parcels.climate
    crops = [crop.code for crop in climate.fields]
    other = draw_covers(rng, climate.fields, len(before))
    changes = np.isin(before, crops) & (rng.random(len(before)) < CHANGED)
    cover = np.where(changes, other, before)
    farming = draw_parcels(seed_of_year(seed, year), cover, climate)
    parcels = replace(
        draw_parcels(seed, cover, climate), **{name: getattr(farming, name) for name in FARMING}
    )
    return replace(ground, landscape=replace(ground.landscape, cover=cover), parcels=parcels)
