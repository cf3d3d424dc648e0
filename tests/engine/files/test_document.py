"""JSON from others: what is no JSON, what is too large, and values of other types are refused in one line."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera_engine.errors import plain
from tessera_engine.files.document import Count, Damaged, Sha256, Size, check_fields, checked, parse, read

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(st.text(), each, max_size=4),
    max_leaves=10,
)  # fmt: skip


@given(JSON)
def test_json_is_read_as_python_writes_it(value):
    assert parse(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"NaN", b"[Infinity]", b"1e400", b"9" * 5000, b"[" * 100_000, b'{"a":' * 5000, b'"\\ud800"', b'"\xff"',
        b"\xef\xbb\xbf{}", b"{} {}", b"'a'", b"01", b'"\x01"', b"\0", "ä".encode("latin-1"),
    ],
)  # fmt: skip
def test_what_is_no_json_is_refused_in_one_line(content):
    with pytest.raises(Damaged) as error:
        parse(content)
    assert plain(str(error.value)) == str(error.value) != ""


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, Count), (-1, Count), (1 << 53, Count), (1.0, Count), ("1", Count), (None, Count), (0, Size), ([], Size),
        ("a" * 63, Sha256), ("A" * 64, Sha256), ("a" * 64 + "\n", Sha256), (b"a" * 64, Sha256), ([1], tuple[Size, Size]),
        ([1, 2, 3], tuple[Size, Size]), ({"a": 1}, list[int]), ([1, "a"], list[int]), ({"a": "b"}, dict[str, int]),
        (2, Literal[1]), (float("nan"), int), ("1", float), (False, float),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(value, kind):
    with pytest.raises(Damaged):
        checked(value, kind)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(0, Count), (5, float), ([1, 2], tuple[Size, Size]), ("a" * 64, Sha256), ({}, dict[str, Any])],
)
def test_a_value_of_the_type_is_taken(value, kind):
    checked(value, kind)


def test_a_field_is_named_and_quoted():
    with pytest.raises(Damaged, match=r"'size' is 'a\\x1b'") as error:
        check_fields({"size": "a\x1b"}, {"size": Count})
    assert "'int'" in str(error.value)
    with pytest.raises(Damaged, match="'size' is None"):
        check_fields({}, {"size": Count})
    check_fields({"size": None}, {"size": Count}, optional=True)
    with pytest.raises(Damaged, match="'size' is -1"):
        check_fields({"size": -1}, {"size": Count}, optional=True)


@pytest.mark.parametrize("text", ["x" * 5000, "a\x1b[31m\nb", "' - at `$.y"])
def test_no_text_of_the_document_is_in_a_message(text):
    for value, kind in (
        (text, Literal["a", "b"]),
        ([text], list[Literal["a"]]),
        ({"x": text}, dict[str, Literal["a"]]),
    ):
        with pytest.raises(Damaged) as error:
            checked(value, kind)
        assert len(str(error.value)) < 100
        assert str(error.value).isprintable()


def test_a_file_has_a_limit(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("[1]")
    assert read(path, 3) == [1]
    with pytest.raises(Damaged, match="2 bytes"):
        read(path, 2)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "y.json", 3)
