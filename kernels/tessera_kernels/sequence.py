"""The published sequence of a pixel's tokens, for networks that depend on their order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_kernels.cache import kernel


@kernel()
def _fill_steps(
    multiplicity: NDArray[np.float32], offsets: NDArray[np.int64], at_end: bool, steps: NDArray[np.int64]
) -> None:
    at = 0
    for pixel in range(len(offsets) - 1):
        for token in range(offsets[pixel], offsets[pixel + 1]):
            for _ in range(1 if at_end else int(multiplicity[token])):
                steps[at] = token
                at += 1
        if at_end:
            for token in range(offsets[pixel], offsets[pixel + 1]):
                for _ in range(int(multiplicity[token]) - 1):
                    steps[at] = token
                    at += 1


def sequence_steps(
    multiplicity: NDArray[np.float32], offsets: NDArray[np.int64], at_end: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which token each step of a sequence takes.

    Args:
        multiplicity: (M,) float32, how often each token stands.
        offsets: (N + 1,) int64, pixel p has the tokens offsets[p]:offsets[p + 1], at least one.
        at_end: whether repeats follow a pixel's last token, in the order of the tokens (v1.1); otherwise each token's
            repeats follow the token itself (v1.0).

    Returns:
        steps (S,) int64, numbers of tokens; and (N + 1,) int64, pixel p has the steps [p]:[p + 1].
    """
    ends = np.concatenate([[0], np.cumsum(multiplicity.astype(np.int64))])[offsets]
    steps = np.empty(ends[-1], np.int64)
    _fill_steps(multiplicity, offsets, at_end, steps)
    return steps, ends.astype(np.int64)
