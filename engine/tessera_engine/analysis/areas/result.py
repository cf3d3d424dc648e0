"""Areas and accuracies of a map, as a result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tessera_engine.analysis.areas.estimate import Estimate
from tessera_engine.analysis.maps.quality import FEWEST_LABELS


@dataclass(frozen=True)
class ClassArea:
    """What is known of a class.

    Attributes:
        name: of the class.
        mapped: hectares on the map.
        hectares: estimated area.
        users: share of its area on the map that is right; None: no point lies on it.
        producers: share of its true area that the map has; None: no point is of the class.
    """

    name: str
    mapped: float
    hectares: Estimate
    users: Estimate | None
    producers: Estimate | None


@dataclass(frozen=True, repr=False)
class Areas:
    """Areas and accuracies of a map.

    Attributes:
        overall: share of the area that the map has right.
        classes: of the map, and those that only the reference has.
        proportions: shares of the area, of classes on the map (rows) and in the reference (columns).
        counts: the same table of points.
        facts: of the map and the points, by name; plain values.
        notes: what is worth knowing, a line each.
        out: the folder of the report; None where none was written.
    """

    overall: Estimate
    classes: tuple[ClassArea, ...]
    proportions: list[list[float]]
    counts: list[list[int]]
    facts: dict[str, Any]
    notes: tuple[str, ...]
    out: Path | None = None

    def __repr__(self) -> str:
        return f"<Areas of {len(self.classes)} classes: overall accuracy {percent(self.overall)}>"

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        classes = [
            {
                "class": each.name,
                "mapped_hectares": each.mapped,
                "hectares": _plain(each.hectares),
                "users_accuracy": _accuracy(each.users),
                "producers_accuracy": _accuracy(each.producers),
            }
            for each in self.classes
        ]
        return {
            **self.facts,
            "overall_accuracy": _plain(self.overall),
            "classes": classes,
            "proportions": self.proportions,
            "points": self.counts,
            "notes": list(self.notes),
        }


def accuracy_text(found: Estimate | None) -> str:
    """An accuracy with its interval; "not known" where too few points were checked."""
    if found is None or found.points < FEWEST_LABELS:
        return f"not known ({0 if found is None else found.points} points)"
    return percent(found)


def percent(found: Estimate) -> str:
    """A share in percent with its interval."""
    value, low, high = (f"{100 * each:.1f}" for each in (found.value, found.low, found.high))
    return f"{value} % ({low} to {high})"


def _plain(found: Estimate) -> dict[str, float]:
    return found._asdict()


def _accuracy(found: Estimate | None) -> dict[str, Any]:
    if found is None or found.points < FEWEST_LABELS:
        return {"known": False, "points": 0 if found is None else found.points}
    return {"known": True, **_plain(found)}
