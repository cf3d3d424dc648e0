"""The plan: everything that is fixed when a kernel is compiled.

A `Plan` names the instruction set and the arithmetic. It is an argument of every jitted function. To numba each plan is
a type of its own, so each one gets its own code, in memory and in the cache on disk.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from numba import types
from numba.extending import NativeValue, models, register_model, typeof_impl, unbox


@dataclass(frozen=True)
class Arithmetic:
    """How one instruction set multiplies.

    A group is the part of the summed dimension that one 32-bit lane holds: four 8-bit values, two 16-bit values or
    one float32.

    Attributes:
        lanes: 32-bit lanes of a vector register.
        registers: vector registers there are.
        group: values in a lane; 4, 2 or 1 (float32).
        dot: which instruction sums a group's products into a lane, or `plain`; see `Emitter.dot`.
        unsigned_first: whether the first factor's 8-bit values are unsigned (x86) or signed (Arm).
        has_fma: whether a fused multiply-add is one instruction.
        has_scale: whether a fraction, and a multiplication by a power of two, are one instruction each (AVX-512).
    """

    lanes: int
    registers: int
    group: int
    dot: str
    unsigned_first: bool = False
    has_fma: bool = True
    has_scale: bool = False

    @property
    def is_float(self) -> bool:
        """Whether it computes in float32."""
        return self.group == 1

    @property
    def in_float(self) -> Arithmetic:
        """The same instruction set's arithmetic in float32."""
        return replace(self, group=1, dot="fma", unsigned_first=False)

    @property
    def sums_apart(self) -> bool:
        """Whether a second instruction sums the products, which needs one more register."""
        return self.dot in {"pmaddwd", "plain"}

    @property
    def value_bytes(self) -> int:
        """Bytes of one stored value."""
        return 4 // self.group

    @property
    def accumulators(self) -> int:
        """Registers of a tile that hold sums; the others hold the factors."""
        return 24 if self.registers == 32 else 12

    def offset(self, signed: bool) -> int:
        """Added to an activation's integer before it is stored, to be in the range of `dot`'s first argument."""
        if self.group != 4 or signed != self.unsigned_first:
            return 0
        return 128 if signed else -128


INT8 = {
    "avx512-vnni": Arithmetic(16, 32, 4, "vpdpbusd.512", unsigned_first=True, has_scale=True),
    "avx-vnni": Arithmetic(8, 16, 4, "vpdpbusd.256", unsigned_first=True),
    "avx2": Arithmetic(8, 16, 2, "pmaddwd"),
    "arm-dotprod": Arithmetic(4, 32, 4, "sdot"),
    "plain": Arithmetic(4, 16, 2, "plain", has_fma=False),
}
"""By instruction set, fastest first. All give the same integers."""

FLOAT32 = {isa: arithmetic.in_float for isa, arithmetic in INT8.items()}
"""The same for float32."""


@dataclass(frozen=True)
class Plan:
    """What a kernel is compiled for.

    Attributes:
        arithmetic: of the matrix products.
        gemm_vectors: width of a weight tile, in registers.
        head_dim: channels of an attention head.
        context_rows: channels of a tile of the attention's result.
        qk_norm: whether queries and keys pass an RMS norm.
        recurrent: whether tokens are pooled by a recurrence.
    """

    arithmetic: Arithmetic
    gemm_vectors: int
    head_dim: int
    context_rows: int
    qk_norm: bool
    recurrent: bool = False

    @property
    def head_vectors(self) -> int:
        """Registers that a stored head fills, its last one padded."""
        return -(-self.head_dim // self.arithmetic.lanes)

    @property
    def head_width(self) -> int:
        """Values of a stored head, padding included."""
        return self.head_vectors * self.arithmetic.lanes

    @property
    def rows_together(self) -> int:
        """Rows that are normalised or quantised at once: two sums a row must fit in the registers."""
        return 8 if self.arithmetic.registers == 32 and self.arithmetic.lanes >= 8 else 4

    @property
    def query_vectors(self) -> int:
        """Registers of queries that attention works on at once."""
        return {16: 1, 8: 2, 4: 4 if self.arithmetic.registers == 32 else 2}[self.arithmetic.lanes]

    @property
    def queries(self) -> int:
        """Queries that attention works on at once."""
        return self.query_vectors * self.arithmetic.lanes

    @property
    def key_rows(self) -> int:
        """Keys of a tile of scores."""
        return (
            self.arithmetic.accumulators
            // self.query_vectors
            // self.arithmetic.group
            * self.arithmetic.group
        )

    @property
    def tail_rows(self) -> int:
        """Keys of the tiles after the last whole one: fewer, since work on rows past the last key is wasted."""
        return min(8, self.key_rows)

    @property
    def tile_rows(self) -> int:
        """Rows of a weight tile's product."""
        return self.arithmetic.accumulators // self.gemm_vectors


def make_plan(
    arithmetic: Arithmetic, width: int, hidden: int, heads: int, qk_norm: bool, recurrent: bool = False
) -> Plan:
    """Choose tile sizes.

    Args:
        arithmetic: of the instruction set.
        width: channels of a token.
        hidden: of the feed-forward layer.
        heads: attention heads.
        qk_norm: whether queries and keys pass an RMS norm.
        recurrent: whether tokens are pooled by a recurrence.
    """
    head_dim = width // heads
    queries = Plan(arithmetic, 1, 1, 1, qk_norm).query_vectors
    tallest = arithmetic.accumulators // queries if queries > 1 else 16
    # Channels that a tile computes past the last one must be padding of the stored head: zeros
    heights = [
        height
        for height in range(1, tallest + 1)
        if -(-head_dim // height) * height <= -(-head_dim // arithmetic.lanes) * arithmetic.lanes
    ]

    def padded_products(vectors: int) -> int:
        tile = vectors * arithmetic.lanes
        columns = [width] * 4 + [hidden], [width]
        return sum(
            inputs * (-(-outputs // tile) * tile)
            for inputs, layers in zip((width, hidden), columns, strict=True)
            for outputs in layers
        )

    # These shapes load about as much for each product; they differ in how much they pad
    candidates = (4, 3) if arithmetic.registers == 32 else (2,) if arithmetic.sums_apart else (3, 2)
    return Plan(
        arithmetic,
        gemm_vectors=min(candidates, key=padded_products),
        head_dim=head_dim,
        context_rows=min(heights, key=lambda height: -(-head_dim // height) * (height + queries)),
        qk_norm=qk_norm,
        recurrent=recurrent,
    )


def make_fusion_plan(plan: Plan) -> Plan:
    """The plan of the fusion that belongs to a branch's plan: the same for all networks with tiles of one width."""
    return Plan(plan.arithmetic.in_float, plan.gemm_vectors, head_dim=1, context_rows=1, qk_norm=False)


class PlanType(types.Type):
    """The numba type of one plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        super().__init__(name=f"{plan}")


@typeof_impl.register(Plan)
def _typeof_plan(plan: Plan, context: object) -> PlanType:
    return PlanType(plan)


@register_model(PlanType)
class _PlanModel(models.OpaqueModel):
    """A plan has no value at run time."""


@unbox(PlanType)
def _unbox_plan(typ: PlanType, value: Any, c: Any) -> NativeValue:
    return NativeValue(c.context.get_dummy_value())
