"""What this CPU could do at most: multiplications a second of its dot product, and how many a model needs."""

from __future__ import annotations

import time

import numpy as np
from numba import njit, prange

from tessera_engine.model.facts import ModelFacts
from tessera_engine.tokens import PackedTokens
from tessera_kernels.encoder.plan import Arithmetic, Plan, make_plan
from tessera_kernels.encoder.simd import Emitter, Value, emitted

TURNS = 1_000_000

TRIES = 200
"""Of some milliseconds each: others on the machine may take a core for longer than a few of them last."""


@emitted(int, int)
def _spin(e: Emitter, turns: Value, memory: Value) -> None:
    """Nothing but dot products of registers, in as many independent sums as a tile has."""
    kind = e.vf if e.a.is_float else e.vi
    first, second = e.load(memory, 0, kind), e.load(memory, e.bytes, kind)
    zero = e.const(0.0) if e.a.is_float else e.consti(0)
    sums = e.loop(turns, 1, [zero] * e.a.accumulators, lambda _, s: [e.dot(x, first, second) for x in s])
    for i, total in enumerate(sums):
        e.store(total, memory, (2 + i) * e.bytes)


@njit(parallel=True)
def _spin_all(plan: Plan, turns: int, memory: int, stride: int, threads: int) -> None:
    for thread in prange(threads):
        _spin(plan, turns, memory + thread * stride)


def peak(arithmetic: Arithmetic, threads: int) -> float:
    """Multiplications a second of all threads, the best of `TRIES`.

    Only where the dot product is one instruction: compilers take what is done with another's constant operands out
    of the loop.
    """
    plan = make_plan(arithmetic, 64, 64, 1, False)
    stride = 4096
    memory = np.zeros(stride * threads, np.uint8)
    _spin_all(plan, 1, memory.ctypes.data, stride, threads)
    seconds = []
    for _ in range(TRIES):
        start = time.perf_counter()
        _spin_all(plan, TURNS, memory.ctypes.data, stride, threads)
        seconds.append(time.perf_counter() - start)
    each = arithmetic.accumulators * arithmetic.lanes * arithmetic.group
    return threads * TURNS * each / min(seconds)


def multiplications(facts: ModelFacts, tokens: PackedTokens) -> float:
    """Multiplications in the matrix products of the packed tokens, without any padding."""
    d, ffn = facts.d_model, facts.ffn_dim
    total = len(tokens) * (2 * d * 4 * d + 4 * d * facts.dims)
    for modality, bands in ((tokens.s2, 10), (tokens.s1, 2)):
        lengths = modality.lengths.astype(np.float64)
        each = bands * d + d * d + facts.num_layers * (4 * d * d + 2 * d * ffn)
        total += lengths.sum() * each + facts.num_layers * 2 * d * (lengths**2).sum()
    return float(total)
