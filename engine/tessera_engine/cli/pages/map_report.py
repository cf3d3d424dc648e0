"""What the commands `map` and `apply` print of a report: tables, and a line each on what else it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tessera_engine.analysis.maps.map_tables import class_table, tried_table
from tessera_engine.analysis.maps.quality import quality, validated_on
from tessera_engine.analysis.reporting.document import Table


def tables(report: Mapping[str, Any]) -> list[Table]:
    """The methods that were tried and the scores of the classes, where the report has them."""
    tried = [tried_table(report)] if "tried" in report else []
    return [*tried, *([class_table(report)] if "classes" in report else [])]


def lines(report: Mapping[str, Any]) -> list[str]:
    """A line each on the accuracy, the calibration, the independent test and the area of applicability.

    Args:
        report: of `tessera_engine.map` or `tessera_engine.apply`.
    """
    if "quality" in report:
        found = [f"when it was saved: {report['quality']}"]
    else:
        found = [f"{quality(report)}, {validated_on(report)}"]
    if "reliability" in report:
        after, before = (
            100 * report["reliability"][name] for name in ("calibration_error", "calibration_error_before")
        )
        calibrated = report["reliability"]["temperature"] != 1
        found.append(
            f"confidence: calibrated on the held-out labels; its error is {after:.1f} %, before {before:.1f} %"
            if calibrated
            else f"confidence: its error is {after:.1f} % on the held-out labels; calibration would not reduce it"
        )
    if "test" in report:
        found.append(f"{report['test']['labels']}: {quality(report['test'], 'the independent test')}")
    if "beyond_applicability" in report:
        found.append(
            f"{100 * report['beyond_applicability']:.1f} % of the map lies beyond the area of applicability, where "
            "these scores don't hold"
        )
    return found
