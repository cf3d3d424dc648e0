"""Rectangles of packed tokens beside their naive twin."""

from __future__ import annotations

import numpy as np
import pytest
from naive_network import random_tokens

from tessera_kernels import rectangles
from tessera_kernels.observe import Packed
from tessera_kernels.rectangles import fill_rectangle
from tessera_kernels.threads import get_threads, set_threads


def naive_rectangle(tokens, offsets, pixels, steps):
    out = np.zeros((len(pixels), steps, tokens.values.shape[1]), np.float32)
    doy, multiplicity = np.zeros(out.shape[:2], np.int32), np.zeros(out.shape[:2], np.float32)
    for i, pixel in enumerate(pixels):
        own = range(offsets[pixel], offsets[pixel + 1])
        for step in range(steps):
            token = own[step] if step < len(own) else own[0]
            out[i, step], doy[i, step] = tokens.values[token], tokens.doy[token]
            multiplicity[i, step] = tokens.multiplicity[token] if step < len(own) else 0
    return out, doy, multiplicity


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("lengths", "pixels", "steps"), [([3, 1, 7], [2, 0], 8), ([5], [0], 5), ([1, 1], [1, 0, 1], 1)]
)
def test_they_are_those_of_the_twin(lengths, pixels, steps, threads, monkeypatch):
    monkeypatch.setattr(rectangles, "TOKENS_A_THREAD", 0 if threads > 1 else 1 << 30)
    before = get_threads()
    set_threads(threads)
    try:
        *arrays, offsets = random_tokens(np.array(lengths), 10)
        tokens, pixels = Packed(*arrays), np.array(pixels)
        found = fill_rectangle(tokens, offsets, pixels, steps)
    finally:
        set_threads(before)
    for array, wanted in zip(found, naive_rectangle(tokens, offsets, pixels, steps), strict=True):
        assert array.dtype == wanted.dtype
        np.testing.assert_array_equal(array, wanted)
