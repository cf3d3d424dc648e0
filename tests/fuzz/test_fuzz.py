"""A short run of the fuzzing that `run.py` does at length, and everything that ever broke something."""

from __future__ import annotations

import pytest
from fuzz.parsers import CORPUS, PARSERS, damaged, valid_inputs
from fuzz.run import attempt
from hypothesis import given, settings
from hypothesis import strategies as st

SEEDS = st.integers(0, 2**48)


@pytest.mark.parametrize("name", PARSERS)
def test_valid_inputs_are_accepted(name, tmp_path):
    assert valid_inputs(name)
    for data in valid_inputs(name):
        assert attempt(PARSERS[name], data, tmp_path)


@pytest.mark.parametrize(
    "path", sorted(CORPUS.glob("*/broke-*")), ids=lambda path: f"{path.parent.name}-{path.name}"
)
def test_what_broke_something_does_not_any_more(path, tmp_path):
    attempt(PARSERS[path.parent.name], path.read_bytes(), tmp_path)


@pytest.mark.parametrize("name", PARSERS)
def test_damaged_inputs_are_refused_in_one_line_or_harmless(name, tmp_path):
    @settings(max_examples=100)
    @given(SEEDS)
    def run(seed):
        attempt(PARSERS[name], damaged(name, seed), tmp_path)

    run()


@pytest.mark.parametrize("name", PARSERS)
def test_random_bytes_are_never_accepted(name, tmp_path):
    @settings(max_examples=30)
    @given(st.binary(max_size=300))
    def run(data):
        assert not attempt(PARSERS[name], data, tmp_path)

    run()


@pytest.mark.parametrize("name", [name for name, parser in PARSERS.items() if not parser.forgives_truncation])
def test_every_truncation_is_refused(name, tmp_path):
    data = valid_inputs(name)[0]
    for length in {0, 1, 5, 60, 130, len(data) // 2, len(data) - 2, len(data) - 1}:
        if name == "item" and length >= len(data) - 2:
            continue  # a newline at the end is no damage
        assert not attempt(PARSERS[name], data[:length], tmp_path), length
