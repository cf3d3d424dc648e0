"""Errors: messages are one plain line; what a missing extra is told to install, on an older Python too."""

from __future__ import annotations

import pickle

import pytest

from tessera_engine import errors
from tessera_engine.errors import InputError, MissingExtra, SceneWarning, TesseraError, plain
from tessera_engine.finding import Finding


def test_a_missing_extra_gives_the_line_to_type():
    message = str(MissingExtra("pyogrio", "maps", "reading labels"))
    assert message.startswith("reading labels needs the package 'pyogrio'")
    assert message.endswith("pip install '.[maps]'")


@pytest.mark.parametrize("version", [(3, 10, 13), (3, 11, 0)], ids=["3.10", "3.11"])
def test_a_package_that_needs_a_newer_python_is_not_offered(version, monkeypatch):
    monkeypatch.setattr(errors.sys, "version_info", version)
    message = str(MissingExtra("zarr", "zarr", "format=zarr"))
    assert ("pip install '.[zarr]'" in message) == (version >= (3, 11))
    assert ("Python 3.11 or newer" in message and "Python 3.10" in message) == (version < (3, 11))


def test_a_missing_extra_survives_pickle():
    error = MissingExtra("torch", "export", "training")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


HARMFUL = [
    *map(chr, range(0x20)), "\x7f", *map(chr, range(0x80, 0xA0)),  # C0, DEL, C1
    *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A)), "\u200e", "\u200f", "\u061c",  # bidirectional
    "\u2028", "\u2029", "\u200b", "\ufeff", "\U000e0041", "\ud800", "\udcff",
]  # fmt: skip

ORDINARY = [
    "ፈላሻ እርሻ", "农田　二〇二四", "Feld für Käse", "e\u0301\u0323", "می\u200cخواهم", "ශ්\u200dරී", "👩\u200d🌾", "10\u00a0000 ha",  # noqa: RUF001
    "\u0600١٢", "क्षेत्र", "שדה", r"C:\\fields\new", "", " ",  # noqa: RUF001
]  # fmt: skip


@pytest.mark.parametrize("character", HARMFUL, ids=ascii)
def test_a_harmful_character_is_spelled_out(character):
    shown = plain(f"a{character}b")
    assert shown == f"a{character.encode('unicode_escape').decode()}b"
    shown.encode("utf-8")
    assert plain(shown) == shown


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_stays_as_it_is(text):
    assert plain(text) == text


@pytest.mark.parametrize("kind", [TesseraError, InputError, SceneWarning])
def test_every_message_is_one_plain_line(kind):
    error = kind("no field 'a\x1b[2J\nb\u202e'")
    assert str(error) == r"no field 'a\x1b[2J\nb\u202e'"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_missing_extra_quotes_plainly():
    assert r"reading a\x1b" in str(MissingExtra("pyogrio", "maps", "reading a\x1b"))


def test_a_finding_quotes_plainly():
    finding = Finding("s2-offset", "likely", "a\x1b", "b\n", "c\u2028")
    assert finding.to_dict() | {"found": r"a\x1b", "effect": r"b\n", "fix": r"c\u2028"} == finding.to_dict()
    assert finding.line == r"a\x1b [s2-offset, likely]; b\n; c\u2028"


def test_a_long_message_keeps_its_beginning_and_its_end():
    message = str(InputError(f"can't read field.csv: {'9' * 10**6}; copy it again"))
    assert message.startswith("can't read field.csv: 9")
    assert message.endswith("9; copy it again")
    assert len(message) < 2001
