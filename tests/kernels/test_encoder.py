"""The fused network against its naive twin, on every instruction set that this CPU can run."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from naive_network import NaiveNetwork, exp_floor, exp_nearest, random_arrays, random_tokens
from numba import njit

from tessera_kernels.encoder import Network
from tessera_kernels.encoder.isa import available
from tessera_kernels.encoder.layout import BLOCK_ROWS, KEY_ROWS_BEHIND, Floats, Values
from tessera_kernels.encoder.pack import Linear, aligned, pack_tiles
from tessera_kernels.encoder.plan import FLOAT32, INT8, Arithmetic, make_plan
from tessera_kernels.encoder.tiles import tile_store
from tessera_kernels.threads import set_threads

pytestmark = pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="emitted code can't run as plain Python"
)

# The layouts of instruction sets that this CPU may not have, with plain loops instead of their instruction
LAYOUTS = {
    "like avx512-vnni": Arithmetic(16, 32, 4, "plain", unsigned_first=True),
    "like avx-vnni": Arithmetic(8, 16, 4, "plain", unsigned_first=True),
    "like arm-dotprod": Arithmetic(4, 32, 4, "plain"),
}
INTEGER = {isa: INT8[isa] for isa in available()} | LAYOUTS
FLOAT = {isa: FLOAT32[isa] for isa in available()}

S2_LENGTHS = [1, 7, 16, 17, 33, 64, 2, 1, 256, 5]
S1_LENGTHS = [3, 1, 32, 8, 1, 256, 40, 9, 15, 6]


def tokens():
    return random_tokens(S2_LENGTHS, 10, 1), random_tokens(S1_LENGTHS, 2, 2)


def exp_of(arithmetic):
    """The exponential that the kernels use: an approximation where 8-bit weights follow it."""
    if arithmetic.is_float:
        return np.exp
    return exp_floor if arithmetic.has_scale else exp_nearest


@njit
def product(plan, a, groups, w, out):
    tile_store(plan, a, groups, w, 0, out)


@pytest.mark.parametrize("isa", INTEGER)
@pytest.mark.parametrize("is_signed", [True, False])
def test_products_are_the_exact_integers_on_every_instruction_set(isa, is_signed):
    plan = make_plan(INTEGER[isa], 144, 384, 4, False)
    arithmetic = plan.arithmetic
    rows, width, inputs = plan.tile_rows, plan.gemm_vectors * arithmetic.lanes, 48
    rng = np.random.default_rng(3)
    low, high = (-127, 127) if is_signed else (0, 255)
    a = rng.integers(low, high + 1, (rows, inputs))
    a[0], a[1] = low, high  # what saturates where 16-bit sums do
    weight = rng.integers(-127, 128, (inputs, width)).astype(np.int8)
    weight[:, 0], weight[:, 1] = 127, -127
    layer = Linear(weight, np.ones(width, np.float32), np.zeros(width, np.float32))
    packed = np.frombuffer(pack_tiles(plan, layer, plan.gemm_vectors, is_signed), np.uint8)
    memory = aligned(packed.size + 64)
    memory[: packed.size] = packed
    offset = arithmetic.offset(is_signed)
    stored = (a + offset).astype({4: np.uint8 if offset >= 0 else np.int8, 2: np.int16}[arithmetic.group])
    out = np.zeros((rows, width), np.float32)
    scales = np.ones(rows, np.float32)
    product(
        plan, Values(stored.ctypes.data, stored.strides[0], scales.ctypes.data, 0), inputs // arithmetic.group,
        memory.ctypes.data, Floats(out.ctypes.data, out.strides[0]),
    )  # fmt: skip
    np.testing.assert_array_equal(out, a @ weight.astype(np.int64))


SMALL = (32, 4, 2, 48, False)
QK_NORM = (32, 4, 1, 48, True)
AWKWARD = (88, 4, 1, 100, False)
"""Width, heads, layers, FFN width, qk_norm. Awkward like the medium student: nothing is a multiple of anything."""

# Each network has to be compiled, for 20 s to a minute: what a test run can do without is marked slow.
CASES = [
    (available()[0], SMALL),
    (available()[0], QK_NORM),
    (available()[0], AWKWARD),
    ("plain", SMALL),
    *(
        pytest.param(isa, AWKWARD, marks=pytest.mark.slow)
        for isa in INTEGER
        if isa not in {available()[0], "plain"}
    ),
]


@pytest.mark.parametrize("isa", FLOAT)
def test_float32_equals_the_naive_twin(isa):
    width, heads, layers, ffn, qk_norm = SMALL
    arrays = random_arrays(width, heads, layers, ffn, qk_norm=qk_norm)
    found = Network(arrays, heads, layers, FLOAT[isa]).run(*tokens())
    wanted = NaiveNetwork(arrays, heads, layers).run(*tokens())
    np.testing.assert_allclose(found, wanted, atol=2e-5)


@pytest.mark.parametrize(("isa", "case"), CASES)
def test_int8_equals_the_naive_twin(isa, case):
    width, heads, layers, ffn, qk_norm = case
    arrays = random_arrays(width, heads, layers, ffn, qk_norm=qk_norm, int8=True)
    found = Network(arrays, heads, layers, INTEGER[isa]).run(*tokens())
    wanted = NaiveNetwork(arrays, heads, layers, exp_of(INTEGER[isa])).run(*tokens())
    # A value that lies between two integers may fall to either side; nothing else may differ
    assert np.abs(found - wanted).max() < 0.1
    assert np.abs(found - wanted).mean() < 2e-3
    float_arrays = {
        name.removesuffix(".int8"): values * arrays[name.replace(".int8", ".scale")] if name.endswith(".int8") else values
        for name, values in arrays.items()
    }  # fmt: skip
    exact = NaiveNetwork(float_arrays, heads, layers).run(*tokens())
    assert np.abs(found - wanted).mean() < 0.3 * np.abs(wanted - exact).mean()


@pytest.fixture(scope="module")
def networks():
    arrays = [random_arrays(32, 4, 2, 48, int8=int8) for int8 in (False, True)]
    return [
        Network(each, 4, 2, kinds[available()[0]])
        for each, kinds in zip(arrays, (FLOAT, INTEGER), strict=True)
    ]


def part(tokens, pixels):
    values, doy, multiplicity, offsets = tokens
    index = np.concatenate([np.arange(offsets[p], offsets[p + 1]) for p in pixels])
    lengths = [offsets[p + 1] - offsets[p] for p in pixels]
    return (
        values[index],
        doy[index],
        multiplicity[index],
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )


def test_a_pixel_is_the_same_whatever_its_neighbours(networks):
    s2, s1 = tokens()
    order = [8, 3, 3, 0, 9, 5, 1, 7, 2, 4, 6]
    for network in networks:
        whole = network.run(s2, s1)
        shuffled = network.run(part(s2, order), part(s1, order))
        np.testing.assert_array_equal(shuffled, whole[order])
        for p in range(len(S2_LENGTHS)):
            np.testing.assert_array_equal(network.run(part(s2, [p]), part(s1, [p]))[0], whole[p])


def test_threads_do_not_change_a_bit(networks):
    import numba

    s2, s1 = (random_tokens(np.random.default_rng(5).integers(1, 70, 300), bands, 6) for bands in (10, 2))
    for network in networks:
        results = []
        for threads in range(1, numba.config.NUMBA_NUM_THREADS + 1):
            set_threads(threads)
            results.append(network.run(s2, s1))
        for result in results[1:]:
            np.testing.assert_array_equal(result, results[0])


def test_multiplicity_is_the_same_as_copies(networks):
    s2, s1 = tokens()
    values, doy, multiplicity, offsets = s2
    repeats = multiplicity.astype(int)
    lengths = np.add.reduceat(repeats, offsets[:-1])
    copies = (
        values.repeat(repeats, axis=0),
        doy.repeat(repeats),
        np.ones(repeats.sum(), np.float32),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )
    float32, _ = networks
    np.testing.assert_allclose(float32.run(copies, s1), float32.run(s2, s1), atol=1e-5)


@pytest.mark.parametrize("dims", [1, 5, 100])
def test_an_embedding_need_not_fill_registers(networks, dims):
    pixels = random_tokens([3] * 100, 10, 1), random_tokens([2] * 100, 2, 2)  # blocks of several threads
    for network, int8 in zip(networks, (False, True), strict=True):
        arrays = random_arrays(32, 4, 2, 48, dims=dims, int8=int8)
        found = Network(arrays, 4, 2, network.plan.arithmetic).run(*pixels)
        assert found.shape == (100, dims)
        wanted = NaiveNetwork(arrays, 4, 2, exp_of(network.plan.arithmetic)).run(*pixels)
        np.testing.assert_allclose(found, wanted, atol=0.15 if int8 else 3e-5)


LENGTHS = st.integers(1, 8) | st.integers(1, 256)


@given(st.lists(st.tuples(LENGTHS, LENGTHS), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_lengths_and_multiplicities_equal_the_naive_twin(networks, lengths, seed):
    rng = np.random.default_rng(seed)
    both = []
    for each, bands in zip(zip(*lengths, strict=True), (10, 2), strict=True):
        values, doy, multiplicity, offsets = random_tokens(list(each), bands, seed)
        multiplicity = rng.integers(1, 257, multiplicity.shape).astype(np.float32)
        both.append((values, doy, multiplicity, offsets))
    for network, int8 in zip(networks, (False, True), strict=True):
        found = network.run(*both)
        arrays, exp = random_arrays(32, 4, 2, 48, int8=int8), exp_of(network.plan.arithmetic)
        wanted = NaiveNetwork(arrays, 4, 2, exp).run(*both)
        # In int8, a value that lies between two integers may fall to either side
        np.testing.assert_allclose(found, wanted, atol=0.15 if int8 else 3e-5)


def test_no_pixels_are_no_embeddings(networks):
    for network in networks:
        assert network.run(random_tokens([], 10), random_tokens([], 2)).shape == (0, 128)


def test_tiles_are_as_wide_as_pads_least():
    wide = INT8["avx512-vnni"]
    assert make_plan(wide, 144, 384, 4, False).gemm_vectors == 3  # nano: 9 and 24 registers
    assert make_plan(wide, 256, 1024, 4, False).gemm_vectors == 4  # small: 16 and 64


@pytest.mark.parametrize("arithmetic", [*INT8.values(), *FLOAT32.values()])
@pytest.mark.parametrize("head_dim", [8, 16, 22, 36, 64, 110, 160])
def test_plans_fit_the_registers(arithmetic, head_dim):
    plan = make_plan(arithmetic, 4 * head_dim, 1000, 4, False)
    assert plan.head_width >= head_dim
    # Sums, one row of weights, one activation, and a product where it is summed apart
    needed = plan.tile_rows * plan.gemm_vectors + plan.gemm_vectors + 1 + arithmetic.sums_apart
    assert needed <= arithmetic.registers
    assert BLOCK_ROWS % plan.tile_rows == BLOCK_ROWS % plan.rows_together == 0
    assert -(-head_dim // plan.context_rows) * plan.context_rows <= plan.head_width
    assert plan.query_vectors * max(plan.key_rows, plan.context_rows) <= arithmetic.accumulators
    assert plan.tail_rows - 1 <= KEY_ROWS_BEHIND
    assert plan.key_rows % arithmetic.group == 0
