"""Work on rows of float32 between the matrix products: norms, and quantising to stored values.

`Plan.rows_together` rows are done at once, since a single row would wait for each of its reductions. What a reduction
gives is stored, and read by the next step when all rows of a block have been reduced: nothing waits for it then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from tessera_kernels.encoder.layout import Floats, Values
from tessera_kernels.encoder.simd import F32, I64, Emitter, Value, emitted

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


def _set_scales(e: Emitter, maxima: Sequence[Value], signed: bool, out: Values) -> None:
    """Store the rows' scales and the factors that make values of them.

    Args:
        e: the emitter.
        maxima: each row's largest |value| in one of the lanes of a register a row.
        signed: whether values are -127..127 or 0..255.
        out: whose scales and factors.
    """
    levels = 127.0 if signed else 255.0
    largest = e.max(e.fold_rows(maxima, e.max), e.const(TINY))
    e.store_rows(e.b.fmul(largest, e.const(1 / levels)), len(maxima), out.scales)
    e.store_rows(e.b.fdiv(e.const(levels), largest), len(maxima), out.factors)


def _largest(e: Emitter, x: Floats, rows: Rows) -> list[Value]:
    """Each row's largest |value| in one of the lanes of its register."""
    count = e.plan.rows_together

    def body(i: Value, mask: Mask, largest: list[Value]) -> list[Value]:
        return [e.max(largest[row], e.abs(_load(e, x, row, i, mask))) for row in range(count)]

    return rows([e.const(0.0)] * count, body)


def _each(e: Emitter, at: Value) -> list[Value]:
    """One float of each row, in all lanes."""
    return [e.splat(e.load(at, 4 * row, F32)) for row in range(e.plan.rows_together)]


def _round(e: Emitter, x: Floats, rows: Rows, offset: int, out: Values) -> None:
    """Store rows, times their factors, as values with an offset."""
    count = e.plan.rows_together
    factors = [e.const(1.0)] * count if e.a.is_float else _each(e, out.factors)

    def body(i: Value, mask: Mask, _: list[Value]) -> list[Value]:
        # i counts bytes of float32; a stored value takes a group's share of that
        place = e.b.udiv(i, I64(e.a.group)) if e.a.group > 1 else i
        for row in range(count):
            y = _load(e, x, row, i, mask)
            e.store_values(y, factors[row], offset, e.b.add(out.at, e.times(out.row_bytes, row)), place)
        return []

    rows([], body)


@emitted(Floats, Values)
def scale_rows(e: Emitter, x: Floats, out: Values) -> None:
    """Store the scales and factors with which rows become values of -127..127."""
    if not e.a.is_float:
        _set_scales(e, _largest(e, x, _whole(e, x)), True, out)


@emitted(int, Values)
def scale_unsigned(e: Emitter, maxima: Value, out: Values) -> None:
    """Store the scales and factors with which rows without negative values become values of 0..255.

    `maxima` is the address of one register a row, with the row's largest value in one of the lanes.
    """
    if not e.a.is_float:
        largest = [e.load(maxima, e.bytes * row) for row in range(e.plan.rows_together)]
        _set_scales(e, largest, False, out)


@emitted(Floats, Values)
def scale_head(e: Emitter, x: Floats, out: Values) -> None:
    """As `scale_rows`, for rows of one head's channels."""
    if not e.a.is_float:
        _set_scales(e, _largest(e, x, _head(e)), True, out)


@emitted(Floats, Values)
def round_signed(e: Emitter, x: Floats, out: Values) -> None:
    """Store scaled rows as values of -127..127, the first factor of a product."""
    _round(e, x, _whole(e, x), e.a.offset(signed=True), out)


@emitted(Floats, Values)
def round_unsigned(e: Emitter, x: Floats, out: Values) -> None:
    """Store scaled rows as values of 0..255, the first factor of a product."""
    _round(e, x, _whole(e, x), e.a.offset(signed=False), out)


@emitted(Floats, Values)
def round_key(e: Emitter, x: Floats, out: Values) -> None:
    """Store scaled rows of one head's channels as the first factor of a product, with zeros after them."""
    _round(e, x, _head(e), e.a.offset(signed=True), out)


@emitted(Floats, Values)
def round_query(e: Emitter, x: Floats, out: Values) -> None:
    """Store scaled rows of one head's queries or values as the second factor of a product; zeros after them."""
    _round(e, x, _head(e), 0, out)


@emitted(Floats, float, int, int)
def measure_rows(e: Emitter, x: Floats, width: Value, means: Value, factors: Value) -> None:
    """Store the rows' means, and the inverse of their standard deviations as their factors.

    `width` is the number of columns without padding: padding is zero, so it adds nothing to either sum.
    """
    count, zero = e.plan.rows_together, e.const(0.0)

    def sums(i: Value, carried: list[Value]) -> list[Value]:
        y = [e.load(_place(e, x, row, i)) for row in range(count)]
        plain = [e.b.fadd(carried[row], y[row]) for row in range(count)]
        return plain + [e.fma(y[row], y[row], carried[count + row]) for row in range(count)]

    totals = e.loop(x.row_bytes, e.bytes, [zero] * (2 * count), sums)
    share = e.b.fdiv(e.const(1.0), e.splat(width))
    mean = e.b.fmul(e.fold_rows(totals[:count], e.b.fadd), share)
    square = e.b.fmul(e.fold_rows(totals[count:], e.b.fadd), share)
    variance = e.max(e.b.fsub(square, e.b.fmul(mean, mean)), zero)
    inverse = e.b.fdiv(e.const(1.0), e.sqrt(e.b.fadd(variance, e.const(LAYER_NORM_EPSILON))))
    e.store_rows(mean, count, means)
    e.store_rows(inverse, count, factors)


def _normalize(
    e: Emitter, x: Floats, means: Value, factors: Value, finish: Callable[[Value, Value], Value]
) -> list[Value]:
    """Normalise measured rows in place and apply `finish(y, i)` to each register.

    Returns each row's largest |value|, in one of the lanes of its register.
    """
    count = e.plan.rows_together
    mean, inverse = _each(e, means), _each(e, factors)

    def body(i: Value, largest: list[Value]) -> list[Value]:
        new = []
        for row in range(count):
            at = _place(e, x, row, i)
            y = finish(e.b.fmul(e.b.fsub(e.load(at), mean[row]), inverse[row]), i)
            e.store(y, at)
            new.append(e.max(largest[row], e.abs(y)))
        return new

    return e.loop(x.row_bytes, e.bytes, [e.const(0.0)] * count, body)


@emitted(Floats, int, int, int, Values)
def layer_norm(e: Emitter, x: Floats, means: Value, weight: Value, bias: Value, out: Values) -> None:
    """LayerNorm of measured rows in place, and their scales and factors as values of -127..127.

    `weight` and `bias` are addresses of whole rows.
    """
    maxima = _normalize(
        e, x, means, out.factors,
        lambda y, i: e.fma(y, e.load(e.b.add(weight, i)), e.load(e.b.add(bias, i))),
    )  # fmt: skip
    if not e.a.is_float:
        _set_scales(e, maxima, True, out)


@emitted(Floats, int, int, int, Values)
def layer_norm_relu(e: Emitter, x: Floats, means: Value, weight: Value, bias: Value, out: Values) -> None:
    """As `layer_norm`, with ReLU, and values of 0..255."""
    zero = e.const(0.0)
    maxima = _normalize(
        e, x, means, out.factors,
        lambda y, i: e.max(e.fma(y, e.load(e.b.add(weight, i)), e.load(e.b.add(bias, i))), zero),
    )  # fmt: skip
    if not e.a.is_float:
        _set_scales(e, maxima, False, out)


@emitted(Floats, int, int)
def plain_norm(e: Emitter, x: Floats, means: Value, factors: Value) -> None:
    """LayerNorm of measured rows without weight and bias, in place. Padding columns then hold nothing meaningful."""
    _normalize(e, x, means, factors, lambda y, i: y)


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
