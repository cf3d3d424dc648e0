"""Attention of one head of one pixel, transposed: lanes are queries, keys follow one another in memory.

The softmax therefore needs no reduction across lanes, its weights are written in the layout that the next product
reads, and keys and values are read by broadcast. Only the queries and the result are transposed. Scores are in units
of log2, since log2(e) / sqrt(head_dim) is part of the query's weights.

In integers, a value's scale is folded into its key's weight: weight = round(e * 255 * scale / largest scale).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from llvmlite import ir

from tessera_kernels.encoder.layout import Floats, Values
from tessera_kernels.encoder.simd import F32, I32, I64, Emitter, Value, emitted
from tessera_kernels.encoder.tiles import Broadcast, Registers, mac

LOWEST = -1e30
"""Below any score."""


class Keys(NamedTuple):
    """One head's keys of one pixel."""

    at: Value
    """address of the first key"""
    scales: Value
    """address of the keys' float32 scales; not used in float32"""
    bias: Value
    """address of the float32 that is added to each key's scores"""
    count: Value


class HeadValues(NamedTuple):
    """One head's values of one pixel, as `interleave` writes them."""

    at: Value
    """address of the first group of tokens"""
    group_bytes: Value
    """from group to group"""
    groups: Value
    """groups of tokens"""
    channels: Value


@emitted(int, int, int, int)
def pack_queries(e: Emitter, q: Value, row: Value, groups: Value, out: Value) -> None:
    """Put queries into lanes: `Plan.queries` rows of q -> [groups, up to whole registers][query vectors][lanes].

    `row` is the bytes from query to query. An element of the result is a group of channels.
    """
    count = e.plan.query_vectors

    def body(i: Value, _: list[Value]) -> list[Value]:
        for vector in range(count):
            first = e.b.add(e.b.add(q, e.times(row, vector * e.lanes)), e.times(i, 4))
            loaded = [e.load(e.at(first, e.times(row, lane)), 0, e.vi) for lane in range(e.lanes)]
            for lane, value in enumerate(e.transpose(loaded)):
                place = e.times(e.b.add(e.times(i, count), I64(lane * count + vector)), e.bytes)
                e.store(value, e.b.add(out, place))
        return []

    e.loop(groups, e.lanes, [], body)


@emitted(int, int, int, int)
def interleave(e: Emitter, v: Value, row: Value, groups: Value, out: Value) -> None:
    """Group values by tokens: one head's rows -> [groups of tokens][channels].

    `row` is the bytes from token to token. An element of the result is a group of tokens.
    """
    width = e.plan.head_vectors

    def body(i: Value, _: list[Value]) -> list[Value]:
        first = e.b.add(v, e.b.mul(e.times(i, e.a.group), row))
        for vector in range(width):
            parts = []
            for member in range(e.a.group):
                at = e.at(first, e.times(row, member))
                narrow = ir.VectorType(e.stored, e.lanes)
                loaded = e.load(at, vector * e.lanes * e.a.value_bytes, narrow)
                parts.append(loaded if e.a.is_float else e.b.zext(loaded, e.vi))
            e.store(e.pack(parts), e.b.add(out, e.times(e.b.add(e.times(i, width), I64(vector)), e.bytes)))
        return []

    e.loop(groups, 1, [], body)


@emitted(int, int, int)
def weigh_keys(e: Emitter, scales: Value, tokens: Value, out: Value) -> None:
    """Store the weights that `softmax` reads: each value's scale relative to the largest one.

    Whole registers are read, and written behind the first float.

    Args:
        e: the emitter.
        scales: address of the values' float32 scales.
        tokens: their number.
        out: address of the result.
    """
    numbers = ir.Constant(e.vi, list(range(e.lanes)))

    def load(i: Value) -> Value:
        left = e.splat(e.b.trunc(e.b.sub(tokens, i), I32))
        own = e.b.icmp_signed("<", numbers, left)
        return e.b.select(own, e.load(e.b.add(scales, e.times(i, 4))), e.const(0.0))

    def maximum(i: Value, largest: list[Value]) -> list[Value]:
        return [e.max(largest[0], load(i))]

    (largest,) = e.loop(tokens, e.lanes, [e.const(1e-30)], maximum)
    largest = e.fold(largest, e.max)
    e.store(e.b.extract_element(e.b.fdiv(largest, e.const(255.0)), I32(0)), out)
    factor = e.b.fdiv(e.const(255.0), largest)

    def weigh(i: Value, _: list[Value]) -> list[Value]:
        e.store(e.b.fmul(load(i), factor), e.b.add(out, e.times(e.b.add(i, I64(1)), 4)))
        return []

    e.loop(tokens, e.lanes, [], weigh)


@emitted(Keys, int, int, int, int)
def scores(
    e: Emitter, keys: Keys, queries: Value, query_scales: Value, out: Value, largest_out: Value
) -> None:
    """Scores of all keys against some queries, and each query's largest.

    Whole tiles are computed: rows after the last key must be readable and have the bias `LOWEST`.

    Args:
        e: the emitter.
        keys: the keys.
        queries: address of what `pack_queries` wrote.
        query_scales: address of the queries' float32 scales; not used in float32.
        out: address of the scores, [keys][query vectors][lanes] float32.
        largest_out: address of the maxima, [query vectors][lanes] float32.
    """
    count = e.plan.query_vectors
    width = e.bytes * count
    # A constant, so that a tile's rows need no register each for their addresses
    row = I64(e.plan.head_width * e.a.value_bytes)
    groups = I64(-(-e.plan.head_dim // e.a.group))
    offset = e.a.offset(signed=True)
    if e.a.is_float:
        start = [e.const(0.0)] * count
        scales = []
    else:
        start = [e.consti(0)] * count
        if offset:
            ones = ir.Constant(e.vi, [0x01010101] * e.lanes)

            def add(i: Value, sums: list[Value]) -> list[Value]:
                at = e.b.add(queries, e.times(i, width))
                return [e.dot(sums[v], ones, e.load(at, e.bytes * v, e.vi)) for v in range(count)]

            start = [e.b.mul(total, e.consti(-offset)) for total in e.loop(groups, 1, start, add)]
        scales = [e.load(query_scales, e.bytes * v) for v in range(count)]

    def tile(rows: int, i: Value, largest: list[Value]) -> list[Value]:
        first = Broadcast(rows, e.b.add(keys.at, e.b.mul(i, row)), row, I64(4))
        sums = mac(e, first, Registers(count, queries, width), groups, start)
        largest = list(largest)
        for r in range(rows):
            key = e.times(e.b.add(i, I64(r)), 4)
            extra = e.splat(e.load(keys.bias, key, F32))
            k_scale = None if e.a.is_float else e.splat(e.load(keys.scales, key, F32))
            for v in range(count):
                if e.a.is_float:
                    x = e.b.fadd(sums[r][v], extra)
                else:
                    x = e.fma(e.b.fmul(e.b.sitofp(sums[r][v], e.vf), scales[v]), k_scale, extra)
                e.store(x, e.b.add(out, e.times(e.b.add(i, I64(r)), width)), e.bytes * v)
                largest[v] = e.max(x, largest[v])
        return largest

    rows, tail = e.plan.key_rows, e.plan.tail_rows
    whole = e.times(e.b.sdiv(keys.count, I64(rows)), rows)
    maxima = [e.const(LOWEST)] * count
    maxima = e.loop(whole, rows, maxima, functools.partial(tile, rows), start=I64(0))
    maxima = e.loop(keys.count, tail, maxima, functools.partial(tile, tail), start=whole)
    for v, value in enumerate(maxima):
        e.store(value, largest_out, e.bytes * v)


@emitted(int, int, int, int, int, int)
def softmax(
    e: Emitter, s: Value, keys: Value, largest: Value, weights: Value, p: Value, factor: Value
) -> None:
    """Turn scores into the weights of the next product, [token groups][query vectors][lanes] groups.

    Args:
        e: the emitter.
        s: address of the scores, readable and `LOWEST` up to a whole group of keys.
        keys: their number.
        largest: address of the maxima.
        weights: address of largest scale / 255, followed by each key's 255 * scale / largest scale, then zeros up to
            a whole group of keys.
        p: address of the result.
        factor: address of the factor of each query's result, one register a query vector.
    """
    count = e.plan.query_vectors
    width = e.bytes * count
    maxima = [e.load(largest, e.bytes * v) for v in range(count)]

    def body(i: Value, totals: list[Value]) -> list[Value]:
        totals = list(totals)
        packed: list[list[Value]] = [[] for _ in range(count)]
        for member in range(e.a.group):
            key = e.b.add(i, I64(member))
            weight = None if e.a.is_float else e.splat(e.load(weights, e.times(e.b.add(key, I64(1)), 4), F32))
            for v in range(count):
                at = e.b.add(s, e.times(key, width))
                x = e.exp2(e.b.fsub(e.load(at, e.bytes * v), maxima[v]))
                totals[v] = e.b.fadd(totals[v], x)
                packed[v].append(x if e.a.is_float else e.rounded(x, weight, e.a.offset(signed=False)))
        for v in range(count):
            place = e.times(e.b.sdiv(i, I64(e.a.group)), width)
            e.store(e.pack(packed[v]), e.b.add(p, place), e.bytes * v)
        return totals

    totals = e.loop(keys, e.a.group, [e.const(0.0)] * count, body)
    numerator = e.const(1.0) if e.a.is_float else e.splat(e.load(weights, 0, F32))
    for v, total in enumerate(totals):
        e.store(e.b.fdiv(numerator, total), factor, e.bytes * v)


@emitted(HeadValues, int, int, int, int)
def context(e: Emitter, values: HeadValues, p: Value, factor: Value, out: Value, maxima: Value) -> None:
    """The head's result, [channels][query vectors][lanes]; raises each query's largest |value| in `maxima`.

    Whole tiles are computed: channels after the last one must be readable and writable. `p` and `factor` are the
    addresses of what `softmax` wrote.
    """
    count, rows = e.plan.query_vectors, e.plan.context_rows
    width = e.bytes * count
    factors = [e.load(factor, e.bytes * v) for v in range(count)]
    offset = e.a.offset(signed=False)

    def tile(i: Value, largest: list[Value]) -> list[Value]:
        first = e.b.add(values.at, e.times(i, 4))
        zero = e.const(0.0) if e.a.is_float else e.consti(0)
        start: list[list[Value]] = [[zero] * count for _ in range(rows)]
        if offset:
            start = _take_back(e, values._replace(at=first), rows, count, offset)
        channels = Broadcast(rows, first, I64(4), values.group_bytes)
        weights = Registers(count, p, width)
        sums = mac(e, channels, weights, values.groups, start, broadcast_first=False)
        largest = list(largest)
        for r in range(rows):
            for v in range(count):
                total = sums[r][v] if e.a.is_float else e.b.sitofp(sums[r][v], e.vf)
                y = e.b.fmul(total, factors[v])
                e.store(y, e.b.add(out, e.times(e.b.add(i, I64(r)), width)), e.bytes * v)
                largest[v] = e.max(largest[v], e.abs(y))
        return largest

    before = [e.load(maxima, e.bytes * v) for v in range(count)]
    for v, value in enumerate(e.loop(values.channels, rows, before, tile)):
        e.store(value, maxima, e.bytes * v)


def _take_back(e: Emitter, values: HeadValues, rows: int, count: int, offset: int) -> list[list[Value]]:
    """Start of the sums where weights are stored with an offset: minus the offset times the channel's sum."""
    ones = ir.Constant(e.vi, [0x01010101] * e.lanes)

    def add(i: Value, sums: list[Value]) -> list[Value]:
        at = e.b.add(values.at, e.b.mul(i, values.group_bytes))
        return [e.dot(sums[r], ones, e.splat(e.load(at, 4 * r, I32))) for r in range(rows)]

    sums = e.loop(values.groups, 1, [e.consti(0)] * rows, add)
    return [[e.b.mul(total, e.consti(-offset))] * count for total in sums]


@emitted(int, int, int, Values)
def finish(e: Emitter, context: Value, groups: Value, maxima: Value, out: Values) -> None:
    """Transpose all heads' results back to rows of tokens, quantised for the next product with a scale a token.

    `groups` is the number of groups of a row; whole registers of them are written.
    """
    count = e.plan.query_vectors
    width = e.bytes * count
    inverse = []
    for v in range(count):
        largest = e.max(e.load(maxima, e.bytes * v), e.const(1e-12))
        if not e.a.is_float:
            e.store(e.b.fmul(largest, e.const(1 / 127)), out.scales, e.bytes * v)
        inverse.append(e.b.fdiv(e.const(127.0), largest))

    def body(i: Value, _: list[Value]) -> list[Value]:
        for v in range(count):
            vectors = []
            for lane in range(e.lanes):
                channel = e.times(e.b.add(i, I64(lane)), e.a.group)
                parts = []
                for member in range(e.a.group):
                    y = e.load(e.b.add(context, e.times(e.b.add(channel, I64(member)), width)), e.bytes * v)
                    parts.append(y if e.a.is_float else e.rounded(y, inverse[v], e.a.offset(signed=True)))
                vectors.append(e.pack(parts))
            for lane, value in enumerate(e.transpose(vectors)):
                row = e.b.add(out.at, e.times(out.row_bytes, v * e.lanes + lane))
                e.store(value, e.b.add(row, e.times(i, 4)))
        return []

    e.loop(groups, e.lanes, [], body)


@emitted(Floats, int, int, int, int, int)
def pool(e: Emitter, x: Floats, tokens: Value, query: Value, bias: Value, s: Value, out: Value) -> None:
    """Attention pooling of one pixel: softmax over tokens of x query + bias, then the weighted sum of x.

    Logits are in units of log2; `query` and `bias` are scaled accordingly.

    Args:
        e: the emitter.
        x: the pixel's rows.
        tokens: how many.
        query: address of a row.
        bias: address of a float32 for each token.
        s: address of scratch, a float32 for each token up to whole registers.
        out: address of the result, a row.
    """
    last = e.b.and_(e.b.add(tokens, I64(e.lanes - 1)), I64(-e.lanes))

    def logit(i: Value, _: list[Value]) -> list[Value]:
        row = e.b.add(x.at, e.b.mul(i, x.row_bytes))

        def add(at: Value, sums: list[Value]) -> list[Value]:
            return [e.fma(e.load(e.b.add(row, at)), e.load(e.b.add(query, at)), sums[0])]

        (total,) = e.loop(x.row_bytes, e.bytes, [e.const(0.0)], add)
        value = e.b.extract_element(e.fold(total, e.b.fadd), I32(0))
        place = e.times(i, 4)
        e.store(e.b.fadd(value, e.load(bias, place, F32)), e.b.add(s, place))
        return []

    # The last register may be filled in part only
    e.store(e.const(LOWEST), e.b.add(s, e.times(e.b.sub(last, I64(e.lanes)), 4)))
    e.loop(tokens, 1, [], logit)

    def maximum(i: Value, largest: list[Value]) -> list[Value]:
        return [e.max(largest[0], e.load(e.b.add(s, e.times(i, 4))))]

    (largest,) = e.loop(last, e.lanes, [e.const(LOWEST)], maximum)
    largest = e.fold(largest, e.max)

    def weigh(i: Value, totals: list[Value]) -> list[Value]:
        at = e.b.add(s, e.times(i, 4))
        weight = e.exp2(e.b.fsub(e.load(at), largest))
        e.store(weight, at)
        return [e.b.fadd(totals[0], weight)]

    (total,) = e.loop(last, e.lanes, [e.const(0.0)], weigh)
    inverse = e.b.fdiv(e.const(1.0), e.fold(total, e.b.fadd))

    def column(at: Value, _: list[Value]) -> list[Value]:
        def add(i: Value, sums: list[Value]) -> list[Value]:
            weight = e.splat(e.load(s, e.times(i, 4), F32))
            return [e.fma(weight, e.load(e.b.add(e.b.add(x.at, e.b.mul(i, x.row_bytes)), at)), sums[0])]

        (weighted,) = e.loop(tokens, 1, [e.const(0.0)], add)
        e.store(e.b.fmul(weighted, inverse), e.b.add(out, at))
        return []

    e.loop(x.row_bytes, e.bytes, [], column)
