"""Which method and which surroundings predict held-out labels best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.maps.compare import MAIN_SCORES, Comparison, Outcome
from tessera_engine.analysis.maps.features import CONTEXTS
from tessera_engine.analysis.maps.learn import AUTO, METHODS, HeldOut


@dataclass(frozen=True)
class Tried:
    """A method that was tried.

    Attributes:
        method: one of `METHODS`.
        context: one of `CONTEXTS`.
        held: what it predicted for held-out labels.
        outcome: its scores.
    """

    method: str
    context: int
    held: HeldOut
    outcome: Outcome

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        scores = {
            name: {"value": each.value, "low": each.low, "high": each.high}
            for name, each in self.outcome.scores().items()
        }
        return {"method": self.method, "context": self.context, "scores": scores}


def try_methods(
    comparison: Comparison,
    features: Callable[[int], NDArray[np.float32]],
    method: str,
    context: int | None,
) -> tuple[Tried, list[Tried]]:
    """Cross-validate the method that was named; of `auto` all methods, and then surroundings with the best of them.

    Args:
        comparison: labels, folds and draws.
        features: gives (N, K) features for one of `CONTEXTS`.
        method: one of `METHODS`, or `auto`.
        context: one of `CONTEXTS`; None: 0, or what `auto` finds.

    Returns:
        The best by macro F1 or R2, of equal ones the first; and all that were tried, in this order.
    """
    main = MAIN_SCORES[comparison.task.regression]

    def attempt(names: Sequence[str], contexts: Sequence[int]) -> list[Tried]:
        found = []
        for each in contexts:
            x = features(each)
            for name in names:
                held = comparison.hold_out(x, name)
                found.append(Tried(name, each, held, comparison.outcome(held.predicted)))
        return found

    def best(tried: Sequence[Tried]) -> Tried:
        return max(tried, key=lambda each: each.outcome.values[main])

    tried = attempt(METHODS if method == AUTO else (method,), (context or 0,))
    if method == AUTO and context is None:
        tried += attempt((best(tried).method,), [each for each in CONTEXTS if each])
    return best(tried), tried
