"""Work on rows of float32 between the matrix products: norms, and quantising to stored values.

`Plan.rows_together` rows are done at once, since a single row would wait for each of its reductions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from llvmlite import ir

from tessera_kernels.encoder.layout import Floats, Values
from tessera_kernels.encoder.simd import I64, Emitter, Value, emitted

LAYER_NORM_EPSILON = 1e-5
RMS_NORM_EPSILON = 1.1920928955078125e-07
"""torch.nn.RMSNorm's default: the machine epsilon of float32."""

TINY = 1e-12
"""Keeps the scale of an all-zero row from being zero."""


Rows = Callable[[Sequence[Value], Callable[[Value, "Mask", list[Value]], Sequence[Value]]], list[Value]]
"""Calls a body(i, mask, carried) for each register of a row; i is the register's place in bytes of float32."""

Mask = Value | None
"""Which lanes of a register belong to the row; None means all."""


def _whole(e: Emitter, x: Floats) -> Rows:
    """Whole rows, which fill their registers."""
    return lambda carried, body: e.loop(x.row_bytes, e.bytes, carried, lambda i, now: body(i, None, now))


def _head_mask(e: Emitter, vector: int) -> Mask:
    """Which lanes of a head's register belong to the head."""
    own = e.plan.head_dim - vector * e.lanes
    if own >= e.lanes:
        return None
    return ir.Constant(ir.VectorType(ir.IntType(1), e.lanes), [lane < own for lane in range(e.lanes)])


def _head(e: Emitter) -> Rows:
    """Rows of one head's channels. Other channels may follow in their last register."""
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


def _load(e: Emitter, x: Floats, row: int, i: Value, mask: Mask = None) -> Value:
    """A register of a row, zero in lanes that don't belong to it."""
    y = e.load(_place(e, x, row, i))
    return y if mask is None else e.b.select(mask, y, e.const(0.0))


def _place(e: Emitter, x: Floats, row: int, i: Value) -> Value:
    """The address of byte i of a row."""
    return e.b.add(x.at, e.b.add(e.times(x.row_bytes, row), i))


def _quantize(
    e: Emitter, x: Floats, rows: Rows, maxima: Sequence[Value], signed: bool, offset: int, out: Values
) -> None:
    """Store rows as values, and their scales.

    Args:
        e: the emitter.
        x: the rows.
        rows: which part of them.
        maxima: each row's largest |value| in one of the lanes of a register a row; not used in float32.
        signed: whether values are -127..127 or 0..255.
        offset: added to each value.
        out: where to.
    """
    count = e.plan.rows_together
    inverse = [e.const(1.0)] * count if e.a.is_float else _scale_rows(e, maxima, signed, out.scales)

    def body(i: Value, mask: Mask, _: list[Value]) -> list[Value]:
        # i counts bytes of float32; a stored value takes a group's share of that
        place = e.b.udiv(i, I64(e.a.group)) if e.a.group > 1 else i
        for row in range(count):
            y = _load(e, x, row, i, mask)
            e.store_values(y, inverse[row], offset, e.b.add(out.at, e.times(out.row_bytes, row)), place)
        return []

    rows([], body)


def _scale_rows(e: Emitter, maxima: Sequence[Value], signed: bool, scales: Value) -> list[Value]:
    """Store the rows' scales; returns the factor of each row that makes values of it, in all lanes."""
    levels = 127.0 if signed else 255.0
    largest = e.max(e.fold_rows(maxima, e.max), e.const(TINY))
    e.store_rows(e.b.fmul(largest, e.const(1 / levels)), len(maxima), scales)
    inverse = e.b.fdiv(e.const(levels), largest)
    return [e.row(inverse, row) for row in range(len(maxima))]


def _maxima(e: Emitter, x: Floats, rows: Rows) -> list[Value]:
    """Each row's largest |value| in one of the lanes of its register."""
    count = e.plan.rows_together

    def body(i: Value, mask: Mask, largest: list[Value]) -> list[Value]:
        return [e.max(largest[row], e.abs(_load(e, x, row, i, mask))) for row in range(count)]

    return rows([e.const(0.0)] * count, body)


@emitted(Floats, Values)
def quantize_signed(e: Emitter, x: Floats, out: Values) -> None:
    """Quantise rows to -127..127, as the first factor of a product."""
    rows = _whole(e, x)
    maxima = [] if e.a.is_float else _maxima(e, x, rows)
    _quantize(e, x, rows, maxima, True, e.a.offset(signed=True), out)


@emitted(Floats, int, Values)
def quantize_unsigned(e: Emitter, x: Floats, maxima: Value, out: Values) -> None:
    """Quantise rows without negative values to 0..255, as the first factor of a product.

    `maxima` is the address of one register a row, with the row's largest value in one of the lanes.
    """
    largest = [e.load(maxima, e.bytes * row) for row in range(e.plan.rows_together)]
    _quantize(e, x, _whole(e, x), largest, False, e.a.offset(signed=False), out)


def _quantize_head(e: Emitter, x: Floats, offset: int, out: Values) -> None:
    """Quantise rows of one head's channels to -127..127, with zeros after them."""
    count, vectors, rows = e.plan.rows_together, e.plan.head_vectors, _head(e)
    if e.a.is_float or count * vectors > e.a.accumulators:
        maxima = [] if e.a.is_float else _maxima(e, x, rows)
        _quantize(e, x, rows, maxima, True, offset, out)
        return
    # Few enough to be loaded once and stay in registers
    kept: list[list[Value]] = [[] for _ in range(count)]
    for v in range(vectors):
        for row in range(count):
            kept[row].append(_load(e, x, row, I64(v * e.bytes), _head_mask(e, v)))
    maxima = [functools.reduce(e.max, map(e.abs, row)) for row in kept]
    inverse = _scale_rows(e, maxima, True, out.scales)
    for row in range(count):
        for v, y in enumerate(kept[row]):
            at = e.at(out.at, e.times(out.row_bytes, row))
            e.store_values(y, inverse[row], offset, at, v * e.lanes * e.a.value_bytes)


@emitted(Floats, Values)
def quantize_key(e: Emitter, x: Floats, out: Values) -> None:
    """Quantise rows of one head's channels to -127..127, as the first factor of a product; zeros after them."""
    _quantize_head(e, x, e.a.offset(signed=True), out)


@emitted(Floats, Values)
def quantize_query(e: Emitter, x: Floats, out: Values) -> None:
    """Quantise rows of one head's queries or values to -127..127, as the second factor of a product."""
    _quantize_head(e, x, 0, out)


def _statistics(e: Emitter, x: Floats, width: Value) -> tuple[Value, Value]:
    """Mean and variance of the rows, folded. Padding columns are zero, so they add nothing to either sum."""
    count, zero = e.plan.rows_together, e.const(0.0)

    def sums(i: Value, carried: list[Value]) -> list[Value]:
        y = [e.load(_place(e, x, row, i)) for row in range(count)]
        plain = [e.b.fadd(carried[row], y[row]) for row in range(count)]
        return plain + [e.fma(y[row], y[row], carried[count + row]) for row in range(count)]

    totals = e.loop(x.row_bytes, e.bytes, [zero] * (2 * count), sums)
    share = e.b.fdiv(e.const(1.0), e.splat(width))
    mean = e.b.fmul(e.fold_rows(totals[:count], e.b.fadd), share)
    square = e.b.fmul(e.fold_rows(totals[count:], e.b.fadd), share)
    return mean, e.max(e.b.fsub(square, e.b.fmul(mean, mean)), zero)


def _normalize(e: Emitter, x: Floats, width: Value, finish: Callable[[Value, Value], Value]) -> list[Value]:
    """Normalise rows in place and apply `finish(y, i)` to each register.

    Returns each row's largest |value|, in one of the lanes of its register.
    """
    count = e.plan.rows_together
    mean, variance = _statistics(e, x, width)
    inverse = e.b.fdiv(e.const(1.0), e.sqrt(e.b.fadd(variance, e.const(LAYER_NORM_EPSILON))))
    means = [e.row(mean, row) for row in range(count)]
    inverses = [e.row(inverse, row) for row in range(count)]

    def body(i: Value, largest: list[Value]) -> list[Value]:
        new = []
        for row in range(count):
            at = _place(e, x, row, i)
            y = finish(e.b.fmul(e.b.fsub(e.load(at), means[row]), inverses[row]), i)
            e.store(y, at)
            new.append(e.max(largest[row], e.abs(y)))
        return new

    return e.loop(x.row_bytes, e.bytes, [e.const(0.0)] * count, body)


@emitted(Floats, float, int, int, Values)
def layer_norm(e: Emitter, x: Floats, width: Value, weight: Value, bias: Value, out: Values) -> None:
    """LayerNorm in place, and the rows quantised for the next product.

    `width` is the number of columns without padding; `weight` and `bias` are addresses of whole rows.
    """
    maxima = _normalize(
        e, x, width, lambda y, i: e.fma(y, e.load(e.b.add(weight, i)), e.load(e.b.add(bias, i)))
    )
    _quantize(e, x, _whole(e, x), maxima, True, e.a.offset(signed=True), out)


@emitted(Floats, float, int, int, Values)
def layer_norm_relu(e: Emitter, x: Floats, width: Value, weight: Value, bias: Value, out: Values) -> None:
    """As `layer_norm`, with ReLU before the rows are quantised."""
    zero = e.const(0.0)
    maxima = _normalize(
        e, x, width,
        lambda y, i: e.max(e.fma(y, e.load(e.b.add(weight, i)), e.load(e.b.add(bias, i))), zero),
    )  # fmt: skip
    _quantize(e, x, _whole(e, x), maxima, False, e.a.offset(signed=False), out)


@emitted(Floats, float)
def plain_norm(e: Emitter, x: Floats, width: Value) -> None:
    """LayerNorm without weight and bias, in place. Padding columns hold no meaningful values afterwards."""
    _normalize(e, x, width, lambda y, i: y)


@emitted(Floats, int)
def rms_norm(e: Emitter, x: Floats, weight: Value) -> None:
    """RMSNorm of one head's rows in place."""
    count, rows = e.plan.rows_together, _head(e)

    def squares(i: Value, mask: Mask, carried: list[Value]) -> list[Value]:
        y = [_load(e, x, row, i, mask) for row in range(count)]
        return [e.fma(y[row], y[row], carried[row]) for row in range(count)]

    totals = e.fold_rows(rows([e.const(0.0)] * count, squares), e.b.fadd)
    mean = e.b.fdiv(totals, e.const(float(e.plan.head_dim)))
    inverse = e.b.fdiv(e.const(1.0), e.sqrt(e.b.fadd(mean, e.const(RMS_NORM_EPSILON))))
    inverses = [e.row(inverse, row) for row in range(count)]

    def body(i: Value, mask: Mask, _: list[Value]) -> list[Value]:
        factor = e.load(e.b.add(weight, i))
        for row in range(count):
            at = _place(e, x, row, i)
            before = e.load(at)
            y = e.b.fmul(e.b.fmul(before, inverses[row]), factor)
            e.store(y if mask is None else e.b.select(mask, y, before), at)
        return []

    rows([], body)
