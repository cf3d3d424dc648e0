"""The journal: what was recorded is read again; what power loss or a bad disk makes of it is never taken for a record."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera_engine.errors import TesseraError
from tessera_engine.running.journal import Finished, Journal
from tessera_engine.scene import Window

IDENTITY = {"model": "demo (int8) 12ab", "scene": "Äcker im Süden 34cd"}
READ = {"s2": "0123abcd" * 3, "s1_ascending": "", "s1_descending": "89abcdef"}
WINDOWS = [Window(0, row, 7, 2) for row in range(0, 10, 2)]


@pytest.fixture
def journal(tmp_path):
    return filled(tmp_path / "journal")


def filled(path):
    journal = Journal(path, IDENTITY, 14, "ef" * 32)
    journal.save()
    for n, window in enumerate(WINDOWS):
        journal.add(window, Finished(n, f"{n:064x}", READ))
    return journal


def test_what_was_recorded_is_read_again(journal):
    found = Journal.open(journal.path)
    assert (found.identity, found.window_pixels, found.damaged, found.item_sha256) == (IDENTITY, 14, [], "")
    assert found.files == "ef" * 32
    assert found.finished == {window: Finished(n, f"{n:064x}", READ) for n, window in enumerate(WINDOWS)}
    found.add_complete("ab" * 32)
    assert Journal.open(journal.path).item_sha256 == "ab" * 32


def test_saved_anew_it_is_the_same_without_what_was_taken_out(journal):
    del journal.finished[WINDOWS[2]]
    journal.save()
    found = Journal.open(journal.path)
    assert list(found.finished) == WINDOWS[:2] + WINDOWS[3:]
    assert [path.name for path in journal.path.parent.iterdir()] == ["journal"]


def test_a_record_cut_short_at_any_byte_is_as_if_it_was_not_written(journal):
    whole = journal.path.read_bytes()
    before = whole[: whole[:-1].rindex(b"\n") + 1]
    for end in range(len(before), len(whole) - 1):
        journal.path.write_bytes(whole[:end])
        found = Journal.open(journal.path)
        assert list(found.finished) == WINDOWS[:-1]
        assert found.damaged == []


def test_a_journal_of_another_version_is_refused_as_such(tmp_path):
    """Lines as 0.2.0 wrote them, which recorded nothing of what was read."""
    records = (
        {"format": 1, "identity": IDENTITY, "window_pixels": 14},
        {"sha256": "0" * 64, "window": [0, 0, 7, 2], "with_data": 14},
    )
    lines = [json.dumps(record, sort_keys=True).encode() for record in records]
    path = tmp_path / "journal"
    path.write_bytes(
        b"".join(hashlib.sha256(line).hexdigest()[:16].encode() + b" " + line + b"\n" for line in lines)
    )
    with pytest.raises(TesseraError, match=r"another version .*format 1, expected 2.*restart=True"):
        Journal.open(path)


@given(st.data())
def test_a_flipped_bit_is_found_and_costs_one_window_at_most(tmp_path_factory, data):
    journal = filled(tmp_path_factory.mktemp("journal") / "journal")
    content = bytearray(journal.path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    journal.path.write_bytes(content)
    line = bytes(journal.path.read_bytes()[:at]).count(b"\n") + 1
    if line == 1:
        with pytest.raises(TesseraError, match="restart=True"):
            Journal.open(journal.path)
        return
    found = Journal.open(journal.path)
    expected = {window: Finished(n, f"{n:064x}", READ) for n, window in enumerate(WINDOWS)}
    assert found.finished.items() <= expected.items()
    # A line's end that has gone takes the next line with it
    assert len(found.finished) >= len(WINDOWS) - 2
    assert found.damaged or len(found.finished) == len(WINDOWS) - 1


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_one_line(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("journal") / "journal"
    path.write_bytes(content)
    with pytest.raises(TesseraError, match="first line"):
        Journal.open(path)


@given(st.binary(max_size=300))
def test_any_bytes_behind_the_records_are_no_records(tmp_path_factory, content):
    journal = filled(tmp_path_factory.mktemp("journal") / "journal")
    with journal.path.open("ab") as file:
        file.write(content)
    assert list(Journal.open(journal.path).finished) == WINDOWS
