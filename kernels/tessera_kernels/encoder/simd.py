"""SIMD code for numba, emitted through llvmlite while numba compiles.

An `Emitter` writes vector code into the function that numba is building. A Python loop around it gives unrolled code;
`Emitter.loop` gives a loop at run time. Addresses are 64-bit integers: no reference counts, no bounds checks.
Everything is loaded with the alignment of its elements, since numpy's buffers guarantee no more.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tessera_kernels.encoder.plan import Plan

F32, I8, I16, I32, I64 = ir.FloatType(), ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64)

MAGIC = 12582912.0
"""1.5 * 2**23: the low bits of the mantissa of x + MAGIC are round_half_even(x), for |x| < 2**22."""

# 2**f on [-0.5, 0.5]: minimax polynomials, highest power first. The relative error is 7e-5, small
# compared with the 8-bit weights of attention, and 2e-7.
EXP2_SHORT = (0.05517162, 0.24261112, 0.69326099, 0.99992807)
EXP2_LONG = (1.535336e-4, 1.339887e-3, 9.618437e-3, 5.550332e-2, 2.402265e-1, 6.931472e-1, 1.0)

ROUND_DOWN = 1
"""Of `vreduceps`: x - floor(x), no fraction bits kept."""

CURRENT_ROUNDING = 4

Value = Any
"""An LLVM value; llvmlite has no types for mypy."""


def _from_zero(coefficients: Sequence[float]) -> list[float]:
    """A polynomial for 2**f on [-0.5, 0.5] as the one on [0, 1]: 2**f = sqrt(2) * 2**(f - 0.5)."""
    moved = [0.0]
    for coefficient in coefficients:
        # moved * (f - 0.5) + coefficient
        halved = [-0.5 * c for c in moved]
        moved = [a + b for a, b in zip([*moved, 0.0], [0.0, *halved], strict=True)]
        moved[-1] += coefficient
    return [math.sqrt(2) * c for c in moved[1:]]


class Emitter:
    """Emits vector code for a plan at an IR builder's position."""

    def __init__(self, builder: ir.IRBuilder, plan: Plan) -> None:
        self.b, self.plan = builder, plan
        self.a = plan.arithmetic
        self.lanes = self.a.lanes
        self.bytes = 4 * self.lanes  # of a vector
        self.vf, self.vi = ir.VectorType(F32, self.lanes), ir.VectorType(I32, self.lanes)
        self.stored = {1: F32, 2: I16, 4: I8}[self.a.group]

    # ---- addresses, memory, constants

    def at(self, address: Value, offset: int | Value) -> Value:
        """Address + offset, in bytes."""
        if isinstance(offset, int):
            return address if offset == 0 else self.b.add(address, I64(offset))
        return self.b.add(address, offset)

    def times(self, value: Value, factor: int) -> Value:
        """An integer times a constant."""
        return I64(0) if factor == 0 else self.b.mul(value, I64(factor))

    def load(self, address: Value, offset: int | Value = 0, kind: ir.Type | None = None) -> Value:
        """Load a value, by default a float vector."""
        kind = kind or self.vf
        value = self.b.load(self.b.inttoptr(self.at(address, offset), kind.as_pointer()))
        value.align = _alignment(kind)
        return value

    def store(self, value: Value, address: Value, offset: int | Value = 0) -> None:
        """Store any value."""
        pointer = self.b.inttoptr(self.at(address, offset), value.type.as_pointer())
        self.b.store(value, pointer).align = _alignment(value.type)

    def fetch(self, address: Value) -> None:
        """Have a cache line brought near, to be read soon. The address may be behind the last byte."""
        line = self.b.inttoptr(address, ir.IntType(8).as_pointer())
        self.call("llvm.prefetch.p0i8", ir.VoidType(), line, I32(0), I32(3), I32(1))

    def const(self, x: float) -> Value:
        """A float vector, the same in all lanes."""
        return ir.Constant(self.vf, [x] * self.lanes)

    def consti(self, n: int) -> Value:
        """An integer vector, the same in all lanes."""
        return ir.Constant(self.vi, [n] * self.lanes)

    def splat(self, x: Value) -> Value:
        """A vector with the scalar in all lanes."""
        kind = ir.VectorType(x.type, self.lanes)
        undefined = ir.Constant(kind, ir.Undefined)
        first = self.b.insert_element(undefined, x, I32(0))
        return self.b.shuffle_vector(first, undefined, self.consti(0))

    def shuffle(self, a: Value, b: Value, lanes: Sequence[int]) -> Value:
        """Lanes of a (0..n-1) and b (n..2n-1)."""
        return self.b.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes)))

    # ---- arithmetic

    def call(self, name: str, result: ir.Type, *values: Value) -> Value:
        """Call an LLVM intrinsic."""
        function = ir.FunctionType(result, [value.type for value in values])
        return self.b.call(cgutils.get_or_insert_function(self.b.module, function, name), values)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """A * b + c, rounded once where the CPU can."""
        if not self.a.has_fma:
            return self.b.fadd(self.b.fmul(a, b), c)
        return self.call(f"llvm.fma.v{self.lanes}f32", self.vf, a, b, c)

    def abs(self, a: Value) -> Value:
        """|a|."""
        return self.call(f"llvm.fabs.v{self.lanes}f32", self.vf, a)

    def sqrt(self, a: Value) -> Value:
        """Square root."""
        return self.call(f"llvm.sqrt.v{self.lanes}f32", self.vf, a)

    def max(self, a: Value, b: Value) -> Value:
        """The larger of a and b, b where either is NaN: exactly one instruction."""
        return self.b.select(self.b.fcmp_ordered(">", a, b), a, b)

    def dot(self, acc: Value, first: Value, second: Value) -> Value:
        """Add the products of groups to acc, lane by lane.

        `second` is signed, `first` as `unsigned_first` says.
        """
        a, lanes = self.a, self.lanes
        if a.dot == "fma":
            return self.fma(first, second, acc)
        if a.dot.startswith("vpdpbusd"):
            return self.call(f"llvm.x86.avx512.{a.dot}", self.vi, acc, first, second)
        if a.dot == "sdot":
            kind = ir.VectorType(I8, 4 * lanes)
            parts = (self.b.bitcast(v, kind) for v in (first, second))
            return self.call("llvm.aarch64.neon.sdot.v4i32.v16i8", self.vi, acc, *parts)
        kind = ir.VectorType(self.stored, a.group * lanes)
        x, y = (self.b.bitcast(v, kind) for v in (first, second))
        if a.dot == "pmaddwd":
            return self.b.add(acc, self.call("llvm.x86.avx2.pmadd.wd", self.vi, x, y))
        wide = ir.VectorType(I32, a.group * lanes)
        x = self.b.zext(x, wide) if a.unsigned_first else self.b.sext(x, wide)
        product = self.b.mul(x, self.b.sext(y, wide))
        for member in range(a.group):
            each = self.shuffle(product, product, range(member, a.group * lanes, a.group))
            acc = self.b.add(acc, each)
        return acc

    def exp2(self, y: Value) -> Value:
        """2**y for y <= 0; at least 2**-126, or 0 below that."""
        coefficients = EXP2_LONG if self.a.is_float else EXP2_SHORT
        if self.a.has_scale:
            # y - floor(y), and x * 2**floor(y)
            fraction = self._masked("reduce", y, I32(ROUND_DOWN))
            return self._masked("scalef", self._polynomial(_from_zero(coefficients), fraction), y)
        y = self.max(y, self.const(-126.0))
        shifted = self.b.fadd(y, self.const(MAGIC))
        fraction = self.b.fsub(y, self.b.fsub(shifted, self.const(MAGIC)))
        exponent = self.b.shl(self.b.bitcast(shifted, self.vi), self.consti(23))
        power = self.b.bitcast(self._polynomial(coefficients, fraction), self.vi)
        return self.b.bitcast(self.b.add(power, exponent), self.vf)

    def _polynomial(self, coefficients: Sequence[float], x: Value) -> Value:
        """Highest power first."""
        result = self.const(coefficients[0])
        for coefficient in coefficients[1:]:
            result = self.fma(result, x, self.const(coefficient))
        return result

    def _masked(self, name: str, x: Value, operand: Value) -> Value:
        """Call an AVX-512 instruction for all lanes that LLVM has only in its masked form."""
        every = ir.Constant(ir.IntType(self.lanes), -1)
        return self.call(
            f"llvm.x86.avx512.mask.{name}.ps.512", self.vf, x, operand, x, every, I32(CURRENT_ROUNDING)
        )

    # ---- across lanes

    def fold(self, v: Value, f: Callable[[Value, Value], Value]) -> Value:
        """Reduce a vector; the result is in all lanes."""
        half = self.lanes // 2
        while half:
            v = f(v, self.shuffle(v, v, [lane ^ half for lane in range(self.lanes)]))
            half //= 2
        return v

    def swap(self, a: Value, b: Value, bit: int) -> tuple[Value, Value]:
        """Exchange the lanes of a that have `bit` with the lanes of b that don't."""
        n = self.lanes
        low = [n + (lane ^ bit) if lane & bit else lane for lane in range(n)]
        high = [n + lane if lane & bit else lane ^ bit for lane in range(n)]
        return self.shuffle(a, b, low), self.shuffle(a, b, high)

    def fold_rows(self, rows: Sequence[Value], f: Callable[[Value, Value], Value]) -> Value:
        """Reduce a power of two of row vectors together: row r's result is in lane `_reversed(r)`.

        Eight rows together take 23 instructions instead of 64 and wait less for each other's results; a root or a
        division afterwards is done once for all of them.
        """
        vectors, bit = list(rows), self.lanes // 2
        while len(vectors) > 1:
            vectors = [f(*self.swap(vectors[i], vectors[i + 1], bit)) for i in range(0, len(vectors), 2)]
            bit //= 2
        v = vectors[0]
        while bit:
            v = f(v, self.shuffle(v, v, [lane ^ bit for lane in range(self.lanes)]))
            bit //= 2
        return v

    def _reversed(self, row: int) -> int:
        bits = self.lanes.bit_length() - 1
        return int(f"{row:0{bits}b}"[::-1], 2)

    def row(self, folded: Value, row: int) -> Value:
        """One row's result of `fold_rows`, in all lanes."""
        return self.shuffle(folded, folded, [self._reversed(row)] * self.lanes)

    def store_rows(self, folded: Value, count: int, address: Value) -> None:
        """Store the results of `fold_rows` as `count` floats in row order."""
        self.store(self.shuffle(folded, folded, [self._reversed(r) for r in range(count)]), address)

    def transpose(self, vectors: Sequence[Value]) -> list[Value]:
        """Transpose a lanes x lanes matrix of 32-bit values."""
        rows, bit = list(vectors), 1
        while bit < self.lanes:
            for i in range(self.lanes):
                if not i & bit:
                    rows[i], rows[i | bit] = self.swap(rows[i], rows[i | bit], bit)
            bit *= 2
        return rows

    # ---- stored values

    def rounded(self, x: Value, scale: Value, offset: int) -> Value:
        """round_half_even(x * scale) + offset in the low bits of each lane."""
        return self.b.bitcast(self.fma(x, scale, self.const(MAGIC + offset)), self.vi)

    def store_values(self, x: Value, scale: Value, offset: int, address: Value, place: int | Value) -> None:
        """Store x * scale, quantised, as consecutive values."""
        if self.a.is_float:
            self.store(x, address, place)
        else:
            narrow = ir.VectorType(self.stored, self.lanes)
            self.store(self.b.trunc(self.rounded(x, scale, offset), narrow), address, place)

    def pack(self, values: Sequence[Value]) -> Value:
        """Put the low bits of `group` integer vectors into each lane's group."""
        if self.a.is_float:
            return values[0]
        bits = 32 // self.a.group
        mask = self.consti((1 << bits) - 1)
        packed = self.b.and_(values[0], mask)
        for i, value in enumerate(values[1:-1], 1):
            packed = self.b.or_(packed, self.b.shl(self.b.and_(value, mask), self.consti(bits * i)))
        return self.b.or_(packed, self.b.shl(values[-1], self.consti(bits * (self.a.group - 1))))

    # ---- control

    def loop(
        self,
        end: Value,
        step: int | Value,
        carried: Sequence[Value],
        body: Callable[[Value, list[Value]], Sequence[Value]],
        start: Value | None = None,
    ) -> list[Value]:
        """For i in range(start or 0, end, step): carried = body(i, carried). Without a start, end must be > 0.

        The carried values stay in registers.
        """
        b, entry = self.b, self.b.block
        head, done = b.append_basic_block("loop"), b.append_basic_block("done")
        if start is None:
            b.branch(head)
        else:
            b.cbranch(b.icmp_signed("<", start, end), head, done)
        b.position_at_end(head)
        i = b.phi(I64)
        i.add_incoming(I64(0) if start is None else start, entry)
        phis = [b.phi(value.type) for value in carried]
        for phi, value in zip(phis, carried, strict=True):
            phi.add_incoming(value, entry)
        new = list(body(i, phis))
        after = b.add(i, I64(step) if isinstance(step, int) else step)
        for phi, value in zip([i, *phis], [after, *new], strict=True):
            phi.add_incoming(value, b.block)
        b.cbranch(b.icmp_signed("<", after, end), head, done)
        last = b.block
        b.position_at_end(done)
        if start is None:
            return new
        results = [b.phi(value.type) for value in carried]
        for result, value, untouched in zip(results, new, carried, strict=True):
            result.add_incoming(value, last)
            result.add_incoming(untouched, entry)
        return results


def _alignment(kind: ir.Type) -> int:
    element = kind.element if isinstance(kind, ir.VectorType) else kind
    return 4 if isinstance(element, ir.FloatType) else max(1, element.width // 8)


Kind = type[int] | type[float] | type[tuple[Any, ...]]
"""int: int64; float: float32; a NamedTuple class: of int64 only."""


def _numba_type(kind: Kind) -> Any:
    if issubclass(kind, tuple):
        return types.NamedUniTuple(types.int64, len(kind._fields), kind)  # type: ignore[attr-defined]
    return types.int64 if kind is int else types.float32


def emitted(*arguments: Kind, result: Kind | None = None) -> Callable[[Callable[..., Value]], Any]:
    """Make a jitted function of `emit(e, *values)`, which is called while numba compiles.

    The jitted function takes the plan in place of the emitter, then one value for each of `arguments`. `emit` gets a
    named tuple as one of LLVM values. It returns nothing, or one value of the type `result`.
    """

    def decorate(emit: Callable[..., Value]) -> Any:
        kinds = [_numba_type(kind) for kind in arguments]
        returned = types.void if result is None else _numba_type(result)

        def typer(context: Any, plan: Any, *_: Any) -> Any:
            def codegen(target: Any, builder: ir.IRBuilder, signature: Any, values: Iterable[Value]) -> Value:
                _, *rest = values
                unpacked = [
                    kind(*cgutils.unpack_tuple(builder, value)) if issubclass(kind, tuple) else value
                    for kind, value in zip(arguments, rest, strict=True)
                ]
                value = emit(Emitter(builder, signature.args[0].plan), *unpacked)
                return target.get_dummy_value() if result is None else value

            return returned(plan, *kinds), codegen

        # numba takes the number of arguments from the signature, and can't lower one with *args
        names = ["context", "plan", *(f"a{i}" for i in range(len(kinds)))]
        parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
        typer.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        typer.__name__ = emit.__name__
        return intrinsic(typer)

    return decorate
