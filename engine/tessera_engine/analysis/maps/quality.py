"""How good a map is, in one line: for its picture and for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FEWEST_LABELS = 5
"""Labelled pixels of a class below which its share of right predictions may be anything."""


def unknown_because_of(report: Mapping[str, Any]) -> list[str]:
    """The classes that have too few labels for the accuracy of a map to be known; none for a map of numbers.

    Args:
        report: see `tessera_engine.analysis.maps.learn.assess`.
    """
    classes = report.get("classes", {})
    return [name for name, each in classes.items() if each["labels"] < FEWEST_LABELS]


def quality(report: Mapping[str, Any], land: str | None = None) -> str:
    """The main score and what it was measured on.

    Args:
        report: of `assess`, with `labelled_pixels`, and with `intervals` of the scores.
        land: on which it was measured; None: what was held out from learning.
    """
    if land is None:
        land = f"{'fields' if report.get('labelled_fields') else 'blocks'} that were held out"
    pixels = f"{report['labelled_pixels']:,} labelled pixels"
    few = unknown_because_of(report)
    if few:
        named = ", ".join(few[:3]) + (f" and {len(few) - 3} more" if len(few) > 3 else "")
        return f"Accuracy not known: fewer than {FEWEST_LABELS} labelled pixels of {named}; {pixels} in all"
    if "classes" in report:
        low, high = (100 * end for end in report["intervals"]["accuracy"])
        score = f"Accuracy {100 * report['accuracy']:.0f} % ({low:.0f} to {high:.0f})"
    else:
        low, high = report["intervals"]["r2"]
        score = f"R2 {report['r2']:.2f} ({low:.2f} to {high:.2f}), RMSE {report['rmse']:.3g}"
        if report["r2"] < 0:
            score = f"Worse than the mean of the labels: {score}"
    return f"{score} on {land}; {pixels}"


def validated_on(report: Mapping[str, Any]) -> str:
    """What land the scores were measured on, in words.

    Args:
        report: see `tessera_engine.analysis.maps.training.train`.
    """
    return f"in {report['folds']} folds over {report['blocks']} blocks of {report['block_metres']:g} m"
