"""The reference against the published code's outputs, and the exactness of multiplicities."""

from functools import cache

import conformance
import numpy as np
import pytest
import torch
from conformance import Rectangles
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import naive_multiplicity, naive_repeated_positions

from tessera_engine.model.statistics import V2_STATISTICS
from tessera_export.checkpoint import load_checkpoint
from tessera_export.reference import SIZES, Reference, ReferenceConfig, day_of_year_table

PARAMETERS = {"nano": 1_066_402, "small": 7_112_322, "medium": 21_031_506, "large": 43_831_170}


def embed(model: Reference, inputs: Rectangles) -> np.ndarray:
    with torch.inference_mode():
        return model(*map(torch.from_numpy, inputs)).numpy()


@cache
def tiny(qk_norm: bool) -> Reference:
    return load_checkpoint(conformance.checkpoint("tiny_qknorm" if qk_norm else "tiny")).model


def random_pixel(rng: np.random.Generator, n: int, bands: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((n, bands), np.float32), rng.integers(1, 367, n, np.int32)


@pytest.mark.parametrize("model", conformance.MODELS)
@pytest.mark.parametrize("tile", conformance.TILES)
def test_reference_gives_the_published_outputs(model, tile):
    reference = load_checkpoint(conformance.checkpoint(model)).model
    embeddings = embed(reference, conformance.conformance_tile(tile).inputs)
    conformance.check_conformance(model, tile, embeddings)


def test_statistics_are_those_of_the_conformance_tokens():
    assert V2_STATISTICS.s2_mean == conformance.MEAN_S2
    assert V2_STATISTICS.s2_std == conformance.STD_S2
    assert (V2_STATISTICS.s1_ascending_mean, V2_STATISTICS.s1_ascending_std) == conformance.ASCENDING
    assert (V2_STATISTICS.s1_descending_mean, V2_STATISTICS.s1_descending_std) == conformance.DESCENDING


@pytest.mark.parametrize("size", PARAMETERS)
def test_published_sizes_have_the_published_number_of_parameters(size):
    with torch.device("meta"):
        model = Reference(SIZES[size])
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[size]


@pytest.mark.parametrize("d_model", [32, 144, 440])
def test_day_of_year_table_is_the_sinusoid(d_model):
    table = day_of_year_table(d_model).numpy()
    assert table.shape == (367, d_model)
    assert table.dtype == np.float32
    angle = np.arange(367)[:, None] * 10000.0 ** (-np.arange(0, d_model, 2) / d_model)
    np.testing.assert_allclose(
        table[:, 0::2], np.sin(angle), atol=5e-5
    )  # the published float32 angle is that far
    np.testing.assert_allclose(table[:, 1::2], np.cos(angle), atol=5e-5)


@given(n=st.integers(1, 700))
def test_naive_multiplicity_fills_the_bin(n):
    positions, multiplicity = naive_multiplicity(n)
    size = min(256, -(-n // 8) * 8)
    assert multiplicity.sum() == size
    assert multiplicity.min() >= 1
    assert len(positions) == min(n, 256)
    assert positions[0] == 0
    assert positions[-1] == n - 1
    assert (np.diff(positions) > 0).all()


@settings(max_examples=25)
@given(
    n2=st.integers(1, 40) | st.sampled_from([250, 256, 257, 300]),
    n1=st.integers(1, 40),
    qk_norm=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_multiplicities_equal_explicit_copies(n2, n1, qk_norm, seed):
    rng = np.random.default_rng(seed)
    short, long = [], []
    for n, bands in ((n2, 10), (n1, 2)):
        values, doy = random_pixel(rng, n, bands)
        positions, multiplicity = naive_multiplicity(n)
        copies = naive_repeated_positions(n)
        short += [values[positions][None], doy[positions][None], multiplicity[None]]
        long += [values[copies][None], doy[copies][None], np.ones((1, len(copies)), np.float32)]
    model = tiny(qk_norm)
    np.testing.assert_allclose(embed(model, Rectangles(*short)), embed(model, Rectangles(*long)), atol=2e-5)


@pytest.mark.parametrize("qk_norm", [False, True])
def test_filling_has_no_effect_whatever_it_holds(qk_norm):
    rng = np.random.default_rng(1)
    model = tiny(qk_norm)
    inputs, noisy = [], []
    for bands in (10, 2):
        values = rng.standard_normal((3, 12, bands), np.float32)
        doy = rng.integers(1, 367, (3, 12), np.int32)
        multiplicity = rng.integers(1, 4, (3, 12)).astype(np.float32)
        multiplicity[1, 5:] = multiplicity[2, :11] = 0
        filling = multiplicity == 0
        inputs += [np.where(filling[..., None], 0, values), np.where(filling, 0, doy), multiplicity]
        noisy += [np.where(filling[..., None], 50 * values, values), doy, multiplicity]
    clean = embed(model, Rectangles(*inputs))
    np.testing.assert_array_equal(clean, embed(model, Rectangles(*noisy)))
    alone = embed(model, Rectangles(*(array[1:2, :5] for array in inputs)))
    np.testing.assert_allclose(clean[1:2], alone, atol=2e-6)


@pytest.mark.parametrize("qk_norm", [False, True])
def test_gradients_reach_every_parameter(qk_norm):
    torch.manual_seed(0)
    model = Reference(ReferenceConfig(4, 2, 2, 24, qk_norm=qk_norm))
    inputs = conformance.conformance_tile("edge").inputs
    target = torch.randn(32, 128)
    loss = ((model(*(torch.from_numpy(array[:32]) for array in inputs)) - target) ** 2).mean()
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        if not name.endswith("query.bias"):  # moves every logit of the pooling alike: softmax doesn't see it
            assert parameter.grad.abs().max() > 0, name
