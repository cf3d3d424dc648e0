"""Whether the scene comes from where the model's training data came from."""

from __future__ import annotations

from tessera_engine.finding import Finding
from tessera_engine.model.statistics import flavour_of
from tessera_engine.tokens import Statistics

OPERA = "opera"
"""Layout of the Sentinel-1 products that v1.1's `aws` flavour was trained on, and `mpc` was not. Other layouts don't
tell: STAC items and tiles come from anywhere."""


def check_source(layout: str, model: Statistics) -> list[Finding]:
    """Tell of a v1.1 model that is paired with the other flavour's products.

    Args:
        layout: of the scene, as its reader has it.
        model: its generation and statistics.
    """
    if OPERA not in layout.split("+") or flavour_of(model) != "mpc":
        return []
    return [
        Finding(
            "model-source",
            "certain",
            "OPERA's Sentinel-1 products, but a v1.1 model with the statistics of Planetary Computer's (mpc)",
            "embeddings are off from those published for either",
            "use the aws model: model import CHECKPOINT --statistics aws",
        )
    ]
