"""Memory: what is free is half taken, limits of containers count, and too little is said with what is needed."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest
from fake_backend import FakeBackend
from hypothesis import given
from hypothesis import strategies as st
from made_up import FakeReader, made_up_arrays
from memory import inputs, matrix

from tessera_engine.errors import InputError
from tessera_engine.formats.registry import FORMATS
from tessera_engine.running import memory
from tessera_engine.running.memory import Demand
from tessera_engine.scene import Grid

measured = pytest.mark.skipif(sys.platform == "win32", reason="needs wait4")


def demand(**changes) -> Demand:
    reader = FakeReader(made_up_arrays())
    return dataclasses.replace(Demand(reader, FakeBackend().model, reader.grid), **changes)


@given(st.integers(10**6, 10**10), st.sampled_from(sorted(FORMATS)), st.sampled_from(["int8", "float32"]))
def test_windows_fit_or_the_refusal_says_what_would(limit, format, stored_as):
    asked = demand(format=format, stored_as=stored_as)
    try:
        pixels = asked.window_pixels(limit)
    except InputError as refused:
        needed = int(str(refused).rsplit("at least ", 1)[1].removesuffix("MB")) * 10**6
        assert needed > limit
        assert asked.window_pixels(needed) >= memory.MIN_WINDOW_PIXELS
    else:
        assert memory.MIN_WINDOW_PIXELS <= pixels <= memory.MAX_WINDOW_PIXELS
        assert asked.of(pixels) <= limit


def test_what_takes_more_is_counted():
    least = demand().of(64)
    assert demand(backend="onnxruntime").of(64) > least
    assert demand(format="zarr").of(64) > least  # a shard, and zarr itself
    reader = FakeReader(made_up_arrays())
    reader.bytes_held = 10**8
    assert demand(reader=reader).of(64) == least + 10**8
    # The picture of a large scene is larger, up to its largest size
    picture = [demand(grid=Grid(side, side)).of(64) for side in (256, 2048, 8192)]
    assert picture[0] <= picture[1] == picture[2]


def test_a_large_scene_fits_where_a_small_one_does_and_no_tile_of_vq_is_held_whole():
    for side in (256, 2048):
        assert demand(grid=Grid(side, side), stored_as="int8").window_pixels(300 * 10**6) >= 64
    one, other = (demand(format="vq", stored_as=stored_as).of(64) for stored_as in ("int8", "float32"))
    assert one == other < 450 * 10**6


def test_a_wider_model_takes_more_in_a_runtime_than_in_the_fused_kernels():
    nano = FakeBackend().model
    wide = dataclasses.replace(nano, facts=dataclasses.replace(nano.facts, ffn_dim=4 * 384))
    more = {
        (backend, model): demand(backend=backend, model=model).of(64)
        for backend in ("fused", "onnxruntime", "openvino")
        for model in (nano, wide)
    }
    in_fused = more["fused", wide] - more["fused", nano]
    for backend in ("onnxruntime", "openvino"):
        assert more[backend, wide] - more[backend, nano] == in_fused + 3 * memory.RUNTIME_BYTES


def test_strips_are_as_large_as_the_memory_allows():
    base = memory.READING_BYTES
    assert memory.strip_values(base + 1000, 400, 3, least=10, most=10**9) == 200
    assert memory.strip_values(base + 1000, 400, 3, least=10, most=150) == 150
    assert memory.strip_values(None, 0, 3, least=1, most=100) == 100
    with pytest.raises(InputError, match=rf"at least {(base + 1000) // 10**6 + 1}MB"):
        memory.strip_values(base + 999, 400, 3, least=200, most=10**9)


def _check(name: str, folder: Path) -> None:
    """Run a case of `memory.matrix`, twice if kernels that have to be compiled took more, once."""
    (case,) = [each for each in matrix.cases() if each.name == name]
    for _ in range(2):
        done = matrix.measure(case, folder)
        assert done["exit_code"] == 0, done
        if done["peak"] <= case.limit * 10**6:
            return
    raise AssertionError(f"{name} takes {done['peak'] / 1e6:.0f} MB of {case.limit} MB")


@measured
@pytest.mark.parametrize(
    "name", ["embed-cog-int8-small", "convert-int8-geotessera-1024x1024", "similar-geotessera-int8"]
)
def test_commands_keep_within_their_memory(name, tmp_path_factory):
    _check(name, tmp_path_factory.getbasetemp())


@measured
@pytest.mark.slow
@pytest.mark.parametrize("name", [case.name for case in matrix.cases()])
def test_every_command_keeps_within_its_memory(name, tmp_path_factory):
    _check(name, tmp_path_factory.getbasetemp())


@measured
def test_too_little_is_refused_before_anything_is_computed(tmp_path):
    inputs.tile(tmp_path / "scene", 20, 10, 4)
    done = matrix.run(["embed", "scene", "--memory", "100MB"], tmp_path)
    assert done["exit_code"] == 2
    assert "--memory" in done["messages"][-1]
    assert "at least" in done["messages"][-1]
    assert {path.name for path in tmp_path.iterdir()} == {"scene"}
