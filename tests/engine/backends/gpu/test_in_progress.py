"""Which batches a device works on, and how large they are."""

from __future__ import annotations

import numpy as np
import pytest

from tessera_engine.backends.gpu.in_progress import InProgress, next_batch


def test_batches_end_in_their_order_and_once():
    told, progress = [], InProgress(2)
    numbers = []
    for name in "abcd":
        progress.make_room()
        numbers.append(progress.add(lambda name=name: told.append(name)))
    assert (told, numbers, len(progress)) == (["a", "b"], [1, 2, 3, 4], 2)
    progress.finish(numbers[0])
    assert told == ["a", "b"]
    progress.finish(numbers[2])
    assert told == ["a", "b", "c"]
    progress.finish_all()
    assert told == ["a", "b", "c", "d"]


def test_a_batch_that_fails_has_ended():
    progress = InProgress(2)

    def fail():
        raise OSError("gone")

    number = progress.add(fail)
    with pytest.raises(OSError, match="gone"):
        progress.finish(number)
    assert len(progress) == 0
    progress.finish(number)


@pytest.mark.parametrize(
    ("sizes", "most", "expected"),
    [
        ([1, 1, 1, 1], 10, [4]),
        ([1] * 10, 4, [4, 7, 10]),  # three batches of about the same size, not 4, 4 and 2
        ([9, 1, 1, 9], 4, [1, 3, 4]),
        ([3, 3, 3], 4, [1, 2, 3]),
        ([1], 1, [1]),
    ],
)
def test_batches_are_about_as_large_as_each_other(sizes, most, expected):
    ends, found, first = np.cumsum(sizes), [], 0
    while first < len(sizes):
        first = next_batch(ends, first, most)
        found.append(first)
    assert found == expected
    for begin, end in zip([0, *found], found, strict=False):
        assert end == begin + 1 or sum(sizes[begin:end]) <= most
