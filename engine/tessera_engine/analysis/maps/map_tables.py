"""Tables of a map's report and of the terminal: the methods that were tried, and the scores of the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tessera_engine.analysis.maps.compare import MAIN_SCORES
from tessera_engine.analysis.maps.intervals import Interval
from tessera_engine.analysis.maps.report import METHOD_TITLES, TITLES, score_text
from tessera_engine.analysis.reporting.document import Table

NOT_KNOWN = "not known"


def tried_table(report: Mapping[str, Any]) -> Table:
    """The methods that `auto` compared, in the order in which they were tried.

    Args:
        report: with `tried`, see `tessera_engine.analysis.maps.training.train`.
    """
    main = MAIN_SCORES["classes" not in report]
    rows = (
        (
            METHOD_TITLES[each["method"]],
            context_text(each["context"]),
            score_text(Interval(**each["scores"][main]), main),
        )
        for each in report["tried"]
    )
    return Table(("method", "context", TITLES[main]), tuple(rows))


def class_table(report: Mapping[str, Any]) -> Table:
    """Precision, recall and F1 of each class, with intervals; "not known" where there are too few labels.

    Args:
        report: with `classes`.
    """
    rows = (
        (
            name,
            _share(each["precision"], each.get("precision_interval")),
            _share(each["recall"], each.get("recall_interval")),
            NOT_KNOWN if each["f1"] is None else f"{each['f1']:.2f}",
            f"{each['labels']:,}",
        )
        for name, each in report["classes"].items()
    )
    return Table(("class", "precision", "recall", "F1", "labels"), tuple(rows))


def context_text(context: int) -> str:
    """The surroundings that a method sees; empty for the pixel alone."""
    return f"{context} x {context}" if context else ""


def _share(value: float | None, ends: Sequence[float] | None) -> str:
    if value is None or ends is None:
        return NOT_KNOWN
    return f"{value:.2f} ({ends[0]:.2f} to {ends[1]:.2f})"
