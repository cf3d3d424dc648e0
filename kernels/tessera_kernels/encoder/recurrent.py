"""v1's pooling: a recurrence over each pixel's tokens, in their published order, gives the tokens' weights.

r = sigmoid(W_ir x + W_hr h + b_r); z = sigmoid(W_iz x + W_hz h + b_z); n = tanh(W_ih x + W_hh (r * h) + b_h);
h' = (1 - z) * h + z * n. A token's logit is a linear function of the normalised h.

The products with x are computed once for each distinct token; a repeat is a step of its own that reads the same rows.
All pixels of a chunk are stepped together, the longest first, so that those that still have steps are the first rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from tessera_kernels.encoder.attention import pool
from tessera_kernels.encoder.layout import (
    LOG2_E,
    SLACK_ROWS,
    Batch,
    Floats,
    Scratch,
    Sizes,
    Values,
    Weights,
)
from tessera_kernels.encoder.memory import copy, fill, load_float, store_float
from tessera_kernels.encoder.plan import Plan
from tessera_kernels.encoder.rows import LAYER_NORM_EPSILON
from tessera_kernels.encoder.simd import I32, Emitter, Value, emitted
from tessera_kernels.encoder.stages import add_product, quantize, residual_from, store_product, values_from
from tessera_kernels.inner import INNER, inner

CHUNK_PIXELS = 32
"""Pixels that are stepped together: each step reads the recurrence's weights once for all of them."""


def score_weights(arrays: Mapping[str, NDArray[Any]], prefix: str) -> NDArray[np.float32]:
    """The pooling's LayerNorm and linear layer as one vector (width,), in units of log2.

    logit = query . (norm_weight * (h - mean) / deviation + norm_bias). Centring the vector instead of h gives the
    same, and softmax doesn't depend on a constant that is added to every logit.
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


@emitted(int, int, int)
def reset(e: Emitter, gates: Value, h: Value, size: Value) -> None:
    """Set gates to sigmoid(gates) * h, over `size` bytes."""

    def body(i: Value, _: list[Value]) -> list[Value]:
        at = e.b.add(gates, i)
        e.store(e.b.fmul(_gate(e, e.load(at)), e.load(e.b.add(h, i))), at)
        return []

    e.loop(size, e.bytes, [], body)


@emitted(int, int, int, int)
def advance(e: Emitter, gates: Value, new: Value, h: Value, size: Value) -> None:
    """Set h to (1 - z) * h + z * tanh(new) with z = sigmoid(gates), over `size` bytes."""

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


@emitted(int, int, int, float, result=float)
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


@inner
def _quantize_rows(plan: Plan, z: Sizes, s: Scratch, x: int, rows: int) -> Values:
    """Quantise states, as the first factor of a product."""
    out = Values(s.state_values, z.value_row_bytes, s.state_scales, s.state_factors)
    quantize(plan, z, Floats(x, z.row_bytes), out, rows)
    return out


@inner
def _longest_first(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The order of at most `CHUNK_PIXELS` pixels by their numbers of steps; equal ones keep their order."""
    order = np.arange(len(lengths))
    for i in range(1, len(order)):
        at = i
        while at > 0 and lengths[order[at - 1]] < lengths[order[at]]:
            order[at - 1], order[at] = order[at], order[at - 1]
            at -= 1
    return order


@inner
def recur(plan: Plan, z: Sizes, w: Weights, s: Scratch, tokens: Batch, first: int, last: int) -> None:
    """Store the logits of all steps of pixels first..last-1, whose tokens are the rows of values."""
    steps, step_offsets = tokens.steps, tokens.step_offsets
    start = tokens.offsets[first]
    rows = tokens.offsets[last] - start
    buffer, gate_bytes = (CHUNK_PIXELS + SLACK_ROWS) * z.row_bytes, s.max_rows * z.row_bytes
    h = s.states
    for gate in range(3):
        store_product(
            plan, z, values_from(z, s, 0), z.width_groups, w.input_gates[gate], rows,
            Floats(s.gates + gate * gate_bytes, z.row_bytes),
        )  # fmt: skip
    fill(plan, h, buffer, np.float32(0))
    lengths = step_offsets[first + 1 : last + 1] - step_offsets[first:last]
    order = _longest_first(lengths)
    running = last - first
    for t in range(lengths[order[0]]):
        while lengths[order[running - 1]] <= t:
            running -= 1
        for k in range(running):
            row = steps[step_offsets[first + order[k]] + t] - start
            for gate in range(3):
                source = s.gates + gate * gate_bytes + row * z.row_bytes
                copy(plan, source, h + (1 + gate) * buffer + k * z.row_bytes, z.row_bytes)
        values = _quantize_rows(plan, z, s, h, running)
        for gate in range(3):
            if gate == 2:
                # The reset gate comes before the product; torch.nn.GRU applies it after the product
                reset(plan, h + buffer, h, running * z.row_bytes)
                values = _quantize_rows(plan, z, s, h + buffer, running)
            add_product(
                plan, z, values, z.width_groups, w.hidden_gates[gate], running, h + (1 + gate) * buffer
            )  # fmt: skip
        advance(plan, h + 2 * buffer, h + 3 * buffer, h, running * z.row_bytes)
        for k in range(running):
            place = step_offsets[first + order[k]] - step_offsets[first] + t
            logit = score(plan, h + k * z.row_bytes, w.pool, z.row_bytes, np.float32(z.width))
            store_float(plan, s.logits + 4 * place, logit)


@inner
def _merge_repeats(
    plan: Plan, logits: int, steps: NDArray[np.int64], start: int, tokens: int, out: int
) -> None:
    """Merge the logits of each token's steps into one: log2 of the sum of 2**logit."""
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


def _pool_plainly(
    plan: Plan, z: Sizes, w: Weights, s: Scratch, tokens: Batch, first: int, last: int, out: Floats
) -> None:
    offsets = tokens.offsets
    for pixel in range(first, last):
        pool(
            plan, residual_from(z, s, offsets[pixel] - offsets[first]), offsets[pixel + 1] - offsets[pixel],
            w.pool, tokens.log2_multiplicity + 4 * offsets[pixel], s.scores, out.at + pixel * out.row_bytes,
        )  # fmt: skip


def _pool_recurrently(
    plan: Plan, z: Sizes, w: Weights, s: Scratch, tokens: Batch, first: int, last: int, out: Floats
) -> None:
    offsets, step_offsets = tokens.offsets, tokens.step_offsets
    recur(plan, z, w, s, tokens, first, last)
    # The recurrence's logits are the biases; there is no linear function of the tokens themselves
    fill(plan, s.states, z.row_bytes, np.float32(0))
    for pixel in range(first, last):
        count = offsets[pixel + 1] - offsets[pixel]
        _merge_repeats(
            plan, s.logits + 4 * (step_offsets[pixel] - step_offsets[first]),
            tokens.steps[step_offsets[pixel] : step_offsets[pixel + 1]], offsets[pixel], count, s.bias,
        )  # fmt: skip
        pool(
            plan, residual_from(z, s, offsets[pixel] - offsets[first]), count, s.states, s.bias, s.scores,
            out.at + pixel * out.row_bytes,
        )  # fmt: skip


def pool_chunk(
    plan: Plan, z: Sizes, w: Weights, s: Scratch, tokens: Batch, first: int, last: int, out: Floats
) -> None:
    """Pool pixels first..last-1 into rows of out.

    The plan decides how when the kernel is compiled, so that no network carries the other pooling's code.
    """
    raise NotImplementedError("for compiled code")


@overload(pool_chunk, jit_options=INNER)
def _pool_chunk(
    plan: Plan, z: Sizes, w: Weights, s: Scratch, tokens: Batch, first: int, last: int, out: Floats
) -> Callable[..., None]:
    """Called with numba's types; numba wants them annotated like the arguments."""
    return _pool_recurrently if plan.plan.recurrent else _pool_plainly  # type: ignore[attr-defined]
