"""The fused kernels touch no memory but their own: every block lies against a page that may not be touched."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from places import ROOT

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="emitted code can't run as plain Python"
    ),
    pytest.mark.skipif(sys.platform != "linux", reason="protects pages with Linux's mprotect"),
]

GUARDED = """
import ctypes, mmap, sys
import numpy as np
from naive_network import random_arrays, random_tokens
import tessera_kernels.encoder as encoder
from tessera_kernels.encoder import pack
from tessera_kernels.encoder.isa import available
from tessera_kernels.encoder.layout import CACHE_LINE
from tessera_kernels.encoder.plan import FLOAT32, INT8, make_plan

libc, page, kept = ctypes.CDLL(None, use_errno=True), mmap.PAGESIZE, []
side = sys.argv[1]

def guarded(size):
    room = -(-max(size, 1) // page) * page
    block = mmap.mmap(-1, room + 2 * page)
    address = ctypes.addressof(ctypes.c_char.from_buffer(block))
    for guard in (address, address + page + room):
        assert libc.mprotect(ctypes.c_void_p(guard), page, 0) == 0
    kept.append(block)
    start = page if side == "before" else page + room - pack.up(size, CACHE_LINE)
    return np.frombuffer(block, np.uint8)[start : start + size]

def moved(array):
    place = guarded(array.nbytes)
    if side == "behind":  # flush with the guard, alignment or not
        block = kept[-1]
        end = len(block) - page
        place = np.frombuffer(block, np.uint8)[end - array.nbytes : end]
    place[:] = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
    return place.view(array.dtype).reshape(array.shape)

if len(sys.argv) > 2:  # that a guard works at all
    ctypes.memset(guarded(64).ctypes.data + (64 if side == "behind" else -1), 0, 1)
    sys.exit("a guard was touched without notice")

pack.aligned = encoder.aligned = guarded
rng = np.random.default_rng(0)
runs = 0
for int8 in (False, True):
    arithmetic = (INT8 if int8 else FLOAT32)[available()[0]]
    for ffn in (48, 47, 33, 1):
        if make_plan(arithmetic, 32, ffn, 4, False) != make_plan(arithmetic, 32, 48, 4, False):
            continue  # would have to be compiled
        for dims in (128, 5, 1):
            network = encoder.Network(random_arrays(32, 4, 2, ffn, dims=dims, int8=int8), 4, 2, arithmetic)
            for longest in (1, 17, 256):
                lengths = rng.integers(1, longest + 1, (2, rng.integers(1, 12)))
                lengths[:, -1] = longest
                tokens = [random_tokens(each, bands, 1) for each, bands in zip(lengths, (10, 2))]
                s2, s1 = (tuple(moved(part) for part in each) for each in tokens)
                assert np.isfinite(network.run(s2, s1)).all()
                runs += 1
print(runs)
"""


def run(*arguments):
    rooms = [str(ROOT / room) for room in ("engine", "export", "kernels", "tests/helpers")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(rooms)}
    return subprocess.run(
        [sys.executable, "-c", GUARDED, *arguments], capture_output=True, text=True, env=environment
    )


@pytest.mark.parametrize("side", ["behind", "before"])
def test_a_touched_guard_ends_the_process(side):
    assert run(side, "touch").returncode < 0


@pytest.mark.parametrize("side", ["behind", "before"])
def test_kernels_stay_in_their_memory(side):
    done = run(side)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) >= 18
