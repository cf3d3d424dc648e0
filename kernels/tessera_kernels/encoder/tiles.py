"""Tiles: the matrix products, with what follows them done while the sums are still in registers.

Activations are rows of values, grouped in 32-bit lanes; weights are packed in tiles, see `pack.pack_tiles`:

    [column scales | biases | corrections | groups of weights], each `vectors` registers wide

so that y = sum * (row scale * column scale) + bias. The correction starts the sum and takes back the offset that
activations are stored with.
"""

from __future__ import annotations

from collections.abc import Iterator

from tessera_kernels.encoder.simd import F32, I32, I64, Emitter, Value, emitted


def mac(
    e: Emitter,
    rows: int,
    vectors: int,
    a: Value,
    a_row: Value,
    a_step: Value,
    w: Value,
    w_step: int,
    count: Value,
    start: list[Value] | list[list[Value]],
    broadcast_first: bool = True,
) -> list[list[Value]]:
    """sums[row][vector] = start + sum over count groups of a[row] * w[vector].

    `a` is read one group a row and broadcast, `w` by registers. The sums never leave the registers.

    Args:
        e: the emitter.
        rows: of a.
        vectors: registers of w.
        a: address of the first row's first group.
        a_row: bytes from row to row.
        a_step: bytes from group to group.
        w: address of the first group's registers.
        w_step: bytes from group to group.
        count: groups, at least 1.
        start: a value for each vector, or for each row and vector.
        broadcast_first: whether `a` is what `Emitter.dot` takes first.
    """
    per_row = start if isinstance(start[0], list) else [start] * rows
    group = F32 if e.a.is_float else I32
    offsets = [e.times(a_row, row) for row in range(rows)]

    def step(_: Value, carried: list[Value]) -> list[Value]:
        at_w, at_a, *sums = carried
        weights = [e.load(at_w, e.bytes * v, e.vf if e.a.is_float else e.vi) for v in range(vectors)]
        new = []
        for row in range(rows):
            x = e.splat(e.load(at_a, offsets[row], group))
            for v in range(vectors):
                first, second = (x, weights[v]) if broadcast_first else (weights[v], x)
                new.append(e.dot(sums[row * vectors + v], first, second))
        return [e.at(at_w, w_step), e.at(at_a, a_step), *new]

    flat = [value for row in per_row for value in row]
    sums = e.loop(count, 1, [w, a, *flat], step)[2:]
    return [sums[row * vectors : (row + 1) * vectors] for row in range(rows)]


def outputs(
    e: Emitter, a: Value, lda: Value, groups: Value, w: Value, scales: Value
) -> Iterator[tuple[int, list[Value]]]:
    """Each row of a tile's result as float vectors: (row, vectors)."""
    vectors = e.plan.gemm_vectors
    width = e.bytes * vectors
    weights = e.at(w, 3 * width)
    bias = [e.load(w, width + e.bytes * v) for v in range(vectors)]
    rows = e.plan.tile_rows
    if e.a.is_float:
        yield from enumerate(mac(e, rows, vectors, a, lda, I64(4), weights, width, groups, bias))
        return
    start = [e.load(w, 2 * width + e.bytes * v, e.vi) for v in range(vectors)]
    for row, sums in enumerate(mac(e, rows, vectors, a, lda, I64(4), weights, width, groups, start)):
        scale = e.splat(e.load(scales, 4 * row, F32))
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


def _store_relu(
    e: Emitter, rows: Iterator[tuple[int, list[Value]]], out: Value, ldo: Value, maxima: Value
) -> None:
    """Store max(rows, 0), and keep each row's largest value as a register to be folded later."""
    for row, vectors in rows:
        place = e.at(out, e.times(ldo, row))
        largest = e.load(maxima, e.bytes * row)
        for v, y in enumerate(vectors):
            y = e.max(y, e.const(0.0))
            e.store(y, place, e.bytes * v)
            largest = e.max(largest, y)
        e.store(largest, maxima, e.bytes * row)


@emitted("iiiiiiii")
def tile_relu(
    e: Emitter,
    a: Value,
    lda: Value,
    groups: Value,
    w: Value,
    scales: Value,
    out: Value,
    ldo: Value,
    maxima: Value,
) -> None:
    """A tile of max(a W + bias, 0)."""
    rows = outputs(e, a, lda, groups, w, scales)
    _store_relu(e, rows, out, ldo, maxima)


@emitted("iiiiiii")
def tile_store(
    e: Emitter, a: Value, lda: Value, groups: Value, w: Value, scales: Value, out: Value, ldo: Value
) -> None:
    """A tile of a W + bias."""
    for row, vectors in outputs(e, a, lda, groups, w, scales):
        for v, y in enumerate(vectors):
            e.store(y, e.at(out, e.times(ldo, row)), e.bytes * v)


@emitted("iiiiiii")
def tile_add(
    e: Emitter, a: Value, lda: Value, groups: Value, w: Value, scales: Value, out: Value, ldo: Value
) -> None:
    """A tile of out + a W + bias."""
    for row, vectors in outputs(e, a, lda, groups, w, scales):
        place = e.at(out, e.times(ldo, row))
        for v, y in enumerate(vectors):
            e.store(e.b.fadd(y, e.load(place, e.bytes * v)), place, e.bytes * v)


@emitted("iiiiii")
def tile_bands(
    e: Emitter, tokens: Value, bands: Value, w: Value, out: Value, ldo: Value, maxima: Value
) -> None:
    """A tile of max(tokens W + bias, 0) in float32: 10 or 2 bands need no int8. Weights: [bias | bands rows]."""
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
    _store_relu(e, result, out, ldo, maxima)
