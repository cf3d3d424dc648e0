"""Estimators of areas and accuracies: the published examples, the truth, and intervals that hold it."""

from __future__ import annotations

import numpy as np
import pytest

from tessera_engine.analysis.areas.allocate import divide, total_points
from tessera_engine.analysis.areas.estimate import Sample, estimate, wilson

# Olofsson et al. 2014, Tables 5 and 8: deforestation, forest gain, stable forest, stable non-forest
COUNTS = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
PIXELS = np.array([200_000, 150_000, 3_200_000, 6_450_000])
HECTARES = 0.09
"""Of a Landsat pixel."""

MANY = 10**9
"""With so many times the pixels, the finite population correction is nothing; the paper leaves it out."""


def sample_of(counts, pixels):
    """One stratum for each class of the map."""
    mapped, reference = (np.repeat(each.ravel(), counts.ravel()) for each in np.indices(counts.shape))
    return Sample(mapped, mapped, reference, pixels, len(counts))


@pytest.fixture(scope="module")
def olofsson():
    return estimate(sample_of(COUNTS, PIXELS * MANY))


def test_areas_of_the_published_example(olofsson):
    hectares = [share.times(PIXELS.sum() * HECTARES) for share in olofsson.shares]
    assert [round(each.value) for each in hectares] == [21_158, 11_686, 285_770, 581_386]
    # Section 5.2: 95 % intervals, in hectares on each side
    for each, half in zip(hectares, (6_158, 3_756, 15_510, 16_282), strict=True):
        assert each.high - each.value == pytest.approx(half, abs=0.5)
        assert each.value - each.low == pytest.approx(half, abs=0.5)
        assert each.error == pytest.approx(half / 1.96, abs=0.5)


def test_accuracies_of_the_published_example(olofsson):
    assert olofsson.overall.value == pytest.approx(0.947, abs=5e-4)
    assert [round(each.value, 2) for each in olofsson.users] == [0.88, 0.73, 0.93, 0.96]
    assert [round(each.value, 2) for each in olofsson.producers] == [0.75, 0.85, 0.93, 0.96]
    assert [round(1.96 * each.error, 2) for each in olofsson.users] == [0.07, 0.10, 0.04, 0.02]
    # The paper prints 0.23 and 0.01 for the second and the last, which its own equation 7 doesn't give
    assert [round(1.96 * each.error, 2) for each in olofsson.producers] == [0.21, 0.25, 0.03, 0.02]
    assert [each.points for each in olofsson.users] == [75, 75, 165, 325]
    assert [each.points for each in olofsson.producers] == [69, 56, 175, 340]


def test_proportions_of_the_published_example():
    # Table 9
    expected = [
        [0.0176, 0, 0.0013, 0.0011],
        [0, 0.0110, 0.0016, 0.0024],
        [0.0019, 0, 0.2967, 0.0213],
        [0.0040, 0.0020, 0.0179, 0.6212],
    ]
    np.testing.assert_allclose(sample_of(COUNTS, PIXELS).proportions(), expected, atol=5e-5)


def test_strata_that_are_not_the_classes_of_the_map():
    # Stehman 2014, the numerical example: 10 points of each of four strata
    strata = np.repeat(np.arange(4), 10)
    on_map = list("AAAAAAABBBABBBBBBBBBBBCCCCCCBBDDDDDDDDDD")
    in_fact = list("AAAAACBABCABBBBBAABBCCCCCDDBBADDDDDDDCCB")
    mapped, reference = (np.array([ord(letter) - ord("A") for letter in each]) for each in (on_map, in_fact))
    found = estimate(Sample(strata, mapped, reference, np.array([40_000, 30_000, 20_000, 10_000]), 4))
    # To all digits as R's mapaccuracy has them; the paper prints three
    expected = [
        (found.shares[0], 0.35, 0.0822478),
        (found.shares[2], 0.20, 0.06427977),
        (found.overall, 0.63, 0.08464219),
        (found.users[1], 0.5744681, 0.1247822),
        (found.producers[1], 0.7941176, 0.1165479),
    ]
    for each, value, error in expected:
        assert each.value == pytest.approx(value, abs=1e-7)
        assert each.error == pytest.approx(error, abs=1e-7)


def test_where_every_pixel_was_checked_nothing_is_uncertain():
    counts = np.array([[30, 5], [3, 62]])
    found = estimate(sample_of(counts, counts.sum(axis=1)))
    assert found.overall == (0.92, 0, 0.92, 0.92, 100)
    assert [each.value for each in found.shares] == pytest.approx([0.33, 0.67])
    assert all(
        each.error == 0 and each.low == each.high for each in (*found.shares, *found.users, *found.producers)
    )


def test_points_without_an_error_do_not_show_that_there_is_none():
    found = estimate(sample_of(np.diag([50, 50]), np.array([1_000_000, 3_000_000])))
    for each in (found.overall, *found.users, *found.producers):
        assert (each.value, each.error, each.high) == (1, 0, 1)
        assert 0.85 < each.low < 0.97
    assert found.users[0].low == pytest.approx(wilson(1, 50)[0])
    assert found.shares[0].low < 0.25 < found.shares[0].high
    assert found.shares[0].error == 0


def test_what_no_point_is_about_is_not_known():
    counts = np.array([[10, 0, 0], [2, 8, 0], [0, 0, 0]])
    mapped, reference = (np.repeat(each.ravel(), counts.ravel()) for each in np.indices(counts.shape))
    found = estimate(Sample(mapped, mapped, reference, np.array([100, 200]), 3))
    assert found.users[2] is None
    assert found.producers[2] is None
    assert found.shares[2].value == 0


def test_wilson_s_interval():
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", Table I, method 3
    for right, points, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
    ):
        assert wilson(right / points, points) == pytest.approx((low, high), abs=2e-4)


def test_the_size_of_the_published_example():
    expected = np.array([0.7, 0.6, 0.9, 0.95])
    assert total_points(PIXELS, expected, 0.01) == 641
    assert divide(PIXELS, 641, 75).tolist() == [75, 75, 163, 328]
    assert divide(PIXELS, 641, 100).sum() == 641


@pytest.mark.parametrize(
    ("pixels", "total", "least", "expected"),
    [
        ([1000, 1000], 100, 10, [50, 50]),
        ([10, 100_000], 200, 50, [10, 190]),  # not more than there are
        ([100, 100, 100], 30, 50, [50, 50, 50]),  # more than asked for
        ([1, 1], 1000, 50, [1, 1]),
        ([500, 1500, 98_000], 300, 50, [50, 50, 200]),
        ([333, 333, 334], 100, 2, [33, 33, 34]),
    ],
)
def test_rare_classes_get_points_enough(pixels, total, least, expected):
    assert divide(np.array(pixels), total, least).tolist() == expected


def coverage(truth, mapped, per_class, draws, seed=0):
    """The share of 95 % intervals that hold the truth: of areas, users, producers and overall, over many samples."""
    generator = np.random.default_rng(seed)
    classes = int(truth.max()) + 1
    members = [np.flatnonzero(mapped == number) for number in range(classes)]
    pixels = np.array([len(each) for each in members])
    table = np.zeros((classes, classes))
    np.add.at(table, (mapped, truth), 1)
    right = table.diagonal()
    true = {
        "shares": table.sum(axis=0) / table.sum(),
        "users": right / table.sum(axis=1),
        "producers": right / table.sum(axis=0),
        "overall": np.array([right.sum() / table.sum()]),
    }
    held = {name: np.zeros(len(each)) for name, each in true.items()}
    for _ in range(draws):
        chosen = [
            generator.choice(each, n, replace=False) for each, n in zip(members, per_class, strict=True)
        ]
        strata = np.repeat(np.arange(classes), per_class)
        found = estimate(Sample(strata, strata, truth[np.concatenate(chosen)], pixels, classes))
        for name, each in true.items():
            estimates = (found.overall,) if name == "overall" else getattr(found, name)
            held[name] += [
                e is not None and e.low <= t <= e.high for e, t in zip(estimates, each, strict=True)
            ]
    return {name: each / draws for name, each in held.items()}


def simulated(seed=1, pixels=40_000):
    """A true map of three classes of 50, 35 and 15 %, and a map of it with 10 to 25 % errors in each class."""
    generator = np.random.default_rng(seed)
    truth = generator.choice(3, pixels, p=[0.5, 0.35, 0.15])
    confusion = np.array([[0.88, 0.08, 0.04], [0.10, 0.84, 0.06], [0.10, 0.12, 0.78]])
    mapped = (generator.random(pixels)[:, None] > confusion.cumsum(axis=1)[truth]).sum(axis=1)
    return truth, mapped


def test_intervals_hold_the_truth_as_often_as_they_say():
    found = coverage(*simulated(), (100, 100, 100), 400)
    for name, each in found.items():
        assert (each > 0.91).all(), (name, each)
        assert (each < 0.99).all(), (name, each)


@pytest.mark.slow
@pytest.mark.parametrize("per_class", [(60, 60, 60), (150, 100, 50), (300, 200, 100)])
def test_intervals_hold_the_truth_in_many_draws(per_class):
    found = coverage(*simulated(), per_class, 4000)
    for name, each in found.items():
        assert (each > 0.93).all(), (name, each)
        assert (each < 0.97).all(), (name, each)
