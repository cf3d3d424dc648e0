"""The packed network beside the reference, on the CPU; its parts for CUDA on stand-ins."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from naive_network import random_tokens
from random_networks import CONFIGS, embed, random_network
from standin_queues import StandInQueues, varlen_operator

from tessera_engine.backends.choosing import make_backend
from tessera_engine.backends.gpu.device import DeviceError
from tessera_engine.errors import InputError, TesseraError
from tessera_engine.model.drift import measure
from tessera_engine.model.installed import open_model
from tessera_engine.tokens import PackedTokens, Tokens, sequence
from tessera_export.onnx_graph import load_dequantised
from tessera_export.packed.backend import PackedBackend
from tessera_export.packed.graphs import MOST_GRAPHS, Graphs
from tessera_export.packed.network import PackedNetwork
from tessera_export.packed.running import Plain
from tessera_export.packed.shapes import filled, rounded_shape
from tessera_export.reference import SIZES
from tessera_export.torch_backend import baselines
from tessera_kernels.quantize import quantize

RAGGED = ([3, 1, 40, 17, 17, 3, 130], [5, 60, 1, 17, 2, 9, 256])


def tokens_of(s2, s1, seed=0):
    parts = (Tokens(*random_tokens(np.array(lengths), bands, seed)) for lengths, bands in ((s2, 10), (s1, 2)))
    return PackedTokens(*parts)


def backend_of(config, announce=print, device="cpu"):
    network = random_network(config, 3)
    facts = SimpleNamespace(generation=config.generation, dims=config.dims)
    model = SimpleNamespace(facts=facts, label="made up")
    return PackedBackend(model, network, device, announce), network


@pytest.mark.parametrize("lengths", [RAGGED, ([1], [1]), ([256], [2])], ids=["ragged", "one pixel", "long"])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_it_is_the_reference_in_float32(config, lengths):
    """The reference takes v1's repeats one by one; here they are multiplicities until the recurrence."""
    tokens, (backend, network) = tokens_of(*lengths), backend_of(config)
    wanted = embed(network, sequence(tokens, config.generation))
    np.testing.assert_allclose(backend._run(tokens), wanted, atol=2e-5)
    backend._limit = 50  # some pixels are longer than that
    np.testing.assert_allclose(backend._run(tokens), wanted, atol=2e-5)


@pytest.mark.parametrize("size", ["nano", pytest.param("large", marks=pytest.mark.slow), "v1.1"])
def test_float16_drifts_little(size):
    network, tokens = random_network(SIZES[size], 3), tokens_of([3, 20, 7, 20], [30, 4, 1, 9])
    half = Plain(PackedNetwork(network, torch.float16).eval(), SIZES[size].generation, "cpu")
    with torch.inference_mode():
        found = half.begin(tokens, np.arange(4))().embedding
    drift = measure(embed(network, sequence(tokens, SIZES[size].generation)), found)
    assert drift.max_difference < 5e-3
    assert drift.centred_mean > 0.9999


def test_the_backend_is_the_reference_on_the_demo_model():
    model, tokens = open_model("demo", "fp32"), tokens_of(*RAGGED)
    backend = make_backend(model, "torch", 1, "cpu")
    (reference,) = baselines(model, 1, "cpu").values()
    np.testing.assert_allclose(backend.run(tokens), reference().run(tokens), atol=2e-5)
    assert backend.computes_on == "packed, float32, CPU"
    assert backend.run(tokens.part(0, 0)).shape == (0, 128)


def test_int8_files_are_run_with_their_weights():
    tokens = tokens_of(*RAGGED)
    expected = make_backend(open_model("demo", "fp32"), "fused", 1).run(tokens)
    int8 = open_model("demo", "int8")
    backend = PackedBackend(int8, load_dequantised(int8.path), "cpu", print)
    drift = measure(expected, backend.run(tokens))
    assert 0.998 < drift.centred_mean < 1
    assert drift.max_difference > 1e-3  # they aren't the float32 file's


@pytest.fixture
def varlen(monkeypatch):
    monkeypatch.setattr(
        "tessera_export.packed.varlen.Varlen.attend",
        lambda self, q, k, v: varlen_operator(q, k, v, self.ends, self.longest),
    )


@pytest.mark.parametrize("config", [CONFIGS["v2"], CONFIGS["v2 with QK norm"]], ids=["v2", "QK norm"])
def test_fixed_shapes_are_captured_and_hold_other_pixels_too(config, varlen):
    network, queues, told = random_network(config, 3), StandInQueues(), []
    graphs = Graphs(PackedNetwork(network, torch.float32).eval(), 512, queues, told.append)
    with torch.inference_mode():
        for seed, (s2, s1) in enumerate([RAGGED, RAGGED, ([256, 3], [1, 30]), ([9], [8]), RAGGED]):
            tokens = tokens_of(s2, s1, seed)
            found = graphs.begin(tokens)().embedding
            np.testing.assert_allclose(found, embed(network, tokens), atol=2e-5)
    # Captured with the second batch. The third has the same shape, the fourth one of its own, which comes once
    assert (queues.captured, queues.replayed, told) == (1, 3, [])
    assert len({rounded_shape(tokens_of(*RAGGED, seed), 512) for seed in range(3)}) == 1


def test_a_shape_has_no_room_for_another_pixels_values(varlen):
    tokens = tokens_of([3, 9], [8, 2])
    shape = rounded_shape(tokens, 64)
    values, doy, multiplicity, ends = filled(tokens, shape)[:4]
    assert (shape.s2, shape.s1, shape.longest, len(values), len(doy)) == (64, 64, 64, 64, 64)
    assert ends.tolist() == [0, 3, 12] + [12] * (shape.pixels - 2)
    assert (multiplicity[12:] == 1).all()


def test_few_graphs_are_kept(varlen):
    network, queues = random_network(CONFIGS["v2"], 3), StandInQueues()
    graphs = Graphs(PackedNetwork(network, torch.float32).eval(), 8, queues, print)
    with torch.inference_mode():
        for length in range(8, 8 * (MOST_GRAPHS + 3), 8):
            for _ in range(2):
                graphs.begin(tokens_of([length], [1]))()
    assert queues.captured == MOST_GRAPHS + 2
    assert len(graphs._graphs) == MOST_GRAPHS


def test_where_capturing_fails_one_line_says_so_and_the_result_is_the_same(varlen):
    network, told = random_network(CONFIGS["v2"], 3), []
    queues = StandInQueues(RuntimeError("operation not permitted"))
    graphs = Graphs(PackedNetwork(network, torch.float32).eval(), 512, queues, told.append)
    tokens = tokens_of(*RAGGED)
    with torch.inference_mode():
        for _ in range(3):
            found = graphs.begin(tokens)().embedding
            np.testing.assert_allclose(found, embed(network, tokens), atol=2e-5)
    assert len(told) == 1
    assert "operation not permitted" in told[0]


def refuse_above(most, error):
    """A network's runner that fails for batches of more tokens."""

    def wrap(begin):
        def begin_if_small(tokens, pixels, prefix):
            if (tokens.s2.lengths + tokens.s1.lengths)[pixels].sum() > most:
                raise error
            return begin(tokens, pixels, prefix)

        return begin_if_small

    return wrap


def test_out_of_memory_halves_the_batch():
    told = []
    backend, network = backend_of(CONFIGS["v2"], told.append)
    tokens, backend._limit = tokens_of(*RAGGED), 600
    backend._plain.begin = refuse_above(400, torch.OutOfMemoryError("no room"))(backend._plain.begin)
    np.testing.assert_allclose(backend._run(tokens), embed(network, tokens), atol=2e-5)
    assert [("out of memory" in line, "300 tokens" in line) for line in told] == [(True, True)]
    backend._plain.begin = refuse_above(0, torch.OutOfMemoryError("no room"))(backend._plain.begin)
    with pytest.raises(TesseraError, match=r"too little free memory.*made up.*no room.*device=cpu"):
        backend._run(tokens)


def test_networks_whose_shapes_vary_are_not_compiled():
    network = random_network(CONFIGS["v2"], 3)
    model = SimpleNamespace(facts=SimpleNamespace(generation="v2", dims=32), label="made up")
    with pytest.raises(InputError, match="v2 networks on CUDA"):
        PackedBackend(model, network, "cpu", print, compiled=True)


def test_a_lost_gpu_is_an_error_that_says_what_to_do():
    backend, _ = backend_of(CONFIGS["v2"])
    backend._device = "xpu"
    backend._plain.begin = refuse_above(0, RuntimeError("device unavailable\nmore"))(backend._plain.begin)
    with pytest.raises(DeviceError, match=r"XPU stopped working: device unavailable; .*kept.*same command"):
        backend._run(tokens_of(*RAGGED))


def test_codes_are_made_where_the_embeddings_are(varlen):
    """As on CUDA; elsewhere the CPU makes them."""
    backend, _ = backend_of(CONFIGS["v2"])
    tokens, prefix = tokens_of(*RAGGED), 16
    backend._limit = 50
    codes, scales = quantize(backend._run(tokens)[:, :prefix])
    backend._makes_codes = True
    result = backend._start(tokens, prefix)()
    assert result.embedding is None
    np.testing.assert_array_equal(result.codes.codes, codes)
    np.testing.assert_array_equal(result.codes.scales, scales)
    network, queues = random_network(CONFIGS["v2"], 3), StandInQueues()
    graphs = Graphs(PackedNetwork(network, torch.float32).eval(), 512, queues, print)
    with torch.inference_mode():
        for _ in range(3):
            embedding = graphs.begin(tokens)().embedding.copy()
            found = graphs.begin(tokens, prefix)().codes
            codes, scales = quantize(embedding[:, :prefix])
            np.testing.assert_array_equal(found.codes, codes)
            np.testing.assert_array_equal(found.scales, scales)
    assert queues.replayed == 5


@pytest.mark.parametrize("on_device", [True, False])
def test_values_that_are_not_finite_are_refused_whoever_makes_the_codes(on_device):
    backend, tokens = make_backend(open_model("demo", "fp32"), "torch", 1, "cpu"), tokens_of(*RAGGED)
    backend._makes_codes = on_device
    tokens.s2.values[4] = np.nan
    with pytest.raises(TesseraError, match=r"backend torch .*aren't finite for 1 of 7 pixels.*demo"):
        backend.start(tokens, 16).codes()
