"""Codebooks and nearest words against plain twins, and with any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from naive_vq import naive_group, naive_nearest, naive_start, naive_unpack

from tessera_kernels.threads import get_threads, set_threads
from tessera_kernels.vq import MOST_WORDS, Packed, group, learn, means, nearest, pack, unpack


def whole(rng, *shape):
    """Small whole numbers: their distances are exact, so that equal ones are equal."""
    return rng.integers(-3, 4, shape).astype(np.float32)


@pytest.mark.parametrize("dim", [1, 3, 4, 16, 33])
@pytest.mark.parametrize(("count", "words"), [(1, 1), (2, 5), (7, 16), (20, 17), (31, 40)])
def test_the_nearest_word_is_that_of_the_naive_twin(dim, count, words):
    rng = np.random.default_rng(dim * count)
    vectors, book = whole(rng, count, dim), whole(rng, words, dim)
    found = nearest(vectors, book)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, naive_nearest(vectors, book))


def test_of_equally_near_words_it_is_the_first():
    book = np.ones((200, 8), np.float32)
    book[:3] = 5
    assert nearest(np.ones((3, 8), np.float32), book).tolist() == [3, 3, 3]
    assert nearest(np.zeros((0, 8), np.float32), book).tolist() == []


@pytest.fixture
def threads():
    before = get_threads()
    yield set_threads
    set_threads(before)


def test_any_number_of_threads_gives_the_same_bits(threads):
    vectors = np.random.default_rng(1).normal(size=(101, 12)).astype(np.float32)
    found = []
    for count in (1, 2, 3, 8):
        threads(count)
        words = learn(vectors, 7, seed=3, rounds=3)
        found.append((words.tobytes(), nearest(vectors, words).tobytes()))
    assert len(set(found)) == 1


@pytest.mark.parametrize(("vectors", "count"), [(1, 1), (40, 1), (40, 9), (3, 8)])
def test_learning_begins_with_the_draws_of_the_naive_twin(vectors, count):
    some = whole(np.random.default_rng(5), vectors, 5)
    expected = naive_start(some, count, np.random.default_rng(4))
    np.testing.assert_array_equal(learn(some, count, seed=4, rounds=0), expected)


def test_words_are_the_means_of_what_is_nearest_to_them():
    rng = np.random.default_rng(2)
    centres = 50 * np.eye(5, 9, dtype=np.float32)
    vectors = np.repeat(centres, 8, axis=0) + whole(rng, 40, 9)
    words = learn(vectors, 5)
    expected = vectors.reshape(5, 8, 9).mean(axis=1)
    order = naive_nearest(expected, words)
    assert sorted(order) == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(words[order], expected, atol=1e-5)
    # Another seed begins elsewhere and finds the same
    other = learn(vectors, 5, seed=9)
    np.testing.assert_allclose(other[naive_nearest(expected, other)], expected, atol=1e-5)


def test_fewer_vectors_than_words_are_kept_as_they_are():
    vectors = np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]], np.float32)
    words = learn(vectors, 6)
    np.testing.assert_array_equal(words[nearest(vectors, words)], vectors)
    same = np.full((3, 4), 2.5, np.float32)
    np.testing.assert_array_equal(learn(same, 4), np.full((4, 4), 2.5))


def test_packed_words_are_within_half_a_step_and_read_as_the_naive_twin_reads_them():
    words = np.random.default_rng(3).normal(2, 3, (9, 5)).astype(np.float32)
    words[:, 2] = 1.5  # no range
    packed = pack(words)
    assert packed.steps.dtype == np.uint8
    back = unpack(packed)
    step = (words.max(axis=0) - words.min(axis=0)) / 255
    assert (np.abs(back - words) <= step / 2 + 1e-6).all()
    assert set(packed.steps[:, 0]) >= {0, 255}
    np.testing.assert_array_equal(back[:, 2], 1.5)
    np.testing.assert_array_equal(back, naive_unpack(*packed))
    np.testing.assert_array_equal(
        unpack(Packed(np.array([[0], [51], [255]], np.uint8), np.array([[-1, 4]], np.float32))),
        [[-1], [0], [4]],
    )


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ValueError, match=r"\(4, 8\).*\(3, 9\)"):
        nearest(np.ones((4, 8), np.float32), np.ones((3, 9), np.float32))
    for count in (0, MOST_WORDS + 1):
        with pytest.raises(ValueError, match=f"1 to 256 words, got {count}"):
            nearest(np.ones((4, 8), np.float32), np.ones((count, 8), np.float32))


def test_a_word_is_the_mean_of_its_vectors_and_one_without_any_is_another():
    vectors = np.array([[1, 2], [3, 4], [5, 9]], np.float32)
    found = means(vectors, np.array([1, 1, 3], np.uint8), 5)
    assert found.tolist() == [[2, 3], [2, 3], [2, 3], [5, 9], [2, 3]]


@pytest.mark.parametrize("count", [0, 1, 2, 300])
def test_equal_keys_are_one_group(count):
    keys = np.random.default_rng(count).integers(-1, 1 + count // 4, count) * 16_777_213
    which, firsts = group(keys)
    expected = naive_group(keys)
    assert which.dtype == firsts.dtype == np.int32
    assert (which.tolist(), firsts.tolist()) == expected
