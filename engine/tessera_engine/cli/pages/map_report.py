"""What the command `map` prints of a report: the classes, the methods that were tried, and what else it found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tessera_engine.analysis.maps.compare import MAIN_SCORES
from tessera_engine.analysis.maps.intervals import Interval
from tessera_engine.analysis.maps.quality import quality
from tessera_engine.analysis.maps.report import METHOD_TITLES, TITLES, score_text

NOT_KNOWN = "not known"

Table = tuple[list[tuple[Any, ...]], tuple[str, ...]]


def tables(report: Mapping[str, Any]) -> list[Table]:
    """The rows and the titles of each table."""
    found: list[Table] = []
    if "tried" in report:
        main = MAIN_SCORES["classes" not in report]
        rows: list[tuple[Any, ...]] = [
            (
                METHOD_TITLES[each["method"]],
                f"{each['context']} x {each['context']}" if each["context"] else "",
                score_text(Interval(**each["scores"][main]), main),
            )
            for each in report["tried"]
        ]
        found.append((rows, ("method", "context", TITLES[main])))
    if "classes" in report:
        titles = ("class", "precision", "recall", "F1", "labels")
        found.append(([_row(name, each) for name, each in report["classes"].items()], titles))
    return found


def _row(name: str, each: Mapping[str, Any]) -> tuple[Any, ...]:
    shares = (_with_interval(each[score], each.get(f"{score}_interval")) for score in ("precision", "recall"))
    f1 = NOT_KNOWN if each["f1"] is None else f"{each['f1']:.2f}"
    return (name, *shares, f1, each["labels"])


def _with_interval(value: float | None, ends: Sequence[float] | None) -> str:
    if value is None or ends is None:
        return NOT_KNOWN
    return f"{value:.2f} ({ends[0]:.2f} to {ends[1]:.2f})"


def further_lines(report: Mapping[str, Any]) -> list[str]:
    """A line each on calibration, the independent test and the area of applicability."""
    lines = []
    if "reliability" in report:
        errors = (
            100 * report["reliability"][name] for name in ("calibration_error", "calibration_error_before")
        )
        lines.append(
            "confidence: calibrated on the held-out labels; its error is {:.1f} %, before {:.1f} %".format(
                *errors
            )
        )
    if "test" in report:
        text = quality(report["test"]).replace("on blocks that were held out", "on the independent test")
        lines.append(f"{report['test']['labels']}: {text}")
    if "beyond_applicability" in report:
        lines.append(beyond_line(report))
    return lines


def beyond_line(report: Mapping[str, Any]) -> str:
    """How much of the map lies beyond the area of applicability."""
    return (
        f"{100 * report['beyond_applicability']:.1f} % of the map lies beyond the area of applicability, where "
        "these scores don't hold"
    )
