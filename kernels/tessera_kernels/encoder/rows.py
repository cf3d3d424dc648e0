"""What is done to rows of float32 between the matrix products: norms, and quantising to stored values.

A few rows at once: one row alone waits for each of its reductions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from llvmlite import ir

from tessera_kernels.encoder.simd import I64, Emitter, Value, emitted

LAYER_NORM_EPSILON = 1e-5
RMS_NORM_EPSILON = 1.1920928955078125e-07
"""torch.nn.RMSNorm's default: the machine epsilon of float32."""

TINY = 1e-12
"""Keeps the scale of an all-zero row from being zero."""


Rows = Callable[[Sequence[Value], Callable[[Value, "Mask", list[Value]], Sequence[Value]]], list[Value]]
"""Calls a body(i, mask, carried) for each register of a row, i being its place in bytes of float32."""

Mask = Value | None
"""Which lanes of a register belong to the row; None: all."""


def _whole(e: Emitter, size: Value) -> Rows:
    """Rows of `size` bytes, whole registers."""
    return lambda carried, body: e.loop(size, e.bytes, carried, lambda i, now: body(i, None, now))


def _head_mask(e: Emitter, vector: int) -> Mask:
    """Which lanes of a head's register are the head's own."""
    own = e.plan.head_dim - vector * e.lanes
    if own >= e.lanes:
        return None
    return ir.Constant(ir.VectorType(ir.IntType(1), e.lanes), [lane < own for lane in range(e.lanes)])


def _head(e: Emitter) -> Rows:
    """Rows of one head's channels, whose last register may have others behind them."""
    full = e.plan.head_dim // e.lanes

    def each(
        carried: Sequence[Value], body: Callable[[Value, Mask, list[Value]], Sequence[Value]]
    ) -> list[Value]:
        now = list(carried)
        if full:
            now = e.loop(I64(full * e.bytes), e.bytes, now, lambda i, inner: body(i, None, inner))
        if full < e.plan.head_vectors:
            now = list(body(I64(full * e.bytes), _head_mask(e, full), now))
        return now

    return each


def _load(e: Emitter, x: Value, ld: Value, row: int, i: Value, mask: Mask = None) -> Value:
    """A register of a row, zero where it isn't the row's."""
    y = e.load(_row(e, x, ld, row, i))
    return y if mask is None else e.b.select(mask, y, e.const(0.0))


def _row(e: Emitter, x: Value, ld: Value, row: int, i: Value) -> Value:
    return e.b.add(x, e.b.add(e.times(ld, row), i))


def _quantize(
    e: Emitter,
    x: Value,
    ld: Value,
    rows: Rows,
    maxima: Sequence[Value],
    signed: bool,
    offset: int,
    out: Value,
    ldo: Value,
    scales: Value,
) -> None:
    """Store rows as values, and their scales. `maxima`: a register a row, not yet folded."""
    count = e.plan.rows_together
    inverse = [e.const(1.0)] * count if e.a.is_float else _scale_rows(e, maxima, signed, scales)

    def body(i: Value, mask: Mask, _: list[Value]) -> list[Value]:
        # i counts bytes of float32; a stored value takes a group's share of that
        place = e.b.udiv(i, I64(e.a.group)) if e.a.group > 1 else i
        for row in range(count):
            y = _load(e, x, ld, row, i, mask)
            e.store_values(y, inverse[row], offset, e.b.add(out, e.times(ldo, row)), place)
        return []

    rows([], body)


def _scale_rows(e: Emitter, maxima: Sequence[Value], signed: bool, scales: Value) -> list[Value]:
    """Store the rows' scales; gives what each row is to be multiplied with, in all lanes."""
    levels = 127.0 if signed else 255.0
    largest = e.max(e.fold_rows(maxima, e.max), e.const(TINY))
    e.store_rows(e.b.fmul(largest, e.const(1 / levels)), len(maxima), scales)
    inverse = e.b.fdiv(e.const(levels), largest)
    return [e.row(inverse, row) for row in range(len(maxima))]


def _maxima(e: Emitter, x: Value, ld: Value, rows: Rows) -> list[Value]:
    """Each row's largest |value|, a register a row, not yet folded."""
    count = e.plan.rows_together

    def body(i: Value, mask: Mask, largest: list[Value]) -> list[Value]:
        return [e.max(largest[row], e.abs(_load(e, x, ld, row, i, mask))) for row in range(count)]

    return rows([e.const(0.0)] * count, body)


@emitted("iiiiii")
def quantize_signed(
    e: Emitter, x: Value, ld: Value, size: Value, out: Value, ldo: Value, scales: Value
) -> None:
    """Rows as the first factor of a product, -127..127."""
    rows = _whole(e, size)
    maxima = [] if e.a.is_float else _maxima(e, x, ld, rows)
    _quantize(e, x, ld, rows, maxima, True, e.a.offset(signed=True), out, ldo, scales)


@emitted("iiiiiii")
def quantize_unsigned(
    e: Emitter, x: Value, ld: Value, size: Value, maxima: Value, out: Value, ldo: Value, scales: Value
) -> None:
    """Rows that aren't negative as the first factor of a product, 0..255. `maxima`: a register a row."""
    largest = [e.load(maxima, e.bytes * row) for row in range(e.plan.rows_together)]
    _quantize(e, x, ld, _whole(e, size), largest, False, e.a.offset(signed=False), out, ldo, scales)


def _quantize_head(
    e: Emitter, x: Value, ld: Value, offset: int, out: Value, ldo: Value, scales: Value
) -> None:
    """Store rows of one head's channels as values, -127..127, zeros behind them, and their scales."""
    count, vectors, rows = e.plan.rows_together, e.plan.head_vectors, _head(e)
    if e.a.is_float or count * vectors > e.a.accumulators:
        maxima = [] if e.a.is_float else _maxima(e, x, ld, rows)
        _quantize(e, x, ld, rows, maxima, True, offset, out, ldo, scales)
        return
    # Few enough to be loaded once and stay in registers
    kept: list[list[Value]] = [[] for _ in range(count)]
    for v in range(vectors):
        for row in range(count):
            kept[row].append(_load(e, x, ld, row, I64(v * e.bytes), _head_mask(e, v)))
    maxima = [functools.reduce(e.max, map(e.abs, row)) for row in kept]
    inverse = _scale_rows(e, maxima, True, scales)
    for row in range(count):
        for v, y in enumerate(kept[row]):
            at = e.at(out, e.times(ldo, row))
            e.store_values(y, inverse[row], offset, at, v * e.lanes * e.a.value_bytes)


@emitted("iiiii")
def quantize_key(e: Emitter, x: Value, ld: Value, out: Value, ldo: Value, scales: Value) -> None:
    """Rows of one head's channels as the first factor of a product, -127..127; zeros behind them."""
    _quantize_head(e, x, ld, e.a.offset(signed=True), out, ldo, scales)


@emitted("iiiii")
def quantize_query(e: Emitter, x: Value, ld: Value, out: Value, ldo: Value, scales: Value) -> None:
    """Rows of one head's channels, queries or values, as the second factor of a product, -127..127."""
    _quantize_head(e, x, ld, 0, out, ldo, scales)


def _statistics(e: Emitter, x: Value, ld: Value, size: Value, width: Value) -> tuple[Value, Value]:
    """Mean and variance of the rows, folded. Padding columns are zero, so they add nothing to either sum."""
    count, zero = e.plan.rows_together, e.const(0.0)

    def sums(i: Value, carried: list[Value]) -> list[Value]:
        y = [e.load(_row(e, x, ld, row, i)) for row in range(count)]
        plain = [e.b.fadd(carried[row], y[row]) for row in range(count)]
        return plain + [e.fma(y[row], y[row], carried[count + row]) for row in range(count)]

    totals = e.loop(size, e.bytes, [zero] * (2 * count), sums)
    share = e.b.fdiv(e.const(1.0), e.splat(width))
    mean = e.b.fmul(e.fold_rows(totals[:count], e.b.fadd), share)
    square = e.b.fmul(e.fold_rows(totals[count:], e.b.fadd), share)
    return mean, e.max(e.b.fsub(square, e.b.fmul(mean, mean)), zero)


def _normalize(
    e: Emitter, x: Value, ld: Value, size: Value, width: Value, finish: Callable[[Value, Value], Value]
) -> list[Value]:
    """Normalise rows in place, `finish(y, i)` applied to each register; gives the rows' |maxima|, not folded."""
    count = e.plan.rows_together
    mean, variance = _statistics(e, x, ld, size, width)
    inverse = e.b.fdiv(e.const(1.0), e.sqrt(e.b.fadd(variance, e.const(LAYER_NORM_EPSILON))))
    means = [e.row(mean, row) for row in range(count)]
    inverses = [e.row(inverse, row) for row in range(count)]

    def body(i: Value, largest: list[Value]) -> list[Value]:
        new = []
        for row in range(count):
            at = _row(e, x, ld, row, i)
            y = finish(e.b.fmul(e.b.fsub(e.load(at), means[row]), inverses[row]), i)
            e.store(y, at)
            new.append(e.max(largest[row], e.abs(y)))
        return new

    return e.loop(size, e.bytes, [e.const(0.0)] * count, body)


@emitted("iiifiiiii")
def layer_norm(
    e: Emitter,
    x: Value,
    ld: Value,
    size: Value,
    width: Value,
    weight: Value,
    bias: Value,
    out: Value,
    ldo: Value,
    scales: Value,
) -> None:
    """LayerNorm in place, and the rows quantised for the next product."""
    maxima = _normalize(
        e, x, ld, size, width,
        lambda y, i: e.fma(y, e.load(e.b.add(weight, i)), e.load(e.b.add(bias, i))),
    )  # fmt: skip
    _quantize(e, x, ld, _whole(e, size), maxima, True, e.a.offset(signed=True), out, ldo, scales)


@emitted("iiifiiiii")
def layer_norm_relu(
    e: Emitter,
    x: Value,
    ld: Value,
    size: Value,
    width: Value,
    weight: Value,
    bias: Value,
    out: Value,
    ldo: Value,
    scales: Value,
) -> None:
    """LayerNorm, then ReLU, in place, and the rows quantised for the next product."""
    zero = e.const(0.0)
    maxima = _normalize(
        e, x, ld, size, width,
        lambda y, i: e.max(e.fma(y, e.load(e.b.add(weight, i)), e.load(e.b.add(bias, i))), zero),
    )  # fmt: skip
    _quantize(e, x, ld, _whole(e, size), maxima, False, e.a.offset(signed=False), out, ldo, scales)


@emitted("iiif")
def plain_norm(e: Emitter, x: Value, ld: Value, size: Value, width: Value) -> None:
    """LayerNorm without weight and bias, in place; padding columns become junk."""
    _normalize(e, x, ld, size, width, lambda y, i: y)


@emitted("iii")
def rms_norm(e: Emitter, x: Value, ld: Value, weight: Value) -> None:
    """RMSNorm of one head's rows in place."""
    count, rows = e.plan.rows_together, _head(e)

    def squares(i: Value, mask: Mask, carried: list[Value]) -> list[Value]:
        y = [_load(e, x, ld, row, i, mask) for row in range(count)]
        return [e.fma(y[row], y[row], carried[row]) for row in range(count)]

    totals = e.fold_rows(rows([e.const(0.0)] * count, squares), e.b.fadd)
    mean = e.b.fdiv(totals, e.const(float(e.plan.head_dim)))
    inverse = e.b.fdiv(e.const(1.0), e.sqrt(e.b.fadd(mean, e.const(RMS_NORM_EPSILON))))
    inverses = [e.row(inverse, row) for row in range(count)]

    def body(i: Value, mask: Mask, _: list[Value]) -> list[Value]:
        factor = e.load(e.b.add(weight, i))
        for row in range(count):
            at = _row(e, x, ld, row, i)
            before = e.load(at)
            y = e.b.fmul(e.b.fmul(before, inverses[row]), factor)
            e.store(y if mask is None else e.b.select(mask, y, before), at)
        return []

    rows([], body)
