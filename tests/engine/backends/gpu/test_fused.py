"""Our kernels for GPUs, from the backend to the driver: launches go to a stand-in, which lets Triton's interpreter run them."""

from __future__ import annotations

import ctypes
import re
import shutil
import sys

import numpy as np
import pytest
import torch
from conformance import FOLDER, TILES, checkpoint
from conformance import expected as conformance_expected
from naive_network import random_tokens
from random_networks import inputs_of

from tessera_engine.backends.choosing import make_backend
from tessera_engine.backends.cuda import CudaBackend
from tessera_engine.backends.gpu import cuda
from tessera_engine.backends.gpu.device import DeviceError, OutOfDeviceMemory
from tessera_engine.backends.gpu.fused.answer import TOLERANCE, question
from tessera_engine.backends.gpu.fused.network import GpuNetwork
from tessera_engine.backends.gpu.fused.programs import find_programs
from tessera_engine.backends.gpu.fused.weights import LOG2_E
from tessera_engine.backends.gpu.held import Held
from tessera_engine.errors import InputError, TesseraError
from tessera_engine.model.drift import measure
from tessera_engine.model.file import read_arrays, read_model_file
from tessera_engine.model.installed import open_model
from tessera_engine.scenes import open_scene
from tessera_engine.tokens import PackedTokens, Tokens, pack
from tessera_export.export import export_model
from tessera_kernels.quantize import quantize

pytest.importorskip("triton", reason="the kernels' interpreter needs Triton")
pytestmark = [
    pytest.mark.skipif(
        shutil.which("cc") is None, reason="no C compiler to make the stand-in of the driver with"
    ),
    pytest.mark.skipif(sys.platform != "linux", reason="the stand-in of the driver is made for Linux"),
]


@pytest.fixture
def gpu(driver):
    """A GPU with the interpreter for the demo model's kernels."""
    from standin_kernels import Interpreted

    from tessera_export.reference import SIZES

    device = cuda.Cuda()
    device.interpreter = Interpreted(driver, open_model("demo", "fp32").facts, SIZES["nano"])
    return device


def tokens_of(s2, s1, seed=0):
    parts = (Tokens(*random_tokens(np.array(lengths), bands, seed)) for lengths, bands in ((s2, 10), (s1, 2)))
    return PackedTokens(*parts)


def backend_on(gpu, precision="fp32", told=None, model=None):
    """Without the known answer, which has its own test and takes seconds in the interpreter."""
    import tessera_engine.backends.cuda as module

    check, module.check_answer = module.check_answer, lambda *_: None
    try:
        return CudaBackend(
            model or open_model("demo", precision), gpu, (told if told is not None else []).append
        )
    finally:
        module.check_answer = check


def test_embeddings_are_those_of_the_cpu(gpu):
    tokens = tokens_of([3, 130], [40, 2])
    backend = backend_on(gpu)
    found = backend.run(tokens)
    expected = make_backend(backend.model, "fused", 1).run(tokens)
    drift = measure(expected, found)
    assert drift.max_difference < TOLERANCE
    assert drift.centred_mean > 0.99999
    names = [name for name, _ in gpu.interpreter.launched]
    assert names == [
        "encode", "embed_rows", *["project_rows", "layer_rows"] * 2, "pool_rows", "encode", "fuse",
    ]  # fmt: skip
    assert backend.description == "cuda Triton 3.6.0 (float16, Stand-in driver)"


@pytest.mark.parametrize(
    ("s2", "s1"),
    [
        pytest.param([1], [1], id="one"),
        pytest.param([16, 97, 3], [17, 1, 15], id="tiles"),
        pytest.param([130], [3], id="long", marks=pytest.mark.slow),
    ],
)
def test_in_float32_they_are_the_references(driver, s2, s1):
    """With the weights that the GPU has, which are rounded to float16."""
    from standin_kernels import Interpreted

    from tessera_export.onnx_graph import network_of
    from tessera_export.reference import SIZES

    backend, tokens = backend_on(cuda.Cuda()), tokens_of(s2, s1, seed=1)
    interpreter = Interpreted(driver, backend.model.facts, SIZES["nano"], exact=True)
    facts = backend.model.facts
    with torch.inference_mode():
        network = network_of(rounded(read_arrays(backend.model), facts), facts)
        expected = network(*inputs_of(tokens, np.arange(len(tokens)))).numpy()
    embedding = backend.run(tokens)
    print(f"largest difference {np.abs(embedding - expected).max():.1e}")
    np.testing.assert_allclose(embedding, expected, atol=2e-5)
    assert interpreter.launched
    codes, scales = quantize(embedding[:, :16])
    made = backend.start(tokens, 16).codes()
    np.testing.assert_array_equal(made.codes, codes)
    np.testing.assert_array_equal(made.scales.view(np.uint32), scales.view(np.uint32))


ROUNDED = re.compile(r"(embedding\.\d|qkv|out|up|down|fusion\.\d)\.weight$")


def rounded(arrays, facts):
    """Weights as the GPU has them: in float16, those of the queries with the attention's scale in them."""
    factor = np.float32((facts.d_model // facts.num_heads) ** -0.5) * LOG2_E
    found = {
        name: array.astype(np.float16).astype(np.float32) if ROUNDED.search(name) else array
        for name, array in arrays.items()
    }
    for name, weight in arrays.items():
        if name.endswith("qkv.weight"):
            queries = (weight[:, : facts.d_model] * factor).astype(np.float16) / np.float64(factor)
            found[name] = np.hstack([queries.astype(np.float32), found[name][:, facts.d_model :]])
    return found


def test_small_is_the_reference_in_float32(driver):
    """The network alone, with the weights of the known answer. All of its pixels go through the kernels for long ones."""
    from standin_kernels import Interpreted

    from tessera_export.gpu_kernels.build import question_facts
    from tessera_export.onnx_graph import network_of
    from tessera_export.reference import SIZES

    facts, tokens = question_facts(SIZES["small"]), tokens_of([3], [1], seed=2)
    arrays, device, programs = question(facts)[0], cuda.Cuda(), find_programs(facts)
    interpreter = Interpreted(driver, facts, SIZES["small"], exact=True)
    network = GpuNetwork(device, arrays, facts, programs)
    found = network.begin(tokens, None, Held(device), device.make_stream()).embedding
    with torch.inference_mode():
        expected = network_of(rounded(arrays, facts), facts)(*inputs_of(tokens, np.arange(1))).numpy()
    print(f"largest difference {np.abs(found - expected).max():.1e}")
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert {name for name, _ in interpreter.launched} == set(programs.kernels)


def test_zeros_have_codes_and_what_is_not_finite_is_refused(gpu, monkeypatch):
    """As from the CPU's quantiser, by the whole last kernel: weights behind its norm decide what the embeddings are."""
    import tessera_engine.backends.cuda as module

    def pool_zeros(self, batch, branch, tokens, pooled, column):
        ctypes.memset(pooled, 0, 4 * len(tokens.lengths) * 2 * 144)

    monkeypatch.setattr(GpuNetwork, "_encode", pool_zeros)
    arrays = dict(read_arrays(open_model("demo", "fp32")))
    arrays["fusion.1.weight"] = np.zeros_like(arrays["fusion.1.weight"])
    arrays["fusion.1.bias"] = np.full(128, 3, np.float32)
    monkeypatch.setattr(module, "read_arrays", lambda model: arrays)
    tokens = tokens_of([1], [1])
    found = backend_on(gpu).start(tokens, 16).codes()
    assert (found.codes == 0).all()
    assert found.scales.tolist() == [np.float32(1e-12)]
    arrays["fusion.1.bias"][127] = 90  # by far the largest, and behind the prefix
    backend = backend_on(gpu)
    embedding = backend.run(tokens)
    assert np.abs(embedding[0]).argmax() == 127
    for prefix in (16, 128):
        found = backend.start(tokens, prefix).codes()
        codes, scales = quantize(embedding[:, :prefix])
        np.testing.assert_array_equal(found.codes, codes)
        np.testing.assert_array_equal(found.scales, scales)
    arrays["fusion.1.bias"][127] = np.nan
    with pytest.raises(TesseraError, match=r"backend cuda .*aren't finite for 1 of 1 pixels.*demo \(fp32\)"):
        backend_on(gpu).start(tokens, 16).codes()


def test_int8_files_are_run_with_their_weights(gpu):
    tokens = tokens_of([3, 5], [4, 2])
    drift = measure(
        make_backend(open_model("demo", "fp32"), "fused", 1).run(tokens), backend_on(gpu, "int8").run(tokens)
    )
    assert drift.centred_mean > 0.999


@pytest.fixture
def tensor_cores(monkeypatch):
    """Products as tensor cores compute them: 16 values at a time, one group after the other. BLAS has other orders."""
    from triton.runtime import interpreter

    def dot(self, a, b, d, *_):
        total = d.data.copy()
        left, right = a.data.astype(np.float32), b.data.astype(np.float32)
        for first in range(0, left.shape[1], 16):
            group = np.zeros_like(total)
            for k in range(first, first + 16):
                group += left[:, k, None] * right[k]
            total += group
        return interpreter.TensorHandle(total, d.dtype.scalar)

    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_dot", dot)


def test_any_batch_has_the_same_bits(gpu, tensor_cores, monkeypatch):
    tokens, told = tokens_of([3, 18, 5], [4, 2, 30]), []
    backend = backend_on(gpu, told=told)
    together = backend.run(tokens)
    for held, _ in backend._slots:
        held.drop()
    allocate, pooled = gpu.allocate, 4 * 2 * 144  # bytes of a pixel's pooled vectors

    def short(size):
        if size > 2 * pooled:
            raise OutOfDeviceMemory(f"no {size} bytes")
        return allocate(size)

    monkeypatch.setattr(gpu, "allocate", short)
    apart = backend.run(tokens)
    np.testing.assert_array_equal(together.view(np.uint32), apart.view(np.uint32))
    assert told
    assert all("out of memory" in line for line in told)
    assert sum(name == "fuse" for name, _ in gpu.interpreter.launched) > 2


def test_a_limit_of_device_memory_is_kept_and_changes_no_bits(gpu, driver, tensor_cores):
    tokens, told = tokens_of([3, 18, 5, 20], [4, 2, 30, 1]), []
    free = backend_on(gpu).run(tokens)
    before, limited = driver.standin_used(), cuda.Cuda()
    limited.interpreter = gpu.interpreter
    backend = backend_on(limited, told=told)
    weights = limited.taken
    with pytest.raises(InputError, match=r"device_memory=\d.*MB is too little.*demo \(fp32\)"):
        backend.limit_device_memory(weights)
    most = weights + 20_000
    backend.limit_device_memory(most)
    assert limited.memory().total == most
    peak, allocate = 0, limited.allocate

    def watched(size):
        nonlocal peak
        address = allocate(size)
        peak = max(peak, driver.standin_used() - before)
        return address

    limited.allocate = watched
    np.testing.assert_array_equal(backend.run(tokens).view(np.uint32), free.view(np.uint32))
    assert weights < peak <= most
    assert sum(name == "fuse" for name, _ in gpu.interpreter.launched) > 2


def test_a_lost_gpu_is_an_error_that_says_what_to_do(gpu, monkeypatch):
    backend = backend_on(gpu)

    def fail(stream):
        raise DeviceError("cuStreamSynchronize failed: CUDA_ERROR_LAUNCH_FAILED (719)")

    monkeypatch.setattr(gpu, "synchronise", fail)
    pending = backend.start(tokens_of([3], [4]), 16)
    with pytest.raises(
        DeviceError, match=r"Stand-in driver stopped working: .*\(719\); .*kept.*same command"
    ):
        pending.wait()


def test_too_little_memory_for_one_pixel_is_said(gpu, driver):
    backend = backend_on(gpu)
    driver.standin_set_total(driver.standin_used() + 500)
    with pytest.raises(TesseraError, match=r"Stand-in driver has 0 of .* MB free.*demo \(fp32\).*device=cpu"):
        backend.run(tokens_of([3], [4]))


@pytest.mark.slow
@pytest.mark.skipif(
    not FOLDER.exists(), reason="no outputs of the published code beside this checkout (../shared)"
)
@pytest.mark.parametrize("tile", TILES)
def test_embeddings_are_the_published_codes(gpu, tile, tmp_path):
    """Of some pixels, because the interpreter takes seconds for each."""
    export_model(checkpoint("nano"), tmp_path / "nano.onnx", "fp32")
    model, reader = read_model_file(tmp_path / "nano.onnx"), open_scene(FOLDER / "tiles" / tile).reader
    packed = pack(reader.read(reader.grid.window), model.facts)
    some = np.unique(np.linspace(0, len(packed.pixels) - 1, 6).astype(int))
    published = conformance_expected("nano", tile).reshape(-1, 128)[packed.pixels]
    backend = backend_on(gpu, model=model)
    for pixel in some:
        found = backend.run(packed.tokens.part(pixel, pixel + 1))[0]
        np.testing.assert_allclose(found, published[pixel], atol=2e-3)


@pytest.mark.slow
def test_a_gpu_must_know_the_answer(gpu):
    model = open_model("demo", "fp32")
    backend = CudaBackend(model, gpu, print)
    used = [name for name, _ in gpu.interpreter.launched]
    assert set(used) == set(find_programs(model.facts).kernels)
    assert backend._slots

    def spoil(name, given):
        if name == "fuse":
            given["embedding"][7] += 2 * TOLERANCE

    gpu.interpreter.spoil = spoil
    with pytest.raises(DeviceError, match="Stand-in driver computes wrong embeddings") as error:
        CudaBackend(model, gpu, print)
    off = re.search(r"off by (\d\.\d+)", str(error.value))
    assert float(off[1]) == pytest.approx(2 * TOLERANCE, abs=TOLERANCE / 10)  # besides float16's own error


def test_the_question_is_the_same_everywhere():
    arrays, tokens = question(open_model("demo", "fp32").facts)
    file = read_arrays(open_model("demo", "fp32"))
    assert set(arrays) == {name for name in file if not name.startswith("constant")}
    np.testing.assert_allclose(arrays["s1.day_of_year"], file["s1.day_of_year"], atol=1e-4)
    assert arrays["fusion.0.weight"][0, :2].tolist() == pytest.approx([-0.09970511, -0.05275605], abs=1e-7)
    assert tokens.s2.lengths.tolist() == [5, 17, 40, 133]
