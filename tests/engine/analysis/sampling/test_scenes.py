"""Tables straight from a scene: as from its output, and finished by the same command after an interruption."""

from __future__ import annotations

import pyarrow.parquet
import pytest
import shapely
from made_up import made_up_arrays, write_tile
from outputs import made_up_output
from sampled import EMBEDDING, at, box, write

import tessera_engine as te
from tessera_engine.analysis.sampling import embedding
from tessera_engine.analysis.sampling.spool import Spool
from tessera_engine.errors import InputError, SceneWarning
from tessera_engine.files.record import Record


@pytest.mark.parametrize("stored_as", ["int8", "fp32"])
def test_a_scene_gives_what_its_output_gives(tmp_path, stored_as, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scene = te.open_scene(write_tile(tmp_path / "scene", made_up_arrays(20, 24, 8)), year=2024)
    model = te.load_model("demo", precision=stored_as)
    places = [shapely.Point(at(*place)) for place in ((0.5, 0.5), (3.2, 4.1), (20.9, 15.5))]
    for shapes in ([*places, shapely.Point(at(99, 5))], [box(2, 3, 6, 5), box(15, 2, 20, 3)]):
        path = write(tmp_path / "shapes.gpkg", shapes)
        with pytest.warns(SceneWarning):
            te.embed(scene, model, "dense", overwrite=True)
        with pytest.warns(SceneWarning):
            one = te.sample(scene, path, "scene.parquet", model=model, overwrite=True)
        two = te.sample("dense", path, "output.parquet", overwrite=True)
        assert (one.rows, one.empty) == (two.rows, two.empty)
        assert pyarrow.parquet.read_table(one.out).equals(pyarrow.parquet.read_table(two.out))
    left = {entry.name for entry in tmp_path.iterdir()}
    assert left == {"scene", "shapes.gpkg", "dense", "scene.parquet", "output.parquet"}


class Stopped(BaseException):
    """What ends a process at once."""


def stop(*arguments):
    raise Stopped


@pytest.mark.filterwarnings("ignore::tessera_engine.errors.SceneWarning")
@pytest.mark.parametrize("stored_as", ["int8", "fp32"])
def test_an_interrupted_table_of_a_scene_is_finished_by_the_same_command(tmp_path, stored_as, monkeypatch):
    arrays = made_up_arrays(20, 24, 8)
    scene = te.open_scene(write_tile(tmp_path / "scene", arrays), year=2024)
    model = te.load_model("demo", precision=stored_as)
    path = write(tmp_path / "shapes.gpkg", [box(2, 3, 6, 5), box(10, 2, 20, 3), box(3, 10, 20, 8)])
    whole = te.sample(scene, path, tmp_path / "whole.parquet", model=model)
    monkeypatch.setattr(embedding.Demand, "window_pixels", lambda self, memory: 64)
    out, computed, plain = tmp_path / "t.parquet", [], Spool.write

    def stop_after(count):
        def write(self, window, *values):
            if len(computed) == count:
                raise Stopped
            computed.append(window)
            plain(self, window, *values)

        monkeypatch.setattr(Spool, "write", write)

    def again(**options):
        announced = []
        made = te.sample(scene, path, out, model=model, announce=announced.append, **options)
        return made, " ".join(announced)

    stop_after(2)
    with pytest.raises(Stopped):
        again()
    assert not out.exists()
    with pytest.raises(InputError, match=r"differs in options .*pool.*std"):
        again(pool="std")
    with pytest.raises(InputError, match=r"t\.parquet\.partial"):
        te.sample(made_up_output(tmp_path / "other", EMBEDDING), path, out)
    # A finished window that is damaged is computed again
    (spool,) = (each for each in (tmp_path / "t.parquet.partial" / "staging").iterdir() if each.suffix == "")
    first = computed[0]
    with spool.open("r+b") as file:
        file.write(b"\x01\x02\x03")
    computed.clear()
    stop_after(-1)
    made, announced = again()
    assert "damaged" in announced
    assert "resuming an interrupted run" in announced
    assert first in computed
    total = len(computed) + 1
    assert total > 3
    assert pyarrow.parquet.read_table(out).equals(pyarrow.parquet.read_table(whole.out))
    assert (made.rows, made.empty, made.columns) == (whole.rows, whole.empty, whole.columns)
    assert not (tmp_path / "t.parquet.partial").exists()
    # After a kill that left the record of the published table, nothing is computed again
    out.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Record, "last", stop)
        with pytest.raises(Stopped):
            again()
    computed.clear()
    made, _ = again()
    assert not computed
    assert (made.rows, made.empty, made.columns) == (whole.rows, whole.empty, whole.columns)
    assert pyarrow.parquet.read_table(out).equals(pyarrow.parquet.read_table(whole.out))
    assert not (tmp_path / "t.parquet.partial").exists()
    # What changed meanwhile is noticed
    computed.clear()
    stop_after(2)
    with pytest.raises(Stopped):
        again(overwrite=True)
    arrays["bands"][:] += 1
    changed = te.open_scene(write_tile(tmp_path / "changed", arrays), year=2024)
    with pytest.raises(InputError, match="differs in sources"):
        te.sample(changed, path, out, model=model, overwrite=True)
    assert pyarrow.parquet.read_table(out).equals(pyarrow.parquet.read_table(whole.out))
