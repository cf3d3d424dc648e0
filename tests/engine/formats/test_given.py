"""Where results are written if nobody says where."""

from __future__ import annotations

import pytest
from outputs import made_up_output
from staged import landscape

from tessera_engine import open_embeddings
from tessera_engine.errors import InputError
from tessera_engine.formats.given import out_for
from tessera_engine.running.convert import convert

pytest.importorskip("zarr")

EMBEDDING = landscape(20, 30, 32)


def test_results_of_several_years_have_names_of_their_own(tmp_path):
    """The second of two commands would be refused, or replace what the first one made."""
    output = made_up_output(tmp_path / "field-2018.embeddings", EMBEDDING, year=2018)
    assert out_for("embeddings", output, "map", 2018).name == "field-2018.map"
    store = convert(output, tmp_path / "farm.zarr", "zarr")
    assert out_for("embeddings", store, "map", 2018).name == "farm.zarr.map"
    later = made_up_output(tmp_path / "later", EMBEDDING, year=2019, scene_fingerprint="1" * 64)
    convert(later, store, "zarr", append=True)
    assert out_for("embeddings", [store, output], "map", 2018).name == "farm.zarr.2018.map"
    opened = open_embeddings(store, year=2019)
    assert out_for("embeddings", opened, "map").name == "farm.zarr.2019.map"
    with pytest.raises(InputError, match="nothing"):
        out_for("embeddings", tmp_path / "nothing", "map", 2018)
