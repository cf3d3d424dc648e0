"""The sources of a table by year: from which one each shape is read, and which rows stay empty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.sampling.locating import Located
from tessera_engine.analysis.sampling.pooling import pool
from tessera_engine.analysis.sampling.spool import Runs, Spool
from tessera_engine.places.features import Features
from tessera_engine.places.losses import Cause, Losses
from tessera_engine.places.pixels import LINE


@dataclass(frozen=True)
class Part:
    """The pixels of one source.

    Attributes:
        source: its name.
        located: the shapes on its grid.
        spool: the embeddings of their pixels.
    """

    source: str
    located: Located
    spool: Spool


class Year:
    """The sources of one year.

    A shape is read from the source in which most of its pixels have data, or the first of those.

    Attributes:
        year: None where it isn't known.
        best: (N,) number of the source from which each shape is read.
        valid: (N,) its pixels with data there.
        total: (N,) its pixels on that grid and around it.
        inside: (N,) whether it takes a pixel of any source.
        near: (N,) whether it lies near any source.
    """

    def __init__(self, year: int | None, parts: Sequence[Part]) -> None:
        self.year, self.parts = year, parts
        ranks = [
            (part.located.with_data(part.spool.valid), part.located.inside, part.located.total)
            for part in parts
        ]
        self.best = np.zeros(len(ranks[0][0]), np.int64)
        valid, inside, total = (each.copy() for each in ranks[0])
        for number, (more_valid, more_inside, more_total) in enumerate(ranks[1:], 1):
            better = more_valid > valid
            better |= (more_valid == valid) & (more_inside > inside)
            better |= (more_valid == valid) & (more_inside == inside) & (more_total > total)
            self.best[better] = number
            for known, more in ((valid, more_valid), (inside, more_inside), (total, more_total)):
                known[better] = more[better]
        self.valid, self.total, self.inside = valid, total, inside > 0
        self.near = np.any([part.located.near for part in parts], axis=0)

    def embeddings(
        self, rows: NDArray[np.int64], pools: Sequence[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """The vectors of shapes, and the mean numbers of their observations.

        Args:
            rows: (R,) numbers of the shapes.
            pools: how pixels are pooled; empty: each shape is a single point.

        Returns:
            (R, vectors, K), NaN for a shape without data; (R, 2), NaN for one without data.
        """
        dim = self.parts[0].spool.dim
        vectors = np.full((len(rows), max(1, len(pools)), dim), np.nan, np.float32)
        observations = np.full((len(rows), 2), np.nan)
        for number, part in enumerate(self.parts):
            here = np.flatnonzero((self.best[rows] == number) & (self.valid[rows] > 0))
            if pools:
                for i in here:
                    vectors[i], observations[i] = pool(part.spool, part.located.runs(int(rows[i])), pools)
            elif len(here):
                numbers, back = np.unique(part.located.first_pixels(rows[here]), return_inverse=True)
                pixels = part.spool.read(Runs.of(numbers))
                vectors[here, 0], observations[here] = pixels.embeddings[back], pixels.observations[back]
        return vectors, observations


def lost_rows(features: Features, years: Sequence[Year]) -> Losses:
    """Rows without an embedding, by the cause."""
    import shapely

    missing = shapely.is_missing(features.geometries) | shapely.is_empty(features.geometries)
    lines = shapely.get_dimensions(features.geometries) == LINE
    lost = Losses()
    for year in years:
        empty = year.valid == 0
        beside = empty & ~year.inside & ~missing
        causes = {
            Cause.NO_GEOMETRY: empty & missing,
            Cause.NO_EMBEDDING: empty & year.inside,
            Cause.LINE: beside & lines & (year.total == 0) & year.near,
            Cause.NO_CENTRE: beside & ~lines & (year.total == 0) & year.near,
        }
        for cause, which in causes.items():
            lost[cause] += int(which.sum())
        lost[Cause.BESIDE] += int(empty.sum()) - sum(int(which.sum()) for which in causes.values())
    return +lost
