"""All checks of a scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tessera_engine.errors import InputError
from tessera_engine.finding import READER, Finding
from tessera_engine.guard.band_order import check_band_order
from tessera_engine.guard.coverage import (
    check_clear_dates,
    check_gaps,
    check_modalities,
    clear_days,
)
from tessera_engine.guard.masks import check_masks
from tessera_engine.guard.model_range import check_range, plausible_shares
from tessera_engine.guard.optical_sample import OpticalSample
from tessera_engine.guard.radar import check_radar
from tessera_engine.guard.reflectance import check_offset, check_scale, check_wrapped
from tessera_engine.guard.source import check_source
from tessera_engine.scene import Dates, Grid, Observations, Scene, Window
from tessera_engine.tokens import Statistics

SAMPLE_PIXELS = 4096
"""Enough for percentiles; a scene of any size is looked at in well under a second."""


def examine(scene: Scene, model: Statistics, region: Window | None = None) -> list[Finding]:
    """Everything worth saying about a scene: what its reader warned of, then what the guard finds in a sample.

    Args:
        scene: an open scene.
        model: its statistics; `ModelFacts` has them.
        region: the part that shall be embedded; None: all.

    Raises:
        InputError: the scene can't be read, or has nothing in the region.
    """
    observations = scene.reader.sample(region or scene.grid.window, SAMPLE_PIXELS)
    return examine_sample(scene, observations, model)


def examine_sample(scene: Scene, observations: Observations, model: Statistics) -> list[Finding]:
    """The same with a sample that was taken before."""
    told = [Finding(READER, "certain", warning) for warning in scene.reader.warnings]
    told += check_source(scene.reader.layout, model)
    return told + check_all(observations, scene.reader.dates, scene.grid, model)


def heed(findings: Sequence[Finding], strict: bool, announce: Callable[[str], None]) -> None:
    """Tell of findings, a line each.

    Raises:
        InputError: there are any, and `strict` makes them errors.
    """
    if strict and findings:
        raise InputError(f"{'; '.join(finding.line for finding in findings)} (an error because of --strict)")
    for finding in findings:
        announce(f"warning: {finding.line}")


def check_all(observations: Observations, dates: Dates, grid: Grid, model: Statistics) -> list[Finding]:
    """What the guard finds.

    Args:
        observations: of the sampled pixels.
        dates: of the whole scene.
        grid: of the whole scene, for its latitude.
        model: its statistics.
    """
    sample = OpticalSample.of(observations)
    optical = _check_optical(sample)
    radar = check_radar(observations)
    beyond = [] if optical or radar else check_range(plausible_shares(observations, model))
    # Where the masks or units are wrong, or dates few, a gap is only what follows
    days = [] if optical else clear_days(sample)
    return check_modalities(dates) + optical + radar + beyond + check_gaps(days, dates, grid)


def _check_optical(sample: OpticalSample) -> list[Finding]:
    """The first mistake in Sentinel-2: each check takes for granted what the one before it looked at."""
    return (
        check_scale(sample)
        or check_wrapped(sample)
        or check_masks(sample)
        or check_offset(sample)
        or check_band_order(sample)
        or check_clear_dates(sample)
    )
