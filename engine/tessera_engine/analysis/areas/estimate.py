"""Areas and accuracies from a stratified random sample of pixels, each with standard error and 95 % interval.

The estimators are those of Stehman 2014 ("Estimating area and map accuracy for stratified random sampling when the
strata are different from the map classes", International Journal of Remote Sensing 35, 4923-4939). Where the strata are
the map's classes, they are the same as those of Olofsson et al. 2014 ("Good practices for estimating area and assessing
accuracy of land change", Remote Sensing of Environment 148, 42-57), but for the finite population correction: a stratum
of which every pixel was checked adds no error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Z = 1.96
"""Standard errors on each side of a 95 % interval, as both papers take them."""

FEWEST_IN_STRATUM = 2
"""Points of a stratum without which its variance isn't known."""


class Estimate(NamedTuple):
    """A number that was estimated.

    Attributes:
        value: the estimate.
        error: its standard error.
        low: lower end of the 95 % interval.
        high: upper end.
        points: points that the number is about: of a class on the map, of a class in the reference, or all.
    """

    value: float
    error: float
    low: float
    high: float
    points: int

    def times(self, factor: float) -> Estimate:
        """The same in another unit."""
        value, error, low, high, points = self
        return Estimate(factor * value, factor * error, factor * low, factor * high, points)


@dataclass(frozen=True)
class Sample:
    """Points that were checked, and the strata that they were drawn from.

    Attributes:
        strata: (N,) number of each point's stratum, from 0.
        mapped: (N,) number of its class on the map, from 0.
        reference: (N,) number of its class in the reference, from 0.
        pixels: (H,) pixels of each stratum; each stratum has `FEWEST_IN_STRATUM` points or more, or a point at every
            pixel.
        classes: number of classes.
    """

    strata: NDArray[np.int64]
    mapped: NDArray[np.int64]
    reference: NDArray[np.int64]
    pixels: NDArray[np.int64]
    classes: int

    @property
    def points(self) -> NDArray[np.int64]:
        """(H,) points of each stratum."""
        counts: NDArray[np.int64] = np.bincount(self.strata, minlength=len(self.pixels))
        return counts

    @property
    def weights(self) -> NDArray[np.float64]:
        """(N,) pixels that each point stands for."""
        each: NDArray[np.float64] = (self.pixels / self.points)[self.strata]
        return each

    def counts(self) -> NDArray[np.int64]:
        """(C, C) points of each class on the map (rows) and each class in the reference (columns)."""
        table = np.zeros((self.classes, self.classes), np.int64)
        np.add.at(table, (self.mapped, self.reference), 1)
        return table

    def proportions(self) -> NDArray[np.float64]:
        """(C, C) the same table as shares of the area, which add up to 1."""
        table = np.zeros((self.classes, self.classes))
        np.add.at(table, (self.mapped, self.reference), self.weights)
        shares: NDArray[np.float64] = table / self.pixels.sum()
        return shares

    def share(self, of: NDArray[np.bool_]) -> Estimate:
        """The share of all pixels that points of this kind stand for, with the interval of both papers.

        Args:
            of: (N,) whether a point is of the kind.
        """
        found = self._ratio(of.astype(float), np.ones(len(of)))
        assert found is not None  # a sample has points
        if found.error or self._complete():
            return found
        low, high = self._bounds(of)
        return found._replace(low=low, high=high)

    def accuracy(self, of: NDArray[np.bool_], among: NDArray[np.bool_]) -> Estimate | None:
        """The share of the pixels of one kind that are of another kind too; None where no point is of the first kind.

        Its interval is the score interval of as many points as would vary as much (Franco et al. 2019, "Comparative
        study of confidence intervals for proportions in complex sample surveys", Journal of Survey Statistics and
        Methodology 7, 334-364). Accuracies are close to 1, where intervals of equal width on both sides hold the truth
        too seldom, and have no width where no error was seen.

        Args:
            of: (N,) whether a point is of the kind whose share is asked for.
            among: (N,) whether a point is of the kind that is the whole.
        """
        found = self._ratio((of & among).astype(float), among.astype(float))
        if found is None or self._complete():
            return found
        if found.error:
            points = found.value * (1 - found.value) / found.error**2
        else:
            weights = self.weights[among]
            points = weights.sum() ** 2 / (weights**2).sum()  # Kish 1965, "Survey Sampling"
        low, high = wilson(found.value, points)
        return found._replace(low=low, high=high)

    def _ratio(self, y: NDArray[np.float64], x: NDArray[np.float64]) -> Estimate | None:
        """The ratio of the totals of y and x; None where that of x is 0."""
        strata, count, pixels = self.strata, self.points, self.pixels
        whole = float((self.weights * x).sum())
        if not whole:
            return None
        value = float((self.weights * y).sum()) / whole
        # Their variance is that of y, minus twice the ratio's times the covariance, plus its square times that of x
        rest = y - value * x
        mean = np.bincount(strata, rest, len(pixels)) / count
        squares = np.bincount(strata, (rest - mean[strata]) ** 2, len(pixels))
        variance = squares / np.maximum(count - 1, 1) / count * (1 - count / pixels)
        error = float(np.sqrt((pixels.astype(float) ** 2 * variance).sum())) / whole
        low, high = max(0.0, value - Z * error), min(1.0, value + Z * error)
        return Estimate(value, error, low, high, int(x.sum()))

    def _complete(self) -> bool:
        return bool((self.points == self.pixels).all())

    def _bounds(self, of: NDArray[np.bool_]) -> tuple[float, float]:
        """An interval for a share where all points of each stratum agree, so that the standard error is 0.

        That no error was seen doesn't mean that there is none. Each stratum has the interval of Wilson 1927, and they
        are added as Zou and Donner 2008 do ("Construction of confidence limits about effect measures", Statistics in
        Medicine 27, 1693-1702).
        """
        parts = self.pixels / self.pixels.sum()
        share = np.bincount(self.strata, of, len(parts)) / self.points
        ends = np.array([wilson(p, n) for p, n in zip(share, self.points, strict=True)])
        missed = np.sqrt(1 - self.points / self.pixels)
        low, high = (
            float(np.sqrt((((end - share) * parts * missed) ** 2).sum())) for end in (ends[:, 0], ends[:, 1])
        )
        value = float((parts * share).sum())
        return max(0.0, value - low), min(1.0, value + high)


def wilson(share: float, points: float) -> tuple[float, float]:
    """The 95 % score interval of a share of `points` points (Wilson 1927, JASA 22, 209-212)."""
    middle = (share + Z**2 / (2 * points)) / (1 + Z**2 / points)
    half = Z / (1 + Z**2 / points) * np.sqrt(share * (1 - share) / points + Z**2 / (4 * points**2))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


@dataclass(frozen=True)
class Estimates:
    """What a sample says of a map.

    Attributes:
        overall: share of the area that the map has right.
        users: for each class, the share of its area on the map that is right; None where no point lies on it.
        producers: for each class, the share of its true area that the map has; None where no point is of the class.
        shares: for each class, its share of the area.
    """

    overall: Estimate
    users: tuple[Estimate | None, ...]
    producers: tuple[Estimate | None, ...]
    shares: tuple[Estimate, ...]


def estimate(sample: Sample) -> Estimates:
    """Estimate accuracies and shares of the area from a sample."""
    right, every = sample.mapped == sample.reference, range(sample.classes)
    overall = sample.accuracy(right, np.ones(len(right), bool))
    assert overall is not None  # a sample has points
    return Estimates(
        overall,
        tuple(sample.accuracy(right, sample.mapped == number) for number in every),
        tuple(sample.accuracy(right, sample.reference == number) for number in every),
        tuple(sample.share(sample.reference == number) for number in every),
    )
