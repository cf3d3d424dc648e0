"""A file to write has the ending of what it will be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tessera_engine.errors import InputError
from tessera_engine.files.endings import check_ending


def test_capital_letters_do_not_count():
    assert check_ending("out", Path("a.TIF"), [".png", ".tif"], "a picture") == ".tif"


@pytest.mark.parametrize(
    ("path", "endings", "facts"),
    [
        ("c.tif", [".model"], ["save=c.tif", ".model", "c.model?"]),
        ("c", [".model"], ["save=c ", "c.model?"]),
        ("t.gejson", [".csv", ".geojson"], ["save=t.gejson", ".csv or .geojson", "t.geojson?"]),
        ("t.txt", [".csv", ".geojson"], ["save=t.txt", ".csv or .geojson"]),
        ("", [".model"], ["save=.", ".model"]),
    ],
)
def test_another_ending_is_refused(path, endings, facts):
    with pytest.raises(InputError) as refused:
        check_ending("save", Path(path), endings, "something")
    assert [fact for fact in facts if fact not in str(refused.value)] == []
    assert ("did you mean" in str(refused.value)) == any(fact.endswith("?") for fact in facts)
