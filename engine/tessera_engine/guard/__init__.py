"""The guard: whether a scene is plausible, given the physics of the sensors and the model's statistics.

It checks a sample of the pixels. It reports what it finds and never corrects it: otherwise the embedding would no
longer be that of the data given.
"""

from __future__ import annotations

from tessera_engine.guard.checks import SAMPLE_PIXELS, examine, examine_sample, examined, heed
from tessera_engine.guard.model_range import plausible_shares

__all__ = ["SAMPLE_PIXELS", "examine", "examine_sample", "examined", "heed", "plausible_shares"]
