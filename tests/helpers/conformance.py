"""The conformance tiles as rectangles of tokens, made by the naive twins."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from naive import (
    Choose,
    Float,
    Int,
    naive_codes,
    naive_distinct,
    naive_sequence_tokens,
    naive_tokens_s1,
    naive_tokens_s2,
)
from numpy.typing import NDArray
from places import DATA

from tessera_engine.model.statistics import FLAVOURS

FOLDER = DATA / "conformance"
MODELS = ("tiny", "tiny_qknorm", "nano")
TILES = ("edge", "long", "no_sar")
V1_1_TILES = ("edge", "long")
V1_1_FLAVOURS = ("mpc", "aws")

MEAN_S2 = (1633.0042, 1341.1090, 1539.5536, 3054.8269, 3117.4658, 2004.1648, 2694.7275, 2945.1504, 2266.6079, 1657.3094)  # fmt: skip
STD_S2 = (1999.4603, 2014.7549, 1929.2201, 1754.2493, 1649.9807, 1936.8988, 1748.6041, 1708.6991, 1207.5250, 1108.6046)  # fmt: skip
ASCENDING = ((5909.3921, 3405.0322), (1507.1750, 1531.2615))
DESCENDING = ((5816.1382, 3277.7576), (1554.6475, 1546.4733))

PixelTokens = tuple[Float, Int, Float]


class Rectangles(NamedTuple):
    """The network's six inputs for B pixels, filled up with multiplicity 0."""

    s2: Float
    s2_doy: Int
    s2_multiplicity: Float
    s1: Float
    s1_doy: Int
    s1_multiplicity: Float


class Tile(NamedTuple):
    """A tile's tokens, and which of its pixels (H, W) have any."""

    inputs: Rectangles
    valid: NDArray[np.bool_]


def checkpoint(model: str) -> Path:
    return FOLDER / "checkpoints" / f"{model}.pt"


def expected(model: str, tile: str) -> Float:
    """(H, W, 128) float32, NaN where a pixel has no observation."""
    return np.load(FOLDER / "expected" / model / f"{tile}.npy")


def expected_codes(model: str, tile: str) -> tuple[NDArray[np.int8], Float]:
    """(H, W, 128) int8 and (H, W) float32."""
    with np.load(FOLDER / "expected" / model / f"{tile}_int8.npz") as codes:
        return codes["code"], codes["scale"]


def rectangle(pixels: list[PixelTokens]) -> tuple[Float, Int, Float]:
    """Pixels' tokens as values (B, T, bands), days (B, T) and multiplicities (B, T)."""
    length = max(len(doy) for _, doy, _ in pixels)
    values = np.zeros((len(pixels), length, pixels[0][0].shape[1]), np.float32)
    days = np.zeros((len(pixels), length), np.int32)
    multiplicities = np.zeros((len(pixels), length), np.float32)
    for i, (value, doy, multiplicity) in enumerate(pixels):
        values[i, : len(doy)], days[i, : len(doy)], multiplicities[i, : len(doy)] = value, doy, multiplicity
    return values, days, multiplicities


class Rules(NamedTuple):
    """How observations become tokens."""

    s2: tuple[tuple[float, ...], ...] = (MEAN_S2, STD_S2)
    s1: tuple[tuple[float, ...], ...] = (*ASCENDING, *DESCENDING)
    choose: Choose = naive_distinct


V2 = Rules()


@cache
def read_tile(folder: Path, limit: int | None = None, rules: Rules = V2) -> Tile:
    """A d-pixel tile's tokens; with `limit` of its first pixels only (row-major)."""
    names = ("bands", "masks", "doys")
    bands, masks, doys = (np.load(folder / f"{name}.npy") for name in names)
    asc, asc_doy, desc, desc_doy = (
        np.load(folder / f"sar_{name}.npy")
        for name in ("ascending", "ascending_doy", "descending", "descending_doy")
    )
    height, width = masks.shape[1:]
    valid = np.zeros((height, width), bool)
    s2, s1 = [], []
    for row, col in list(np.ndindex(height, width))[:limit]:
        pixel = (slice(None), row, col)
        valid[row, col] = bool(masks[pixel].any() or asc[pixel].any() or desc[pixel].any())
        if valid[row, col]:
            s2.append(naive_tokens_s2(bands[pixel], masks[pixel], doys, *rules.s2, rules.choose))
            s1.append(naive_tokens_s1(asc[pixel], asc_doy, desc[pixel], desc_doy, *rules.s1, rules.choose))
    return Tile(Rectangles(*rectangle(s2), *rectangle(s1)), valid)


def conformance_tile(name: str) -> Tile:
    return read_tile(FOLDER / "tiles" / name)


def v1_1_tile(name: str, flavour: str) -> Tile:
    """A tile as v1.1's sequences."""
    s = FLAVOURS["v1.1"][flavour]
    orbits = (s.s1_ascending_mean, s.s1_ascending_std, s.s1_descending_mean, s.s1_descending_std)
    return read_tile(
        FOLDER / "tiles" / name, None, Rules((s.s2_mean, s.s2_std), orbits, naive_sequence_tokens)
    )


def cosine(a: Float, b: Float) -> Float:
    """Cosine of each pair of rows of a and b (N, K)."""
    return (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


def check_conformance(model: str, tile: str, embeddings: Float) -> None:
    """Hold embeddings (of the tile's valid pixels, row-major) to the published code's outputs.

    Args:
        model: folder of the expected outputs.
        tile: their name there; the tile's own, and the flavour behind it for v1.1.
        embeddings: (N, 128) float32.
    """
    valid = conformance_tile(tile.split("_")[0] if model == "v1_1_tiny" else tile).valid
    wanted = expected(model, tile)
    given = np.isfinite(wanted).all(axis=2)
    # v1.1 embeds a pixel without any observation, which is nodata here
    np.testing.assert_array_equal(given, np.ones_like(valid) if model == "v1_1_tiny" else valid)
    np.testing.assert_array_equal(np.isnan(wanted).all(axis=2), ~given)
    wanted = wanted[valid]
    assert embeddings.dtype == np.float32
    assert np.abs(embeddings - wanted).max() <= 2e-4
    assert cosine(embeddings, wanted).min() >= 0.999999

    smallest_scale = 1e-8 if model == "v1_1_tiny" else 1e-12
    codes, scales = map(np.stack, zip(*(naive_codes(e, smallest_scale) for e in embeddings), strict=True))
    check_codes(model, tile, codes, scales, valid)


def check_codes(
    model: str, tile: str, codes: NDArray[np.int8], scales: Float, valid: NDArray[np.bool_]
) -> None:
    """Hold int8 codes (N, 128) and scales (N,) to the published ones: equal but for rounding ties."""
    wanted = expected(model, tile)[valid]
    wanted_codes, wanted_scales = (array[valid] for array in expected_codes(model, tile))
    np.testing.assert_allclose(scales, wanted_scales, rtol=1e-4)
    difference = np.abs(codes.astype(int) - wanted_codes)
    ties = difference > 0
    assert difference.max() <= 1
    assert np.count_nonzero(ties) <= np.ceil(ties.size / 10_000)  # the smallest tile has 4,608 codes
    from_half = np.abs((wanted / wanted_scales[:, None])[ties] % 1 - 0.5)
    assert (from_half <= 1e-3).all()


def run_onnx(path: Path, inputs: Rectangles) -> Float:
    """(B, dims) from ONNX Runtime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (embeddings,) = session.run(["embedding"], inputs._asdict())
    return embeddings
