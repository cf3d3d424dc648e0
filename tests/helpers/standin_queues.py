"""What `tessera_export.packed.graphs.Graphs` needs from CUDA, on the CPU.

A graph is recorded operation by operation and does nothing else when it is captured, as on a GPU: what asks for a
value while it is recorded is an error, and a replay computes from what its inputs hold then.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map


class _Recording(TorchDispatchMode):
    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        if function in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default):
            raise RuntimeError("operation not permitted when stream is capturing")
        result = function(*arguments, **(keywords or {}))
        self.steps.append((function, arguments, keywords or {}, result))
        return result


def _replay(steps):
    for function, arguments, keywords, result in steps:
        again = function(*arguments, **keywords)
        olds = result if isinstance(result, (tuple, list)) else [result]
        news = again if isinstance(again, (tuple, list)) else [again]
        for old, new in zip(olds, news, strict=True):
            if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                old.copy_(new)


class StandInQueues:
    """`captured` and `replayed` count; `refuses` makes capturing fail."""

    def __init__(self, refuses=None):
        self.refuses, self.captured, self.replayed = refuses, 0, 0

    def upload(self, arrays):
        return [torch.from_numpy(array.copy()) for array in arrays]

    def computing(self):
        return nullcontext()

    def capture(self, work):
        if self.refuses:
            raise self.refuses
        steps = []
        with _Recording(steps):
            result = work()
        self.captured += 1

        def replay():
            self.replayed += 1
            with torch.inference_mode():
                _replay(steps)

        # Nothing has been computed yet
        tree_map(lambda each: each.fill_(float("nan")), [result])
        return replay, result


def naive_varlen(q, k, v, q_ends, k_ends, q_most, k_most, *, scale):
    """Attention of variable length in float32, one pixel at a time; rows of no pixel stay as they come."""
    out = torch.full_like(v, float("nan"))
    for first, last in zip(q_ends[:-1].tolist(), q_ends[1:].tolist(), strict=True):
        assert last - first <= q_most == k_most
        scores = scale * torch.einsum("qhc,khc->hqk", q[first:last].float(), k[first:last].float())
        out[first:last] = torch.einsum("hqk,khc->qhc", scores.softmax(-1), v[first:last].float()).to(v.dtype)
    return out


@torch.library.custom_op("tests::naive_varlen", mutates_args={})
def varlen_operator(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, ends: torch.Tensor, most: int
) -> torch.Tensor:
    """The same as one operation, which a graph can hold."""
    return naive_varlen(q, k, v, ends, ends, most, most, scale=1.0)
