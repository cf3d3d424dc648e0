"""Read, write, copy and fill memory by address."""

from __future__ import annotations

from tessera_kernels.encoder.simd import F32, I32, I64, Emitter, Value, emitted


@emitted(int, result=float)
def load_float(e: Emitter, address: Value) -> Value:
    """The float32 at an address."""
    return e.load(address, 0, F32)


@emitted(int, float)
def store_float(e: Emitter, address: Value, value: Value) -> None:
    """Store a float32 at an address."""
    e.store(value, address)


@emitted(int, result=int)
def load_int(e: Emitter, address: Value) -> Value:
    """The int32 at an address."""
    return e.b.sext(e.load(address, 0, I32), I64)


@emitted(int, int, int)
def copy(e: Emitter, source: Value, target: Value, size: Value) -> None:
    """Copy whole registers."""

    def body(i: Value, _: list[Value]) -> list[Value]:
        e.store(e.load(e.b.add(source, i)), e.b.add(target, i))
        return []

    e.loop(size, e.bytes, [], body)


@emitted(int, int, float)
def fill(e: Emitter, target: Value, size: Value, value: Value) -> None:
    """Fill whole registers with a float32."""

    def body(i: Value, _: list[Value]) -> list[Value]:
        e.store(e.splat(value), e.b.add(target, i))
        return []

    e.loop(size, e.bytes, [], body)


@emitted(int, result=int)
def take_next(e: Emitter, counter: Value) -> Value:
    """Read the int64 at an address and add one to it, in one step that no other thread can interrupt."""
    return e.b.atomic_rmw("add", e.b.inttoptr(counter, I64.as_pointer()), I64(1), "monotonic")
