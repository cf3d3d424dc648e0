"""What became of each class, as a result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.areas.result import Areas


@dataclass(frozen=True, repr=False)
class FromTo:
    """What became of each class.

    Attributes:
        out: the folder.
        classes: names of the classes of both maps.
        hectares: (C, C) on the maps, from each class (rows) to each class (columns).
        areas: estimated from points that were checked; None where none were given.
    """

    out: Path
    classes: tuple[str, ...]
    hectares: NDArray[np.floating[Any]]
    areas: Areas | None

    @property
    def unchanged(self) -> float:
        """Share of the pixels that have the same class on both maps."""
        return float(self.hectares.trace() / self.hectares.sum())

    def __repr__(self) -> str:
        return f"<FromTo {self.out}: {len(self.classes)} classes, {100 * self.unchanged:.1f} % unchanged>"

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        before, stayed = self.hectares.sum(axis=1), self.hectares.diagonal()
        return {
            "classes": list(self.classes),
            "hectares": self.hectares.tolist(),
            "unchanged": self.unchanged,
            "persistence": {
                name: float(stayed[i] / before[i]) if before[i] else None
                for i, name in enumerate(self.classes)
            },
            "estimated": None if self.areas is None else self.areas.to_dict(),
        }
