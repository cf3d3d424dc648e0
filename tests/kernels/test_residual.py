"""Sums of words that are searched together against a plain twin, and with any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from naive_vq import naive_code, naive_nearest

from tessera_kernels.residual import BEAM, code
from tessera_kernels.threads import get_threads, set_threads


@pytest.fixture
def threads():
    before = get_threads()
    yield set_threads
    set_threads(before)


def made(seed, count, dim, *words):
    rng = np.random.default_rng(seed)
    books = [
        rng.normal(size=(each, dim)).astype(np.float32) / (1 + stage) for stage, each in enumerate(words)
    ]
    return rng.normal(size=(count, dim)).astype(np.float32), books


@pytest.mark.parametrize("beam", [1, 2, 4, 20])
@pytest.mark.parametrize(("dim", "words"), [(3, (5, 17)), (8, (1, 2, 3)), (17, (40, 33, 2, 19))])
def test_sums_are_those_of_the_naive_twin(beam, dim, words, threads):
    vectors, books = made(dim * beam, 15, dim, *words)
    expected = naive_code(vectors, books, beam)
    for count in (1, 2, 3):
        threads(count)
        found = code(vectors, books, beam)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected)


def test_a_beam_of_one_takes_the_nearest_word_of_what_is_left():
    vectors, books = made(1, 50, 6, 255, 256)
    first = naive_nearest(vectors, books[0])
    second = naive_nearest(vectors - books[0][first], books[1])
    np.testing.assert_array_equal(code(vectors, books, 1), [first, second])


def test_words_that_are_chosen_together_are_nearer():
    vectors, books = made(2, 2000, 8, 255, 256, 256)

    def error(beam):
        found = code(vectors, books, beam)
        return ((vectors - sum(book[each] for book, each in zip(books, found, strict=True))) ** 2).mean()

    assert error(BEAM) < 0.95 * error(1)


def test_no_vectors_are_no_numbers():
    _, books = made(3, 0, 8, 4, 4)
    assert code(np.zeros((0, 8), np.float32), books).shape == (2, 0)
