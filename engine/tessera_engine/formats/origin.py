"""Where embeddings are from: what some formats write beside the arrays."""

from __future__ import annotations

from dataclasses import dataclass

from tessera_engine.scenes.period import Period


@dataclass(frozen=True)
class Origin:
    """Where embeddings are from.

    Attributes:
        year: of the observations; None where it isn't known, or isn't one calendar year.
        model: its name.
        model_sha256: hex sha256 of the model file.
        generation: `v2`.
        engine_version: of this package.
        season: first and last day, where they are not of one calendar year.
    """

    year: int | None
    model: str
    model_sha256: str
    generation: str
    engine_version: str
    season: Period | None = None
