"""Tiles: the matrix products, with what follows them done while the sums are still in registers.

Activations are rows of values, grouped in 32-bit lanes; weights are packed in tiles, see `pack.pack_tiles`:

    [column scales | biases | corrections | groups of weights], each `vectors` registers wide

so that y = sum * (row scale * column scale) + bias. The correction starts the sum and takes back the offset that
activations are stored with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tessera_kernels.encoder.layout import Floats, Values
from tessera_kernels.encoder.simd import F32, I32, I64, Emitter, Value, emitted


class Broadcast(NamedTuple):
    """A factor that is read one group a row, which is then broadcast to all lanes."""

    rows: int
    at: Value
    """address of the first row's first group"""
    row_bytes: Value
    """from row to row"""
    group_bytes: Value
    """from group to group"""


class Registers(NamedTuple):
    """A factor that is read by whole registers."""

    vectors: int
    """registers a group"""
    at: Value
    """address of the first group"""
    group_bytes: Value
    """from group to group"""


def mac(
    e: Emitter,
    a: Broadcast,
    w: Registers,
    count: Value,
    start: list[Value] | list[list[Value]],
    broadcast_first: bool = True,
    ahead: Value | None = None,
) -> list[list[Value]]:
    """sums[row][vector] = start + sum over count groups of a[row] * w[vector].

    The sums stay in registers from the first group to the last.

    Args:
        e: the emitter.
        a: the factor that is broadcast.
        w: the other one.
        count: groups, at least 1.
        start: a value for each vector, or for each row and vector.
        broadcast_first: whether `a` is the first argument of `Emitter.dot`.
        ahead: bytes from each group of `w` to a cache line that will be needed, and is fetched meanwhile.
    """
    per_row = start if isinstance(start[0], list) else [start] * a.rows
    group = F32 if e.a.is_float else I32
    offsets = [e.times(a.row_bytes, row) for row in range(a.rows)]
    vectors = w.vectors

    def step(_: Value, carried: list[Value]) -> list[Value]:
        at_w, at_a, *sums = carried
        weights = [e.load(at_w, e.bytes * v, e.vf if e.a.is_float else e.vi) for v in range(vectors)]
        if ahead is not None:
            e.fetch(e.at(at_w, ahead))
        new = []
        for row in range(a.rows):
            x = e.splat(e.load(at_a, offsets[row], group))
            for v in range(vectors):
                first, second = (x, weights[v]) if broadcast_first else (weights[v], x)
                new.append(e.dot(sums[row * vectors + v], first, second))
        return [e.at(at_w, w.group_bytes), e.at(at_a, a.group_bytes), *new]

    flat = [value for row in per_row for value in row]
    sums = e.loop(count, 1, [w.at, a.at, *flat], step)[2:]
    return [sums[row * vectors : (row + 1) * vectors] for row in range(a.rows)]


def outputs(
    e: Emitter, a: Values, groups: Value, w: Value, ahead: Value
) -> Iterator[tuple[int, list[Value]]]:
    """Each row of a tile's result as float vectors: (row, vectors). `ahead` as for `mac`."""
    vectors = e.plan.gemm_vectors
    width = e.bytes * vectors
    first = Broadcast(e.plan.tile_rows, a.at, a.row_bytes, I64(4))
    weights = Registers(vectors, e.at(w, 3 * width), width)
    bias = [e.load(w, width + e.bytes * v) for v in range(vectors)]
    if e.a.is_float:
        yield from enumerate(mac(e, first, weights, groups, bias, ahead=ahead))
        return
    start = [e.load(w, 2 * width + e.bytes * v, e.vi) for v in range(vectors)]
    for row, sums in enumerate(mac(e, first, weights, groups, start, ahead=ahead)):
        scale = e.splat(e.load(a.scales, 4 * row, F32))
        yield (
            row,
            [
                e.fma(
                    e.b.sitofp(total, e.vf),
                    e.b.fmul(scale, e.load(w, e.bytes * v)),
                    e.load(w, width + e.bytes * v),
                )
                for v, total in enumerate(sums)
            ],
        )


def _store_relu(e: Emitter, rows: Iterator[tuple[int, list[Value]]], out: Floats, maxima: Value) -> None:
    """Store max(rows, 0), and keep each row's largest values, one register a row, for `rows.quantize_unsigned`."""
    for row, vectors in rows:
        place = e.at(out.at, e.times(out.row_bytes, row))
        largest = e.load(maxima, e.bytes * row)
        for v, y in enumerate(vectors):
            y = e.max(y, e.const(0.0))
            e.store(y, place, e.bytes * v)
            largest = e.max(largest, y)
        e.store(largest, maxima, e.bytes * row)


@emitted(Values, int, int, int, Floats, int)
def tile_relu(
    e: Emitter, a: Values, groups: Value, w: Value, ahead: Value, out: Floats, maxima: Value
) -> None:
    """Store a tile of max(a W + bias, 0)."""
    _store_relu(e, outputs(e, a, groups, w, ahead), out, maxima)


@emitted(Values, int, int, int, Floats)
def tile_store(e: Emitter, a: Values, groups: Value, w: Value, ahead: Value, out: Floats) -> None:
    """Store a tile of a W + bias."""
    for row, vectors in outputs(e, a, groups, w, ahead):
        for v, y in enumerate(vectors):
            e.store(y, e.at(out.at, e.times(out.row_bytes, row)), e.bytes * v)


@emitted(Values, int, int, int, Floats)
def tile_add(e: Emitter, a: Values, groups: Value, w: Value, ahead: Value, out: Floats) -> None:
    """Add a tile of a W + bias to what is stored in out."""
    for row, vectors in outputs(e, a, groups, w, ahead):
        place = e.at(out.at, e.times(out.row_bytes, row))
        for v, y in enumerate(vectors):
            e.store(e.b.fadd(y, e.load(place, e.bytes * v)), place, e.bytes * v)


@emitted(int, int, int, Floats, int)
def tile_bands(e: Emitter, tokens: Value, bands: Value, w: Value, out: Floats, maxima: Value) -> None:
    """Store a tile of max(tokens W + bias, 0) in float32: 10 or 2 bands gain nothing from int8.

    The weights are one row of biases, then one row a band.
    """
    vectors = e.plan.gemm_vectors
    width = e.bytes * vectors
    rows = e.plan.tile_rows
    row_bytes = e.times(bands, 4)

    def step(i: Value, sums: list[Value]) -> list[Value]:
        at = e.b.add(w, e.times(e.b.add(i, I64(1)), width))
        weights = [e.load(at, e.bytes * v) for v in range(vectors)]
        new = []
        for row in range(rows):
            at = e.b.add(tokens, e.b.add(e.b.mul(row_bytes, I64(row)), e.times(i, 4)))
            x = e.splat(e.load(at, 0, F32))
            new += [e.fma(x, weight, sums[row * vectors + v]) for v, weight in enumerate(weights)]
        return new

    bias = [e.load(w, e.bytes * v) for v in range(vectors)]
    sums = e.loop(bands, 1, bias * rows, step)
    result = ((row, sums[row * vectors : (row + 1) * vectors]) for row in range(rows))
    _store_relu(e, result, out, maxima)
