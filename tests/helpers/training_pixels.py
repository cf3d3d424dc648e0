"""Made-up pixels and a tiny network for tests of training."""

from __future__ import annotations

import numpy as np

from tessera_engine.tokens import PackedTokens, Tokens
from tessera_export.reference import ReferenceConfig

TINY = ReferenceConfig(latent_dim=4, num_layers=1, num_heads=2, ffn_dim=16, dims=16, prefixes=(4, 16))


def tokens_of(lengths, bands, rng, signal):
    """Pixels whose bands' mean is their `signal` (N,); each date tilts the bands far more than that, at random."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    of_pixel = np.repeat(signal, lengths)[:, None]
    tilt = 3 * rng.standard_normal((offsets[-1], 1)) * (-1) ** np.arange(bands)
    return Tokens(
        values=(of_pixel + tilt + 0.1 * rng.standard_normal((offsets[-1], bands))).astype(np.float32),
        doy=np.concatenate([np.sort(rng.integers(1, 367, n)) for n in lengths]).astype(np.int32),
        multiplicity=np.ones(offsets[-1], np.float32),
        offsets=offsets,
    )


def made_up_pixels(pixels=64, seed=0, fewest=1):
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((2, pixels))
    return PackedTokens(
        tokens_of(rng.integers(fewest, fewest + 12, pixels), 10, rng, signal[0]),
        tokens_of(rng.integers(fewest, fewest + 20, pixels), 2, rng, signal[1]),
    )
