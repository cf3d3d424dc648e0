"""All checks of a scene, and what follows from their findings."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError
from tessera_engine.finding import READER, Finding
from tessera_engine.guard.band_order import check_band_order
from tessera_engine.guard.coverage import check_clear_dates, check_gaps, check_modalities, clear_days
from tessera_engine.guard.geometry import Geometry
from tessera_engine.guard.masks import check_masks
from tessera_engine.guard.model_range import check_range, plausible_shares
from tessera_engine.guard.neighbours import BLOCKS, EVERY, series_of
from tessera_engine.guard.offset import check_offset, check_wrapped
from tessera_engine.guard.optical_sample import OpticalSample
from tessera_engine.guard.radar import check_radar
from tessera_engine.guard.reflectance import check_scale
from tessera_engine.guard.seams import Seams
from tessera_engine.guard.season import check_order, note_on, season_of
from tessera_engine.guard.source import check_source
from tessera_engine.progress import Announce
from tessera_engine.scene import Dates, Grid, Named, Observations, Reader, Scene, Window
from tessera_engine.scenes.period import Period
from tessera_engine.tokens import Statistics

FEW_FINDINGS = 5
"""So many findings fit into one line; of more, each has a line of its own."""

SAMPLE_PIXELS = 4096
"""Pixels of a sample: enough for percentiles, and checked in well under a second."""


def examine(scene: Scene, model: Statistics, region: Window | None = None) -> list[Finding]:
    """The findings about a scene: first its reader's warnings, then what the guard finds in a sample.

    Args:
        scene: an open scene.
        model: the model's statistics, for instance its `ModelFacts`.
        region: the part that will be embedded; None: all.

    Raises:
        InputError: the scene can't be read, or has no data in the region.
    """
    observations = scene.reader.sample(region or scene.grid.window, SAMPLE_PIXELS)
    return examine_sample(scene, observations, model, region)


def examine_sample(
    scene: Scene, observations: Observations, model: Statistics, region: Window | None = None
) -> list[Finding]:
    """The findings about a scene of which a sample has been read already, so that it is read only once.

    Args:
        scene: an open scene.
        observations: `scene.reader.sample(region, SAMPLE_PIXELS)`.
        model: the model's statistics, for instance its `ModelFacts`.
        region: the part that will be embedded; None: all.

    Raises:
        InputError: the scene can't be read.
    """
    reader = scene.reader
    findings = [Finding(READER, "certain", warning) for warning in reader.warnings]
    findings += check_source(reader.layout, model)
    season = season_of(reader)
    findings += check_order(season, model)
    found = check_all(observations, reader.dates, scene.grid, model, season)
    return findings + found + check_places(reader, region or scene.grid.window, found)


def check_places(reader: Reader, region: Window, known: Sequence[Finding]) -> list[Finding]:
    """What the guard finds by comparing neighbouring pixels: dates that lie elsewhere, and seams.

    Args:
        reader: reads blocks of the scene.
        region: the part of the scene to look at.
        known: what has been found already: where masks or units are wrong, Sentinel-2 isn't compared.
    """
    useless = any(finding.name.startswith("mask-") or finding.name == "s2-scale" for finding in known)
    named = (reader.satellites(), reader.relative_orbits()) if isinstance(reader, Named) else ({}, {})
    geometry, seams = Geometry(reader.period, *named), Seams(reader.period, named[1])
    compared = itertools.cycle(number == 0 for number in range(EVERY))
    for window, block in reader.blocks(
        region, BLOCKS
    ):  # not `enumerate`, which keeps a block while it gets the next
        series = [each for each in series_of(block) if not (useless and each.field == "s2")]
        del block  # two at once are too much
        if next(compared):
            geometry.add(series)
        seams.add(series, window)
        del series
    return geometry.findings() + seams.findings()


def heed(findings: Sequence[Finding], strict: bool, announce: Announce) -> None:
    """Report findings, one line each, or refuse the scene.

    Args:
        findings: the findings.
        strict: whether any finding is an error.
        announce: called with each line.

    Raises:
        InputError: `strict` is True and there are findings.
    """
    if strict and len(findings) <= FEW_FINDINGS and findings:
        raise InputError(
            f"{'; '.join(finding.line for finding in findings)} (an error because of strict=True)"
        )
    for finding in findings:
        announce(f"warning: {finding.line}")
    if strict and findings:
        raise InputError(f"the scene has {len(findings)} warnings (an error because of strict=True)")


def examined(
    scene: Scene, model: Statistics, region: Window, strict: bool, announce: Announce
) -> tuple[Observations, tuple[Finding, ...]]:
    """What is probably wrong with a scene, which is reported before it is embedded; and the sample that was looked at.

    Args:
        scene: what will be embedded.
        model: the model's statistics, for instance its `ModelFacts`.
        region: the part of it.
        strict: refuse a scene with any finding.
        announce: called with each line.

    Raises:
        InputError: the scene has no data in the region, or with `strict` a finding.
    """
    sample = scene.reader.sample(region, SAMPLE_PIXELS)
    findings = tuple(examine_sample(scene, sample, model, region))
    heed(findings, strict, announce)
    note = note_on(season_of(scene.reader))
    if note is not None:
        announce(note)
    return sample, findings


def check_all(
    observations: Observations, dates: Dates, grid: Grid, model: Statistics, season: Period | None = None
) -> list[Finding]:
    """What the guard finds.

    Args:
        observations: observations of the sampled pixels.
        dates: dates of the whole scene.
        grid: grid of the whole scene, for its latitude.
        model: the model's statistics.
        season: first and last day that were asked for, where that isn't a calendar year.
    """
    sample = OpticalSample.of(observations)
    optical = _check_optical(sample, _embedded(observations), season)
    radar = check_radar(observations)
    beyond = [] if optical or radar else check_range(plausible_shares(observations, model))
    # Where masks or units are wrong, or there are few dates, gaps are a mere consequence and not reported
    days = [] if optical else clear_days(sample)
    return check_modalities(dates) + optical + radar + beyond + check_gaps(days, dates, grid, season)


def _embedded(observations: Observations) -> NDArray[np.bool_]:
    """(N,) bool, where a pixel has a valid observation of any sensor."""
    found = observations.s2_valid.any(axis=0)
    for codes in (observations.s1_ascending, observations.s1_descending):
        found = found | codes.any(axis=(0, 3))
    return found.ravel()


def _check_optical(
    sample: OpticalSample, embedded: NDArray[np.bool_], season: Period | None
) -> list[Finding]:
    """The first mistake in Sentinel-2: each check assumes that the checks before it found nothing."""
    return (
        check_scale(sample)
        or check_wrapped(sample)
        or check_masks(sample)
        or check_offset(sample)
        or check_band_order(sample)
        or check_clear_dates(sample, embedded, season)
    )
