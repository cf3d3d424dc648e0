"""What is done to rows of float32 between the matrix products: norms, and quantising to stored values.

A few rows at once: one row alone waits for each of its reductions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tessera_kernels.encoder.simd import I64, Emitter, Value, emitted

LAYER_NORM_EPSILON = 1e-5
RMS_NORM_EPSILON = 1.1920928955078125e-07
"""torch.nn.RMSNorm's default: the machine epsilon of float32."""

TINY = 1e-12
"""Keeps the scale of an all-zero row from being zero."""


def _row(e: Emitter, x: Value, ld: Value, row: int, i: Value) -> Value:
    return e.b.add(x, e.b.add(e.times(ld, row), i))


def _quantize(
    e: Emitter,
    x: Value,
    ld: Value,
    size: Value,
    maxima: Sequence[Value],
    signed: bool,
    offset: int,
    out: Value,
    ldo: Value,
    scales: Value,
) -> None:
    """Store rows of `size` bytes as values, and their scales. `maxima`: a register a row, not yet folded."""
    count = e.plan.rows_together
    levels = e.const(127.0 if signed else 255.0)
    inverse: list[Value] = [levels] * count
    if not e.a.is_float:
        largest = e.max(e.fold_rows(maxima, e.max), e.const(TINY))
        e.store_rows(e.b.fdiv(largest, levels), count, scales)
        each = e.b.fdiv(levels, largest)
        inverse = [e.row(each, row) for row in range(count)]

    def body(i: Value, _: list[Value]) -> list[Value]:
        # i counts bytes of float32; a stored value takes a group's share of that
        place = e.b.udiv(i, I64(e.a.group)) if e.a.group > 1 else i
        for row in range(count):
            y = e.load(_row(e, x, ld, row, i))
            e.store_values(y, inverse[row], offset, e.b.add(out, e.times(ldo, row)), place)
        return []

    e.loop(size, e.bytes, [], body)


def _load_maxima(e: Emitter, maxima: Value) -> list[Value]:
    return [e.load(maxima, e.bytes * row) for row in range(e.plan.rows_together)]


@emitted("iiiiiii")
def quantize_signed(
    e: Emitter, x: Value, ld: Value, size: Value, maxima: Value, out: Value, ldo: Value, scales: Value
) -> None:
    """Rows as the first factor of a product, -127..127."""
    _quantize(e, x, ld, size, _load_maxima(e, maxima), True, e.a.offset(signed=True), out, ldo, scales)


@emitted("iiiiiii")
def quantize_unsigned(
    e: Emitter, x: Value, ld: Value, size: Value, maxima: Value, out: Value, ldo: Value, scales: Value
) -> None:
    """Rows that aren't negative as the first factor of a product, 0..255."""
    _quantize(e, x, ld, size, _load_maxima(e, maxima), False, e.a.offset(signed=False), out, ldo, scales)


@emitted("iiiiiii")
def quantize_second(
    e: Emitter, x: Value, ld: Value, size: Value, maxima: Value, out: Value, ldo: Value, scales: Value
) -> None:
    """Rows as the second factor of a product, -127..127."""
    _quantize(e, x, ld, size, _load_maxima(e, maxima), True, 0, out, ldo, scales)


@emitted("iiii")
def row_maxima(e: Emitter, x: Value, ld: Value, size: Value, maxima: Value) -> None:
    """Each row's largest |value|, a register a row."""
    count = e.plan.rows_together

    def body(i: Value, largest: list[Value]) -> list[Value]:
        return [e.max(largest[row], e.abs(e.load(_row(e, x, ld, row, i)))) for row in range(count)]

    for row, value in enumerate(e.loop(size, e.bytes, [e.const(0.0)] * count, body)):
        e.store(value, maxima, e.bytes * row)


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
    _quantize(e, x, ld, size, maxima, True, e.a.offset(signed=True), out, ldo, scales)


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
    _quantize(e, x, ld, size, maxima, False, e.a.offset(signed=False), out, ldo, scales)


@emitted("iiif")
def plain_norm(e: Emitter, x: Value, ld: Value, size: Value, width: Value) -> None:
    """LayerNorm without weight and bias, in place; padding columns become junk."""
    _normalize(e, x, ld, size, width, lambda y, i: y)


@emitted("iiifii")
def rms_norm(
    e: Emitter, x: Value, ld: Value, size: Value, width: Value, weight: Value, maxima: Value
) -> None:
    """RMSNorm of one head's rows in place; keeps the rows' |maxima|."""
    count = e.plan.rows_together

    def squares(i: Value, carried: list[Value]) -> list[Value]:
        y = [e.load(_row(e, x, ld, row, i)) for row in range(count)]
        return [e.fma(y[row], y[row], carried[row]) for row in range(count)]

    totals = e.fold_rows(e.loop(size, e.bytes, [e.const(0.0)] * count, squares), e.b.fadd)
    mean = e.b.fdiv(totals, e.splat(width))
    inverse = e.b.fdiv(e.const(1.0), e.sqrt(e.b.fadd(mean, e.const(RMS_NORM_EPSILON))))
    inverses = [e.row(inverse, row) for row in range(count)]

    def body(i: Value, largest: list[Value]) -> list[Value]:
        factor = e.load(e.b.add(weight, i))
        new = []
        for row in range(count):
            at = _row(e, x, ld, row, i)
            y = e.b.fmul(e.b.fmul(e.load(at), inverses[row]), factor)
            e.store(y, at)
            new.append(e.max(largest[row], e.abs(y)))
        return new

    for row, value in enumerate(e.loop(size, e.bytes, [e.const(0.0)] * count, body)):
        e.store(value, maxima, e.bytes * row)
