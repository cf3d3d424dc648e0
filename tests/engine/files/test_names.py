"""Names that come from an output's own files: none of them ends in an error of the system."""

from __future__ import annotations

import pytest

from tessera_engine.errors import InputError
from tessera_engine.files.inside import is_folder, is_there
from tessera_engine.formats.embeddings.base import asset_path


@pytest.mark.parametrize("name", ["x" * 300, "ä" * 200, "x/" * 3000])
def test_a_name_that_no_file_can_have_is_missing(tmp_path, name):
    assert not is_there(tmp_path / name)
    assert not is_folder(tmp_path / name)
    with pytest.raises(InputError, match="missing") as error:
        asset_path(tmp_path, {"assets": {"embeddings": {"href": name}}}, "embeddings")
    assert len(str(error.value)) < 500


def test_what_is_there_is_told_from_folders(tmp_path):
    (tmp_path / "file").touch()
    assert (is_there(tmp_path / "file"), is_folder(tmp_path / "file")) == (True, False)
    assert (is_there(tmp_path), is_folder(tmp_path)) == (True, True)
