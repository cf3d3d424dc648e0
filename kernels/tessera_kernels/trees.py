"""Sums over many decision trees, for many vectors.

A node sends a vector to its left child if vector[feature] <= threshold. Trees of any size are walked. Trees of few
leaves are faster without walking (Lucchese et al. 2015, "QuickScorer", SIGIR): values become numbers of thresholds, one
byte each, and every node that a vector doesn't pass to the left removes the leaves of its left branch from a set of
bits; the lowest bit that stays is the leaf. That has no branches, so it runs on many vectors at once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel
from tessera_kernels.threads import in_shares

MOST_LEAVES = 16
"""Leaves of a tree that fit into one set of bits."""

MOST_EDGES = 255
"""Different thresholds of a feature that a byte can count."""

DE_BRUIJN = np.uint32(0x09AF)
"""Every four of its bits in a row, zeros behind them, are different: in its product with 2**i, cut to 16 bits, the
upper four name i."""

TILE = 256
"""Vectors that are computed together: their bytes and sums stay in the first cache."""


_PLACES = ((1 << np.arange(MOST_LEAVES)) * int(DE_BRUIJN) & 0xFFFF) >> 12
"""Where the value of the i-th leaf from the left lies."""


class Trees(NamedTuple):
    """Trees, one after the other. Children come after their parents.

    Attributes:
        roots: (T + 1,) int32: tree t has the nodes from roots[t] to roots[t + 1].
        feature: (M,) int32 of each node; -1 for a leaf.
        threshold: (M,) float32.
        left: (M,) int32, number of the child for values up to the threshold.
        right: (M,) int32.
        leaf: (M,) int32, row of `values` of a leaf; -1 for other nodes.
        values: (L, V) float32 of the leaves.
    """

    roots: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    leaf: NDArray[np.int32]
    values: NDArray[np.float32]


class SmallTrees(NamedTuple):
    """Trees of at most `MOST_LEAVES` leaves, as sets of bits.

    Attributes:
        used: (F,) int32, the features that have thresholds.
        starts: (F + 1,) int32: feature f has the edges from starts[f] to starts[f + 1].
        edges: thresholds, sorted for each feature, float32.
        nodes: (T + 1,) int32: tree t has the nodes from nodes[t] to nodes[t + 1], without leaves.
        feature: number in `used`, int32, of each node.
        edge: number of the threshold among its feature's, uint8.
        kept: uint16, the leaves that stay where the value is above the threshold.
        values: (T, MOST_LEAVES, V) float32 of the leaves, in the order of `_PLACES`.
    """

    used: NDArray[np.int32]
    starts: NDArray[np.int32]
    edges: NDArray[np.float32]
    nodes: NDArray[np.int32]
    feature: NDArray[np.int32]
    edge: NDArray[np.uint8]
    kept: NDArray[np.uint16]
    values: NDArray[np.float32]


@kernel(nogil=True)
def _walk(
    values: NDArray[Any],
    scales: NDArray[np.float32],
    trees: Trees,
    shared: bool,
    out: NDArray[np.float32],
) -> None:
    roots, feature, threshold, left, right, leaf, leaves = trees
    width, outputs = leaves.shape[1], out.shape[1]
    tile = np.empty((TILE, values.shape[1]), np.float32)
    for first in range(0, values.shape[0], TILE):
        count = min(TILE, values.shape[0] - first)
        for p in range(count):
            for k in range(values.shape[1]):
                tile[p, k] = np.float32(values[first + p, k]) * scales[first + p]
        for tree in range(len(roots) - 1):
            column = 0 if shared else tree % outputs
            for p in range(count):
                node = roots[tree]
                while feature[node] >= 0:
                    node = left[node] if tile[p, feature[node]] <= threshold[node] else right[node]
                for v in range(width):
                    out[first + p, column + v] += leaves[leaf[node], v]


@kernel(nogil=True)
def _count_edges(value: np.float32, edges: NDArray[np.float32], start: int, stop: int) -> int:
    """How many edges lie below the value, which passes to the left of an edge if as many or fewer precede it."""
    low, high = start, stop
    while low < high:
        middle = (low + high) >> 1
        if edges[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low - start


@kernel(nogil=True)
def _select(
    values: NDArray[Any],
    scales: NDArray[np.float32],
    trees: SmallTrees,
    shared: bool,
    out: NDArray[np.float32],
) -> None:
    used, starts, edges, nodes, feature, edge, kept, leaves = trees
    width, outputs = leaves.shape[2], out.shape[1]
    counted = np.empty((len(used), TILE), np.uint8)
    bits = np.empty(TILE, np.uint16)
    sums = np.empty((outputs, TILE), np.float32)
    for first in range(0, values.shape[0], TILE):
        count = min(TILE, values.shape[0] - first)
        for p in range(count):
            scale = scales[first + p]
            for f in range(len(used)):
                value = np.float32(values[first + p, used[f]]) * scale
                counted[f, p] = _count_edges(value, edges, starts[f], starts[f + 1])
        sums[:] = 0.0
        for tree in range(len(nodes) - 1):
            bits[:] = 0xFFFF
            for node in range(nodes[tree], nodes[tree + 1]):
                row, most, mask = counted[feature[node]], edge[node], kept[node]
                for p in range(TILE):
                    bits[p] &= mask if row[p] > most else np.uint16(0xFFFF)
            column = 0 if shared else tree % outputs
            for v in range(width):
                total = sums[column + v]
                for p in range(TILE):
                    low = np.uint32(bits[p]) & (~np.uint32(bits[p]) + np.uint32(1))
                    total[p] += leaves[tree, ((low * DE_BRUIJN) & np.uint32(0xFFFF)) >> np.uint32(12), v]
        for c in range(outputs):
            for p in range(count):
                out[first + p, c] += sums[c, p]


def sum_trees(
    values: NDArray[Any],
    scales: NDArray[np.float32] | None,
    trees: Trees | SmallTrees,
    outputs: int,
) -> NDArray[np.float32]:
    """The sum of the leaves that each vector reaches.

    Args:
        values: (N, K) int8 codes or float32.
        scales: (N,) float32 of the codes; None: all 1.
        trees: whose leaves have `outputs` values, or one value: then tree t adds to output t % outputs.
        outputs: of the result.

    Returns:
        (N, outputs) float32.

    Raises:
        ValueError: shapes disagree.
    """
    width = trees.values.shape[-1]
    scales = np.ones(len(values), np.float32) if scales is None else np.ascontiguousarray(scales, np.float32)
    if width not in (1, outputs) or scales.shape != values.shape[:1]:
        raise ValueError(
            f"leaves of {width} values and scales {scales.shape} don't fit {values.shape} values"
        )
    values, shared = np.ascontiguousarray(values), width == outputs
    trees = type(trees)(*map(np.ascontiguousarray, trees))
    out = np.zeros((len(values), outputs), np.float32)

    def work(share: slice) -> None:
        if isinstance(trees, SmallTrees):
            _select(values[share], scales[share], trees, shared, out[share])
        else:
            _walk(values[share], scales[share], trees, shared, out[share])

    in_shares(work, len(out))
    return out


def small_trees(trees: Trees) -> SmallTrees | None:
    """The same trees as sets of bits; None where one has too many leaves, or a feature too many thresholds."""
    inner = trees.feature >= 0
    used = np.unique(trees.feature[inner]).astype(np.int32)
    edges = [np.unique(trees.threshold[inner & (trees.feature == f)]) for f in used]
    leaves = [
        int((~inner[start:stop]).sum()) for start, stop in zip(trees.roots[:-1], trees.roots[1:], strict=True)
    ]
    if max(leaves, default=0) > MOST_LEAVES or any(len(each) > MOST_EDGES for each in edges):
        return None
    place = {int(f): i for i, f in enumerate(used)}
    nodes, feature, edge, kept = [0], [], [], []
    values = np.zeros((len(leaves), MOST_LEAVES, trees.values.shape[1]), np.float32)
    for tree, root in enumerate(trees.roots[:-1]):
        order: list[int] = []
        below: dict[int, int] = {}
        stack = [(int(root), False)]
        while stack:  # from left to right: the leaves of a branch are a range of `order`
            node, seen = stack.pop()
            if trees.feature[node] < 0:
                order.append(int(trees.leaf[node]))
            elif seen:
                start, stop = below[node], len(order)
                f = place[int(trees.feature[node])]
                feature.append(f)
                edge.append(int(np.searchsorted(edges[f], trees.threshold[node])))
                kept.append(0xFFFF & ~(((1 << stop) - 1) ^ ((1 << start) - 1)))
                stack.append((int(trees.right[node]), False))
            else:
                below[node] = len(order)
                stack += [(node, True), (int(trees.left[node]), False)]
        values[tree, _PLACES[: len(order)]] = trees.values[order]
        nodes.append(len(feature))
    return SmallTrees(
        used,
        np.cumsum([0, *map(len, edges)]).astype(np.int32),
        np.concatenate(edges).astype(np.float32) if edges else np.zeros(0, np.float32),
        np.array(nodes, np.int32),
        np.array(feature, np.int32),
        np.array(edge, np.uint8),
        np.array(kept, np.uint16),
        values,
    )
