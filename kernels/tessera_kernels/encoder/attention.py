"""Attention of one head of one pixel, transposed: lanes are queries, keys run down memory.

So the softmax needs no reduction across lanes, its weights come out in the layout that the next product takes, and
keys and values are read by broadcast. Only the queries and the result are ever transposed. Scores are in units of
log2, since log2(e) / sqrt(head_dim) is part of the query's weights.

In integers, a value's scale is folded into its key's weight: weight = round(e * 255 * scale / largest scale).
"""

from __future__ import annotations

import functools

from llvmlite import ir

from tessera_kernels.encoder.simd import F32, I32, I64, Emitter, Value, emitted
from tessera_kernels.encoder.tiles import mac

LOWEST = -1e30
"""Below any score."""


@emitted("iiii")
def pack_queries(e: Emitter, q: Value, row: Value, groups: Value, out: Value) -> None:
    """Queries in lanes: `queries` rows of q -> [groups, up to whole registers][query vectors][lanes] groups."""
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


@emitted("iiii")
def interleave(e: Emitter, v: Value, row: Value, groups: Value, out: Value) -> None:
    """Values with tokens grouped: rows of one head -> [token groups][channels] groups."""
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


@emitted("iiiiiiii")
def scores(
    e: Emitter,
    k: Value,
    qt: Value,
    q_scales: Value,
    k_scales: Value,
    bias: Value,
    keys: Value,
    out: Value,
    largest_out: Value,
) -> None:
    """Scores of all keys against the queries in qt, [keys][query vectors][lanes], and each query's largest.

    Whole tiles are computed: rows past `keys` must be readable, and have a bias that is `LOWEST`.
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
                at = e.b.add(qt, e.times(i, width))
                return [e.dot(sums[v], ones, e.load(at, e.bytes * v, e.vi)) for v in range(count)]

            start = [e.b.mul(total, e.consti(-offset)) for total in e.loop(groups, 1, start, add)]
        scales = [e.load(q_scales, e.bytes * v) for v in range(count)]

    def tile(rows: int, i: Value, largest: list[Value]) -> list[Value]:
        sums = mac(e, rows, count, e.b.add(k, e.b.mul(i, row)), row, I64(4), qt, width, groups, start)
        largest = list(largest)
        for r in range(rows):
            key = e.times(e.b.add(i, I64(r)), 4)
            extra = e.splat(e.load(bias, key, F32))
            k_scale = None if e.a.is_float else e.splat(e.load(k_scales, key, F32))
            for v in range(count):
                if e.a.is_float:
                    x = e.b.fadd(sums[r][v], extra)
                else:
                    x = e.fma(e.b.fmul(e.b.sitofp(sums[r][v], e.vf), scales[v]), k_scale, extra)
                e.store(x, e.b.add(out, e.times(e.b.add(i, I64(r)), width)), e.bytes * v)
                largest[v] = e.max(x, largest[v])
        return largest

    rows, tail = e.plan.key_rows, e.plan.tail_rows
    whole = e.times(e.b.sdiv(keys, I64(rows)), rows)
    maxima = [e.const(LOWEST)] * count
    maxima = e.loop(whole, rows, maxima, functools.partial(tile, rows), start=I64(0))
    maxima = e.loop(keys, tail, maxima, functools.partial(tile, tail), start=whole)
    for v, value in enumerate(maxima):
        e.store(value, largest_out, e.bytes * v)


@emitted("iiiiii")
def softmax(
    e: Emitter, s: Value, keys: Value, largest: Value, weights: Value, p: Value, factor: Value
) -> None:
    """Turn scores into the weights of the next product, [token groups][query vectors][lanes] groups.

    Args:
        e: the emitter.
        s: scores, readable and `LOWEST` up to a whole group of keys.
        keys: how many.
        largest: address of the maxima.
        weights: each key's 255 * scale / largest scale, 0 past the last key, and before them largest scale / 255.
        p: the result.
        factor: where to store what each query's result is to be multiplied with, a register a query vector.
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


@emitted("iiiiiiii")
def context(
    e: Emitter,
    vt: Value,
    ldv: Value,
    groups: Value,
    p: Value,
    factor: Value,
    channels: Value,
    out: Value,
    maxima: Value,
) -> None:
    """The head's result, channels down and queries in lanes; keeps each query's largest |value|.

    Whole tiles are computed: channels past the last one must be readable and writable.
    """
    count, rows = e.plan.query_vectors, e.plan.context_rows
    width = e.bytes * count
    factors = [e.load(factor, e.bytes * v) for v in range(count)]
    offset = e.a.offset(signed=False)

    def tile(i: Value, largest: list[Value]) -> list[Value]:
        first = e.b.add(vt, e.times(i, 4))
        zero = e.const(0.0) if e.a.is_float else e.consti(0)
        start: list[list[Value]] = [[zero] * count for _ in range(rows)]
        if offset:
            start = _take_back(e, first, ldv, groups, rows, count, offset)
        sums = mac(e, rows, count, first, I64(4), ldv, p, width, groups, start, broadcast_first=False)
        largest = list(largest)
        for r in range(rows):
            for v in range(count):
                total = sums[r][v] if e.a.is_float else e.b.sitofp(sums[r][v], e.vf)
                y = e.b.fmul(total, factors[v])
                e.store(y, e.b.add(out, e.times(e.b.add(i, I64(r)), width)), e.bytes * v)
                largest[v] = e.max(largest[v], e.abs(y))
        return largest

    before = [e.load(maxima, e.bytes * v) for v in range(count)]
    for v, value in enumerate(e.loop(channels, rows, before, tile)):
        e.store(value, maxima, e.bytes * v)


def _take_back(
    e: Emitter, first: Value, ldv: Value, groups: Value, rows: int, count: int, offset: int
) -> list[list[Value]]:
    """What weights stored with an offset add too much: the offset times the channel's sum over all keys."""
    ones = ir.Constant(e.vi, [0x01010101] * e.lanes)

    def add(i: Value, sums: list[Value]) -> list[Value]:
        at = e.b.add(first, e.b.mul(i, ldv))
        return [e.dot(sums[r], ones, e.splat(e.load(at, 4 * r, I32))) for r in range(rows)]

    sums = e.loop(groups, 1, [e.consti(0)] * rows, add)
    return [[e.b.mul(total, e.consti(-offset))] * count for total in sums]


@emitted("iiiiii")
def finish(
    e: Emitter, context: Value, groups: Value, maxima: Value, out: Value, ldo: Value, scales: Value
) -> None:
    """All heads' results back to rows of tokens, quantised for the next product with a scale a token.

    `groups` are those of a row; whole registers of them are written.
    """
    count = e.plan.query_vectors
    width = e.bytes * count
    inverse = []
    for v in range(count):
        largest = e.max(e.load(maxima, e.bytes * v), e.const(1e-12))
        if not e.a.is_float:
            e.store(e.b.fmul(largest, e.const(1 / 127)), scales, e.bytes * v)
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
                row = e.b.add(out, e.times(ldo, v * e.lanes + lane))
                e.store(value, e.b.add(row, e.times(i, 4)))
        return []

    e.loop(groups, e.lanes, [], body)


@emitted("iiiiiiiii")
def pool(
    e: Emitter,
    x: Value,
    ld: Value,
    tokens: Value,
    query: Value,
    bias: Value,
    size: Value,
    s: Value,
    out: Value,
    last: Value,
) -> None:
    """Attention pooling of one pixel: softmax over tokens of x query + bias, then the weighted sum of x.

    In units of log2, like all scores; `query` and `bias` are scaled so. `s` holds a float for each token, `last` of
    them: whole registers.
    """

    def logit(i: Value, _: list[Value]) -> list[Value]:
        row = e.b.add(x, e.b.mul(i, ld))

        def add(at: Value, sums: list[Value]) -> list[Value]:
            return [e.fma(e.load(e.b.add(row, at)), e.load(e.b.add(query, at)), sums[0])]

        (total,) = e.loop(size, e.bytes, [e.const(0.0)], add)
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
            return [e.fma(weight, e.load(e.b.add(e.b.add(x, e.b.mul(i, ld)), at)), sums[0])]

        (weighted,) = e.loop(tokens, 1, [e.const(0.0)], add)
        e.store(e.b.fmul(weighted, inverse), e.b.add(out, at))
        return []

    e.loop(size, e.bytes, [], column)
