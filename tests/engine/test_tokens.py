"""Sequences of packed tokens: the published v1 code's own, from distinct tokens and multiplicities."""

from __future__ import annotations

import conformance
import numpy as np
import pytest
from made_up import FakeReader, made_up_arrays

from tessera_engine.model.statistics import FLAVOURS, V1_0_STATISTICS, V2_STATISTICS
from tessera_engine.scene import Window
from tessera_engine.scenes import open_scene
from tessera_engine.tokens import pack, sequence


@pytest.mark.parametrize("tile", conformance.TILES)
def test_v1_1_sequences_are_the_published_ones(tile):
    reader = open_scene(conformance.FOLDER / "tiles" / tile).reader
    packed = pack(reader.read(reader.grid.window), FLAVOURS["v1.1"]["aws"])
    wanted = conformance.v1_1_tile(tile, "aws").inputs
    tokens = sequence(packed.tokens, "v1.1")
    for modality in ("s2", "s1"):
        found = getattr(tokens, modality)
        lengths = (getattr(wanted, f"{modality}_multiplicity") > 0).sum(axis=1)
        np.testing.assert_array_equal(found.lengths, lengths)
        assert (found.multiplicity == 1).all()
        for i, n in enumerate(lengths):
            part = slice(found.offsets[i], found.offsets[i + 1])
            np.testing.assert_array_equal(found.values[part], getattr(wanted, modality)[i, :n])
            np.testing.assert_array_equal(found.doy[part], getattr(wanted, f"{modality}_doy")[i, :n])


def test_v1_0_sequences_have_forty_tokens_sorted_by_day():
    reader = FakeReader(made_up_arrays())
    tokens = sequence(pack(reader.read(reader.grid.window), V1_0_STATISTICS).tokens, "v1.0")
    for modality in (tokens.s2, tokens.s1):
        assert (modality.lengths == 40).all()
        assert (np.diff(modality.doy.reshape(-1, 40)) >= 0).all()


def test_v1_0_draws_the_same_in_any_window():
    reader = FakeReader(made_up_arrays())
    whole = pack(reader.read(reader.grid.window), V1_0_STATISTICS)
    part = pack(reader.read(Window(1, 2, 3, 2)), V1_0_STATISTICS)
    again = [np.flatnonzero(whole.pixels == row * 5 + col)[0] for row in (2, 3) for col in (1, 2, 3)]
    for modality in ("s2", "s1"):
        all_tokens, tokens = getattr(whole.tokens, modality), getattr(part.tokens, modality)
        for i, pixel in enumerate(again):
            here = slice(tokens.offsets[i], tokens.offsets[i + 1])
            there = slice(all_tokens.offsets[pixel], all_tokens.offsets[pixel + 1])
            np.testing.assert_array_equal(tokens.values[here], all_tokens.values[there])
            np.testing.assert_array_equal(tokens.multiplicity[here], all_tokens.multiplicity[there])


def test_v2_tokens_stay_as_they_are():
    reader = FakeReader(made_up_arrays())
    tokens = pack(reader.read(reader.grid.window), V2_STATISTICS).tokens
    assert sequence(tokens, "v2") is tokens


@pytest.mark.parametrize("facts", [V2_STATISTICS, FLAVOURS["v1.1"]["aws"]], ids=["v2", "v1.1"])
def test_dates_without_a_clear_pixel_can_be_left_out(facts):
    """As docs/data.md says: the tokens, and so the embeddings, are the same."""
    arrays = made_up_arrays()
    arrays["masks"][[3, 9]] = 0
    kept = np.delete(np.arange(len(arrays["masks"])), [3, 9])
    fewer = arrays | {name: arrays[name][kept] for name in ("bands", "masks", "doys")}
    window = Window(0, 0, 5, 6)
    packed = [pack(FakeReader(each).read(window), facts) for each in (arrays, fewer)]
    np.testing.assert_array_equal(packed[0].pixels, packed[1].pixels)
    for modality in ("s2", "s1"):
        one, other = (getattr(each.tokens, modality) for each in packed)
        assert one.lengths.sum() > 100
        for name in ("values", "doy", "multiplicity", "offsets"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
