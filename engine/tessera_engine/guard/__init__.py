"""The guard: whether a scene is plausible for the physics of the sensors and for the model's statistics.

It looks at a sample of the pixels. What it finds is told, never put right: an embedding from changed input would be
nobody's.
"""

from __future__ import annotations

from tessera_engine.finding import Finding
from tessera_engine.guard.checks import SAMPLE_PIXELS, examine, examine_sample, heed
from tessera_engine.guard.model_range import plausible_shares

__all__ = ["SAMPLE_PIXELS", "Finding", "examine", "examine_sample", "heed", "plausible_shares"]
