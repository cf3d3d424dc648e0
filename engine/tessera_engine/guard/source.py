"""Checks that the scene's products are from the same source as the model's training data."""

from __future__ import annotations

from tessera_engine.finding import Finding
from tessera_engine.model.statistics import flavour_of
from tessera_engine.tokens import Statistics

OPERA = "opera"
"""Layout of the Sentinel-1 products on which v1.1's `aws` flavour was trained, but not its `mpc` flavour. Other layouts
don't define a source: STAC items and tiles come from anywhere."""


def check_source(layout: str, model: Statistics) -> list[Finding]:
    """Find a v1.1 model that is used with the products of the other flavour.

    Args:
        layout: the scene's layout, as its reader has it.
        model: the model's statistics.
    """
    if OPERA not in layout.split("+") or flavour_of(model) != "mpc":
        return []
    return [
        Finding(
            "model-source",
            "certain",
            "the scene has Sentinel-1 products of OPERA, but the v1.1 model has the statistics of those of Planetary "
            "Computer (mpc)",
            "embeddings differ from the published ones of both sources",
            "import the model's checkpoint with statistics='aws' and use that model",
        )
    ]
