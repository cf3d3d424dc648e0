"""Codes and scales made on a device have the bits of the CPU's: by Triton's interpreter, and by PyTorch."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hard_embeddings import hard_embeddings, spoiled_embeddings
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tessera_engine.backends.gpu.fused.programs import find_programs
from tessera_export.gpu_kernels.build import FORMS, question_facts
from tessera_export.packed.codes import codes_of
from tessera_export.reference import SIZES
from tessera_kernels.quantize import MIN_SCALES, NODATA_CODE, quantize

PREFIXES = (128, 64, 32, 16)


def by_kernel(embedding, prefix):
    """What `fuse` does behind the network."""
    pytest.importorskip("triton", reason="the kernels' interpreter needs Triton")
    from standin_codes import make_codes

    n = len(embedding)
    codes, scales = torch.full((n, prefix), 99, dtype=torch.int8), torch.full((n,), 99.0)
    make_codes[(n,)](torch.from_numpy(embedding), codes, scales, prefix, DIMS=embedding.shape[1])
    return codes.numpy(), scales.numpy()


def by_pytorch(embedding, prefix, generation="v2"):
    return tuple(each.numpy() for each in codes_of(torch.from_numpy(embedding), prefix, generation))


def assert_same(found, expected):
    for each, wanted in zip(found, expected, strict=True):
        assert each.dtype == wanted.dtype
        np.testing.assert_array_equal(each.view(f"u{each.itemsize}"), wanted.view(f"u{wanted.itemsize}"))


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("make", [by_kernel, by_pytorch])
def test_hard_ones_have_the_bits_of_the_cpus(make, prefix):
    embedding = hard_embeddings()
    assert_same(make(embedding, prefix), quantize(embedding[:, :prefix]))


@given(hnp.arrays(np.float32, (2, 128), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
@settings(max_examples=50)
def test_any_finite_ones_have_the_bits_of_the_cpus(embedding):
    for make in (by_kernel, by_pytorch):
        assert_same(make(embedding, 64), quantize(embedding[:, :64]))


@pytest.mark.parametrize("make", [by_kernel, by_pytorch])
def test_what_is_not_finite_is_marked_wherever_it_is(make):
    embedding = spoiled_embeddings()
    assert_same(make(embedding, 128), quantize(embedding))
    codes, scales = make(embedding, 16)  # most of it lies behind the prefix
    assert np.isnan(scales).tolist() == [False] + [True] * 6
    assert (codes[1:] == NODATA_CODE).all()
    assert (codes[0] == 127).all()


@pytest.mark.parametrize("generation", MIN_SCALES)
def test_pytorch_follows_each_generations_smallest_scale(generation):
    embedding = np.concatenate([hard_embeddings(), np.full((1, 128), 1e-9, np.float32)])
    assert_same(by_pytorch(embedding, 128, generation), quantize(embedding, generation))


@pytest.mark.parametrize("size", FORMS)
def test_the_compiled_kernels_divide_and_round_as_float32_does(size):
    """Read from the PTX: no approximate division, and no rounder that a compiler has taken out."""
    (kernel,) = (
        kernel
        for name, kernel in find_programs(question_facts(SIZES[size])).kernels.items()
        if name == "fuse"
    )
    ptx = kernel.ptx.decode()
    values = 32 * 128 // (32 * kernel.warps)  # of a thread
    assert len(re.findall(r"\bdiv\.rn\.f32\b", ptx)) > values
    assert "div.rn.ftz" not in ptx
    rounders = [ptx.count(f"0f{bits}") for bits in ("4B400000", "CB400000")]
    assert min(rounders) >= values, rounders
