"""Parcels: how a field differs from others of the same crop, and its state on a day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tessera_engine.simulate import covers
from tessera_engine.simulate.climate import Climate
from tessera_engine.simulate.covers import COVERS
from tessera_engine.simulate.noise import Stream, generator

CATCH_CROP_EMERGES, CATCH_CROP_CLOSES = 22, 65
"""Days after harvest."""
PLOUGHED = 18
"""Days before sowing that a catch crop is ploughed under."""


@dataclass(frozen=True)
class State:
    """What stands on every parcel on one day: arrays (parcels,) float32.

    Attributes:
        leaf_area: leaf area index, green and dry.
        dry: share of it that is dry.
        bloom: share of it in bloom.
    """

    leaf_area: NDArray[np.float32]
    dry: NDArray[np.float32]
    bloom: NDArray[np.float32]


@dataclass(frozen=True)
class Parcels:
    """The parcels of a scene: arrays of one row a parcel.

    Attributes:
        climate: the climate that they lie in.
        cover: (P,) uint8 code.
        ground, canopy: (P, 10) float32 spectra, reflectance * 10000.
        late: (P,) days later than the cover's calendar.
        vigour: (P,) factor on leaf area.
        catch_before, catch_after: (P,) leaf area index of a catch crop before sowing and after harvest, 0 = none.
        mowing: (P, 5) days on which grass is mown; a day beyond the year means never.
        drought: (P,) share of grass that dries in summer.
        wet: (P,) offset of soil moisture, 0..1 scale.
        rough: (P,) dB that the soil's roughness adds to its backscatter.
        backscatter: (P, 2) dB of a closed canopy in VV and VH.
        orbit: (P, 2) dB that the parcel's aspect adds in ascending and descending orbits.
    """

    climate: Climate
    cover: NDArray[np.uint8]
    ground: NDArray[np.float32]
    canopy: NDArray[np.float32]
    late: NDArray[np.float32]
    vigour: NDArray[np.float32]
    catch_before: NDArray[np.float32]
    catch_after: NDArray[np.float32]
    mowing: NDArray[np.float32]
    drought: NDArray[np.float32]
    wet: NDArray[np.float32]
    rough: NDArray[np.float32]
    backscatter: NDArray[np.float32]
    orbit: NDArray[np.float32]

    def of_cover(self, values: list[float]) -> NDArray[np.float32]:
        """(P,) the value of each parcel's cover, of one value a cover in the order of `COVERS`."""
        return np.array(values, np.float32)[self.cover - 1]

    def on(self, day: int) -> State:
        """The parcels' state on a day of year."""
        like = self.climate.calendar(day)
        leaf_area = np.zeros(len(self.cover), np.float32)
        dry, bloom = np.zeros_like(leaf_area), np.zeros_like(leaf_area)
        for cover in COVERS:
            mine = np.flatnonzero(self.cover == cover.code)
            when = like - self.late[mine]
            leaf = covers.at(cover.leaf_area, when) * self.vigour[mine]
            withered = covers.at(cover.dry, when)
            if cover.season is not None:
                sown, harvested = cover.season
                # both go over the turn of the year
                since = (when - harvested) % 365
                until = (sown - when) % 365
                fallow = since + until < 365
                grows = np.clip((since - CATCH_CROP_EMERGES) / (CATCH_CROP_CLOSES - CATCH_CROP_EMERGES), 0, 1)
                stands = np.where(until > PLOUGHED, grows, 0) * fallow
                # what stood before this year's crop was sown in the autumn before, and may be another crop
                catch = np.where(when < sown, self.catch_before[mine], self.catch_after[mine]) * stands
                withered = np.where(catch > leaf, 0, withered)
                leaf = np.maximum(leaf, catch)
            leaf_area[mine], dry[mine], bloom[mine] = leaf, withered, covers.at(cover.bloom, when)
        self._mow(like, leaf_area, dry)
        return State(leaf_area, dry, bloom)

    def _mow(self, day: float, leaf_area: NDArray[np.float32], dry: NDArray[np.float32]) -> None:
        """Cut the grass that was mown before a day of the calendar; it grows again within weeks. In place."""
        grass = np.flatnonzero(self.cover == covers.GRASS.code)
        days = day - self.mowing[grass]
        cut = np.where(days >= 0, 0.8 * np.exp(-np.maximum(days, 0) / 16), 0).max(axis=1)
        summer = np.exp(-(((day - 208) / 32) ** 2))
        leaf_area[grass] *= (1 - cut) * (1 - 0.5 * self.drought[grass] * summer)
        dry[grass] = np.clip(dry[grass] + 0.35 * cut + self.drought[grass] * summer, 0, 1)


def draw_parcels(seed: int, cover: NDArray[np.uint8], climate: Climate) -> Parcels:
    """Make up how the parcels differ.

    Args:
        seed: of the scene.
        cover: (P,) code of each parcel.
        climate: the climate that they lie in.
    """
    rng = generator(seed, Stream.PARCELS)
    n = len(cover)
    index = cover - 1

    def normal(*shape: int, scale: float = 1.0) -> NDArray[np.float32]:
        return rng.standard_normal((n, *shape), np.float32) * np.float32(scale)

    ground = np.array([c.ground for c in COVERS], np.float32)[index]
    hue = rng.random((n, 1), np.float32) * 0.5
    is_soil = np.array([c.ground in (covers.LOAM, covers.SAND) for c in COVERS])[index, None]
    ground = np.where(is_soil, ground * (1 - hue) + np.array(climate.soil, np.float32) * hue, ground)
    paved = rng.random((n, 1), np.float32) * (cover == covers.BUILT_UP.code)[:, None]
    ground = ground * (1 - paved) + np.array(covers.ASPHALT, np.float32) * paved
    spread = np.where(
        cover == covers.BUILT_UP.code, 0.3, np.where(cover == covers.OPEN_WATER.code, 0.35, 0.13)
    )
    ground *= np.exp(normal(1) * spread[:, None] + normal(10, scale=0.03)).astype(np.float32)
    canopy = np.array([c.canopy for c in COVERS], np.float32)[index]
    canopy *= np.exp(normal(1, scale=0.06) + normal(10, scale=0.04))

    # grass is cut every five to eight weeks from May on, some meadows twice, pastures never
    first = rng.uniform(118, 165, (n, 1))
    mowing = first + np.arange(5) * rng.uniform(34, 58, (n, 1)) + rng.normal(0, 4, (n, 5))
    mowing[np.arange(5) >= rng.integers(0, 6, n)[:, None]] = 1000
    mowing[mowing > 295] = 1000

    def catch_crop(share: float) -> NDArray[np.float32]:
        return (rng.uniform(0.8, 2.6, n) * (rng.random(n) < share)).astype(np.float32)

    return Parcels(
        climate=climate,
        cover=cover,
        ground=ground.astype(np.float32),
        canopy=canopy,
        late=normal(scale=8),
        vigour=np.exp(normal(scale=0.16)),
        catch_before=catch_crop(0.55),
        catch_after=catch_crop(0.6),
        mowing=mowing.astype(np.float32),
        drought=(climate.drought + rng.uniform(0, 0.6) * rng.random(n)).clip(max=1).astype(np.float32),
        wet=normal(scale=0.09),
        rough=normal(scale=1.2),
        backscatter=np.array([c.backscatter for c in COVERS], np.float32)[index] + normal(1, scale=0.7),
        orbit=normal(2) * np.where(cover == covers.BUILT_UP.code, 2.2, 0.4)[:, None].astype(np.float32),
    )
