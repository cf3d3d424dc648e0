"""Features of Presto (arXiv 2304.14065), computed by its authors' own code with their weights.

Their repository (github.com/nasaharvest/presto, MIT) is not part of this one: `make compression` clones it beside its
own environment. Of it `single_file_presto.py` and `data/default_model.pt` are used.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

# TESSERA's order of bands is B04 B02 B03 B08 B8A B05 B06 B07 B11 B12; Presto's is by wavelength
TESSERA_BANDS = ("B4", "B2", "B3", "B8", "B8A", "B5", "B6", "B7", "B11", "B12")
PRESTO_BANDS = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")

S1, S2, NDVI = slice(0, 2), slice(2, 12), 16
CHANNELS = 17
"""VV VH, ten bands, two of weather and two of terrain (which aren't known here, so masked), NDVI."""

NO_DYNAMIC_WORLD = 9

BATCH = 512


def presto_features(
    code: Path, weights: Path, medians: NDArray[np.float32], month: int, latlon: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The encoder's pooled output, as the authors use it for a random forest.

    Args:
        code: folder of the authors' repository.
        weights: their `default_model.pt`.
        medians: (N, 12, 12) see `peers.spectra.monthly_medians`; a sensor's month without data is masked.
        month: 0..11, of the first of the twelve.
        latlon: (N, 2) degrees.

    Returns:
        (N, 128).
    """
    model = _load(code, weights)
    x, mask = presto_inputs(medians)
    features = np.empty((len(x), 128), np.float32)
    # Their code wants equally many masked tokens in each pixel of a batch
    _, alike = np.unique(mask.sum(axis=(1, 2)), return_inverse=True)
    for kind in range(alike.max() + 1):
        pixels = np.flatnonzero(alike == kind)
        for batch in np.array_split(pixels, -(-len(pixels) // BATCH)):
            with torch.inference_mode():
                features[batch] = model.encoder(
                    torch.from_numpy(x[batch]),
                    dynamic_world=torch.full((len(batch), 12), NO_DYNAMIC_WORLD),
                    latlons=torch.from_numpy(latlon[batch]),
                    mask=torch.from_numpy(mask[batch]),
                    month=torch.full((len(batch),), month),
                ).numpy()
    return features


def presto_inputs(medians: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(N, 12, 17) values as Presto normalises them, and their mask: 1 = masked."""
    order = [TESSERA_BANDS.index(band) for band in PRESTO_BANDS]
    x = np.zeros((*medians.shape[:2], CHANNELS), np.float32)
    mask = np.ones_like(x)
    bands, decibels = medians[..., :10][..., order], medians[..., 10:]
    x[..., S1] = (np.nan_to_num(decibels) + 25) / 25
    x[..., S2] = np.nan_to_num(bands) / 1e4
    red, infrared = x[..., S2][..., PRESTO_BANDS.index("B4")], x[..., S2][..., PRESTO_BANDS.index("B8")]
    total = red + infrared
    x[..., NDVI] = np.divide(infrared - red, total, out=np.zeros_like(total), where=total > 0)
    mask[..., S1] = np.isnan(decibels)
    mask[..., S2] = np.isnan(bands)
    mask[..., NDVI] = mask[..., S2].max(axis=-1)
    x[mask == 1] = 0
    return x, mask


def _load(code: Path, weights: Path) -> torch.nn.Module:
    spec = importlib.util.spec_from_file_location("single_file_presto", code / "single_file_presto.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.Presto.construct()
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return model.eval()
