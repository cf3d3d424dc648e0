"""v1's pooling: a recurrence over each pixel's tokens in their published order gives the weights of its tokens.

r = sigmoid(W_ir x + W_hr h + b_r); z = sigmoid(W_iz x + W_hz h + b_z); n = tanh(W_ih x + W_hh (r * h) + b_h);
h' = (1 - z) * h + z * n. A token's logit is a linear function of the normalised h.

What x gives is computed once for each distinct token; a repeat is a step of its own, but takes the same rows. All
pixels of a chunk step together, the longest first, so that those which still run are the first rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from tessera_kernels.encoder.attention import pool
from tessera_kernels.encoder.layout import LOG2_E, SLACK_ROWS, Scratch, Sizes, Weights
from tessera_kernels.encoder.memory import copy, fill, load_float, store_float
from tessera_kernels.encoder.plan import Plan
from tessera_kernels.encoder.rows import LAYER_NORM_EPSILON, quantize_signed
from tessera_kernels.encoder.simd import I32, Emitter, Value, emitted
from tessera_kernels.encoder.stages import add_product, jit, store_product

CHUNK_PIXELS = 32
"""Pixels that step together: each step reads the recurrence's weights once for all of them."""


def score_weights(arrays: Mapping[str, NDArray[Any]], prefix: str) -> NDArray[np.float32]:
    """The pooling's LayerNorm and linear layer as one vector (width,), in units of log2.

    logit = query . (norm_weight * (h - mean) / deviation + norm_bias). Centring the vector instead of h is the same,
    and what is added to every logit softmax doesn't see.
    """
    vector = arrays[f"{prefix}.pool.weight"][:, 0] * arrays[f"{prefix}.pool.norm.weight"] * LOG2_E
    centred: NDArray[np.float32] = vector - vector.mean()
    return centred


def _sigmoid(e: Emitter, a: Value, factor: float = 1.0) -> tuple[Value, Value]:
    """1 / (1 + exp(-factor |a|)), and exp(-factor |a|)."""
    power = e.exp2(e.b.fmul(e.abs(a), e.const(-factor * float(LOG2_E))))
    return e.b.fdiv(e.const(1.0), e.b.fadd(e.const(1.0), power)), power


def _gate(e: Emitter, a: Value) -> Value:
    positive, power = _sigmoid(e, a)
    return e.b.select(e.b.fcmp_ordered(">", a, e.const(0.0)), positive, e.b.fmul(power, positive))


@emitted("iii")
def reset(e: Emitter, gates: Value, h: Value, size: Value) -> None:
    """Gates = sigmoid(gates) * h, over `size` bytes."""

    def body(i: Value, _: list[Value]) -> list[Value]:
        at = e.b.add(gates, i)
        e.store(e.b.fmul(_gate(e, e.load(at)), e.load(e.b.add(h, i))), at)
        return []

    e.loop(size, e.bytes, [], body)


@emitted("iiii")
def advance(e: Emitter, gates: Value, new: Value, h: Value, size: Value) -> None:
    """H = (1 - z) * h + z * tanh(new) with z = sigmoid(gates), over `size` bytes."""

    def body(i: Value, _: list[Value]) -> list[Value]:
        z, a = _gate(e, e.load(e.b.add(gates, i))), e.load(e.b.add(new, i))
        inverse, power = _sigmoid(e, a, 2.0)
        size_of_n = e.b.fmul(e.b.fsub(e.const(1.0), power), inverse)
        n = e.b.select(e.b.fcmp_ordered(">", a, e.const(0.0)), size_of_n, e.b.fsub(e.const(0.0), size_of_n))
        at = e.b.add(h, i)
        before = e.load(at)
        e.store(e.fma(z, e.b.fsub(n, before), before), at)
        return []

    e.loop(size, e.bytes, [], body)


@emitted("iiif", result="f")
def score(e: Emitter, h: Value, weights: Value, size: Value, width: Value) -> Value:
    """The logit of one state; padding columns of both are zero."""

    def sums(i: Value, carried: list[Value]) -> list[Value]:
        y = e.load(e.b.add(h, i))
        return [
            e.b.fadd(carried[0], y),
            e.fma(y, y, carried[1]),
            e.fma(y, e.load(e.b.add(weights, i)), carried[2]),
        ]

    totals = e.loop(size, e.bytes, [e.const(0.0)] * 3, sums)
    total, square, product = (e.fold(value, e.b.fadd) for value in totals)
    share = e.b.fdiv(e.const(1.0), e.splat(width))
    mean = e.b.fmul(total, share)
    variance = e.max(e.b.fsub(e.b.fmul(square, share), e.b.fmul(mean, mean)), e.const(0.0))
    deviation = e.sqrt(e.b.fadd(variance, e.const(LAYER_NORM_EPSILON)))
    return e.b.extract_element(e.b.fdiv(product, deviation), I32(0))


@jit
def _quantize_rows(plan: Plan, z: Sizes, s: Scratch, base: int, x: int, rows: int) -> None:
    """States as the first factor of a product."""
    for row in range(0, rows, z.rows_together):
        quantize_signed(
            plan, x + row * z.row_bytes, z.row_bytes, z.row_bytes,
            base + s.state_values + row * z.value_row_bytes, z.value_row_bytes, base + s.state_scales + 4 * row,
        )  # fmt: skip


@jit
def recur(
    plan: Plan,
    z: Sizes,
    w: Weights,
    s: Scratch,
    base: int,
    max_rows: int,
    steps: NDArray[np.int64],
    step_offsets: NDArray[np.int64],
    start: int,
    rows: int,
    first: int,
    last: int,
) -> None:
    """The logits of all steps of pixels first..last-1, whose tokens from `start` on are the rows of values."""
    buffer, gate_bytes = (CHUNK_PIXELS + SLACK_ROWS) * z.row_bytes, max_rows * z.row_bytes
    h = base + s.states
    for gate in range(3):
        store_product(
            plan, z, base + s.values, z.value_row_bytes, z.width_groups, w.recurrent[gate], base + s.scales,
            rows, base + s.gates + gate * gate_bytes, z.row_bytes,
        )  # fmt: skip
    fill(plan, h, buffer, np.float32(0))
    lengths = step_offsets[first + 1 : last + 1] - step_offsets[first:last]
    order = np.argsort(-lengths, kind="mergesort")
    running = last - first
    for t in range(lengths[order[0]]):
        while lengths[order[running - 1]] <= t:
            running -= 1
        for k in range(running):
            row = steps[step_offsets[first + order[k]] + t] - start
            for gate in range(3):
                source = base + s.gates + gate * gate_bytes + row * z.row_bytes
                copy(plan, source, h + (1 + gate) * buffer + k * z.row_bytes, z.row_bytes)
        _quantize_rows(plan, z, s, base, h, running)
        for gate in range(3):
            if gate == 2:
                # The reset gate comes before the product, not behind it as in torch.nn.GRU
                reset(plan, h + buffer, h, running * z.row_bytes)
                _quantize_rows(plan, z, s, base, h + buffer, running)
            add_product(
                plan, z, base + s.state_values, z.value_row_bytes, z.width_groups, w.recurrent[3 + gate],
                base + s.state_scales, running, h + (1 + gate) * buffer,
            )  # fmt: skip
        advance(plan, h + 2 * buffer, h + 3 * buffer, h, running * z.row_bytes)
        for k in range(running):
            place = step_offsets[first + order[k]] - step_offsets[first] + t
            logit = score(plan, h + k * z.row_bytes, w.pool, z.row_bytes, np.float32(z.width))
            store_float(plan, base + s.logits + 4 * place, logit)


@jit
def _merge_repeats(
    plan: Plan, logits: int, steps: NDArray[np.int64], start: int, tokens: int, out: int
) -> None:
    """Each token's logit from those of its steps: log2 of the sum of 2**logit."""
    largest = np.full(tokens, -np.inf, np.float32)
    for i in range(len(steps)):
        token = steps[i] - start
        largest[token] = max(largest[token], load_float(plan, logits + 4 * i))
    total = np.zeros(tokens, np.float32)
    for i in range(len(steps)):
        token = steps[i] - start
        total[token] += np.exp2(load_float(plan, logits + 4 * i) - largest[token])
    for token in range(tokens):
        store_float(plan, out + 4 * token, largest[token] + np.log2(total[token]))


@jit
def _pool_plainly(
    plan: Plan,
    z: Sizes,
    w: Weights,
    s: Scratch,
    base: int,
    max_rows: int,
    log2_multiplicity: int,
    offsets: NDArray[np.int64],
    steps: NDArray[np.int64],
    step_offsets: NDArray[np.int64],
    first: int,
    last: int,
    out: int,
    out_row: int,
) -> None:
    lanes = z.vector_bytes // 4
    for pixel in range(first, last):
        count = offsets[pixel + 1] - offsets[pixel]
        pool(
            plan, base + s.x + (offsets[pixel] - offsets[first]) * z.row_bytes, z.row_bytes, count, w.pool,
            log2_multiplicity + 4 * offsets[pixel], z.row_bytes, base + s.scores, out + pixel * out_row,
            (count + lanes - 1) // lanes * lanes,
        )  # fmt: skip


@jit
def _pool_recurrently(
    plan: Plan,
    z: Sizes,
    w: Weights,
    s: Scratch,
    base: int,
    max_rows: int,
    log2_multiplicity: int,
    offsets: NDArray[np.int64],
    steps: NDArray[np.int64],
    step_offsets: NDArray[np.int64],
    first: int,
    last: int,
    out: int,
    out_row: int,
) -> None:
    lanes = z.vector_bytes // 4
    start = offsets[first]
    rows = offsets[last] - start
    recur(plan, z, w, s, base, max_rows, steps, step_offsets, start, rows, first, last)
    # With the recurrence's logits as biases, and no linear function of the tokens themselves
    fill(plan, base + s.states, z.row_bytes, np.float32(0))
    for pixel in range(first, last):
        count = offsets[pixel + 1] - offsets[pixel]
        _merge_repeats(
            plan, base + s.logits + 4 * (step_offsets[pixel] - step_offsets[first]),
            steps[step_offsets[pixel] : step_offsets[pixel + 1]], offsets[pixel], count, base + s.bias,
        )  # fmt: skip
        pool(
            plan, base + s.x + (offsets[pixel] - start) * z.row_bytes, z.row_bytes, count, base + s.states,
            base + s.bias, z.row_bytes, base + s.scores, out + pixel * out_row,
            (count + lanes - 1) // lanes * lanes,
        )  # fmt: skip


def pool_chunk(*arguments: Any) -> None:
    """Pool pixels first..last-1: chosen by the plan when compiled, so that no network carries the other's code."""
    raise NotImplementedError("for compiled code")


@overload(pool_chunk)
def _pool_chunk(*arguments: Any) -> Any:
    chosen = _pool_recurrently if arguments[0].plan.recurrent else _pool_plainly

    def run(*arguments: Any) -> None:
        chosen(*arguments)

    return run
