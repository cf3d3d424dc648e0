"""Single values and plain runs of memory, by address."""

from __future__ import annotations

from tessera_kernels.encoder.simd import F32, I32, I64, Emitter, Value, emitted


@emitted("i", result="f")
def load_float(e: Emitter, address: Value) -> Value:
    """The float32 at an address."""
    return e.load(address, 0, F32)


@emitted("if")
def store_float(e: Emitter, address: Value, value: Value) -> None:
    """Put a float32 at an address."""
    e.store(value, address)


@emitted("i", result="i")
def load_int(e: Emitter, address: Value) -> Value:
    """The int32 at an address."""
    return e.b.sext(e.load(address, 0, I32), I64)


@emitted("iii")
def copy(e: Emitter, source: Value, target: Value, size: Value) -> None:
    """Copy whole registers."""

    def body(i: Value, _: list[Value]) -> list[Value]:
        e.store(e.load(e.b.add(source, i)), e.b.add(target, i))
        return []

    e.loop(size, e.bytes, [], body)


@emitted("iif")
def fill(e: Emitter, target: Value, size: Value, value: Value) -> None:
    """Fill whole registers with a float32."""

    def body(i: Value, _: list[Value]) -> list[Value]:
        e.store(e.splat(value), e.b.add(target, i))
        return []

    e.loop(size, e.bytes, [], body)


@emitted("i", result="i")
def take_next(e: Emitter, counter: Value) -> Value:
    """The int64 at an address, which is raised by one for whoever asks next, whatever thread that is."""
    return e.b.atomic_rmw("add", e.b.inttoptr(counter, I64.as_pointer()), I64(1), "monotonic")
