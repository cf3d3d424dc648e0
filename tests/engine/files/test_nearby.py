"""Near matches for mistyped names."""

from pathlib import Path

import pytest

from tessera_engine.errors import InputError
from tessera_engine.files.nearby import nearest, no_such_file, no_such_folder, unknown


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("Demo", "demo"),
        ("nanno", "nano"),
        ("flanders2018", "flanders-2018"),
        ("flanders-2018", "flanders-2018"),
        ("kenya", None),
        ("", None),
    ],
)
def test_the_most_similar_name_is_found_or_none(given: str, meant: str | None) -> None:
    assert nearest(given, ["nano", "demo", "flanders-2018", "flanders-2019"]) == meant
    assert nearest(given, []) is None


def test_a_missing_folder_names_the_similar_one_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flanders-2018").mkdir()
    (tmp_path / "flanders2018.txt").touch()
    error = no_such_folder(tmp_path / "flanders2018")
    assert isinstance(error, InputError)
    assert str(error).startswith(f"no such folder: {tmp_path / 'flanders2018'}; ")
    assert str(tmp_path / "flanders-2018") in str(error)
    monkeypatch.chdir(tmp_path)
    assert "did you mean flanders-2018?" in str(no_such_folder(Path("flanders2018")))


def test_a_missing_folder_without_a_similar_one_is_only_missing(tmp_path: Path) -> None:
    for path in (tmp_path / "kenya", tmp_path / "none" / "kenya"):
        assert str(no_such_folder(path)) == f"no such folder: {path}"


def test_a_missing_file_names_the_similar_one_beside_it(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").touch()
    (tmp_path / "label.csvs").mkdir()
    assert str(no_such_file(tmp_path / "label.csv")).endswith(f"did you mean {tmp_path / 'labels.csv'}?")
    assert "mean" not in str(no_such_file(tmp_path / "none" / "labels.csv"))


def test_an_unknown_value_names_what_was_meant() -> None:
    known = ("cog", "zarr")
    assert (
        str(unknown("format", "zar", known))
        == "format=zar is unknown; choose one of cog, zarr; did you mean 'zarr'?"
    )
    assert str(unknown("format", "a b", known)) == "format='a b' is unknown; choose one of cog, zarr"
    assert "mean 'cog'" in str(unknown("format", "tif", known, "cog"))
