"""Training as a user starts it: from scenes to a checkpoint, interrupted and gone on with, and its errors."""

import json
from functools import partial

import conformance
import numpy as np
import pytest
import torch
from made_up import FakeReader, made_up_arrays, write_tile
from training_pixels import TINY

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files.record import Record
from tessera_engine.model.statistics import V2_STATISTICS
from tessera_engine.scene import Scene
from tessera_engine.scenes import open_scene
from tessera_engine.tokens import pack
from tessera_export.checkpoint import load_checkpoint
from tessera_export.train import run as run_module
from tessera_export.train.distil import DistilConfig
from tessera_export.train.embedding import open_teacher
from tessera_export.train.pixels import (
    BASE_BYTES,
    collect,
    drawn_observations,
    open_pixels,
    window_pixels,
)
from tessera_export.train.place import Place
from tessera_export.train.qat import SCHEMES, FinishConfig, finish, scheme_of
from tessera_export.train.run import Order, distil_from, train
from tessera_export.train.ssl import TrainConfig


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    return [
        open_scene(write_tile(folder / name, made_up_arrays(9, 8, seed=seed)))
        for seed, name in enumerate(("a", "b"))
    ]


def order(scenes, out, **changes):
    values = {"pixels": 100, "minutes": None, "device": "cpu", "threads": 1, "memory": 10**9}
    return Order(scenes, out, **(values | changes))


def config(**changes):
    values = {"steps": 6, "batch": 16, "warmup": 2, "projector": 8}
    return TrainConfig(TINY, **(values | changes))


def weights(path):
    return load_checkpoint(path).model.state_dict()


def same(a, b):
    return all(torch.equal(a[key], b[key]) for key in a)


class Killed(Exception):
    pass


@pytest.fixture
def killed_after(monkeypatch):
    """A training that saves after every step, and dies after some."""

    def die_after(steps):
        monkeypatch.setattr(run_module, "SAVE_SECONDS", 0.0)
        save = Place.save

        def save_and_die(self, state):
            save(self, state)
            if state["step"] == steps:
                raise Killed

        monkeypatch.setattr(Place, "save", save_and_die)

    return die_after


def test_a_checkpoint_appears_and_nothing_else_stays(scenes, tmp_path):
    lines = []
    done = train(config(), order(scenes, tmp_path / "m.pt"), lines.append)
    assert [path.name for path in tmp_path.iterdir()] == ["m.pt"]
    assert load_checkpoint(tmp_path / "m.pt").config == TINY
    # the originals' loader finds what it knows, and no word of the optimiser
    assert set(torch.load(tmp_path / "m.pt", weights_only=True)) == {"args", "model"}
    assert done.steps == 6
    assert 98 <= done.pixels <= 100  # (0, 0) of both scenes has no observation
    assert set(done.findings) == {scene.path for scene in scenes}
    assert any(line.startswith("step 6/6: loss ") for line in lines)
    json.dumps(done.to_dict())


def test_the_same_seed_gives_the_same_weights(scenes, tmp_path):
    for name, seed in (("a.pt", 0), ("b.pt", 0), ("c.pt", 1)):
        train(config(seed=seed), order(scenes, tmp_path / name), lambda line: None)
    assert same(weights(tmp_path / "a.pt"), weights(tmp_path / "b.pt"))
    assert not same(weights(tmp_path / "a.pt"), weights(tmp_path / "c.pt"))


def test_a_killed_training_goes_on_to_the_same_bits(scenes, tmp_path, killed_after, monkeypatch):
    train(config(), order(scenes, tmp_path / "whole.pt"), lambda line: None)
    with monkeypatch.context():
        killed_after(3)
        with pytest.raises(Killed):
            train(config(), order(scenes, tmp_path / "m.pt"), lambda line: None)
    assert not (tmp_path / "m.pt").exists()
    lines = []
    done = train(config(), order(scenes, tmp_path / "m.pt"), lines.append)
    assert any("3 of 6 steps" in line for line in lines)
    assert not any("drawing" in line for line in lines)
    assert same(weights(tmp_path / "m.pt"), weights(tmp_path / "whole.pt"))
    assert done.steps == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.pt", "whole.pt"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_training_ends_with_finishing_where_it_is_asked_for(scenes, tmp_path, scheme, monkeypatch):
    """On the pixels that were trained on; gone on with after an interruption, too."""
    monkeypatch.setattr(run_module, "FinishConfig", partial(FinishConfig, steps=60, learning_rate=1e-4))
    train(config(), order(scenes, tmp_path / "plain.pt"), lambda line: None)
    collect(scenes, tmp_path / "pixels", V2_STATISTICS, 100, 10**9, 0)
    network, (source, _) = load_checkpoint(tmp_path / "plain.pt").model, open_pixels(tmp_path / "pixels")
    asked = FinishConfig(steps=60, learning_rate=1e-4, scheme=scheme_of(scheme, network, source))
    wanted = finish(network, source, asked, lambda line: None).state_dict()
    with monkeypatch.context() as during:
        during.setattr(run_module, "finish", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            train(config(), order(scenes, tmp_path / "m.pt", qat=scheme), lambda line: None)
    with pytest.raises(InputError, match="finished for"):
        train(config(), order(scenes, tmp_path / "m.pt"), lambda line: None)
    lines = []
    train(config(), order(scenes, tmp_path / "m.pt", qat=scheme), lines.append)
    assert same(weights(tmp_path / "m.pt"), wanted)
    assert any("finishing step 60/60" in line for line in lines)
    if scheme == "int8":  # whose error is made smaller, so that the two differ
        assert not same(weights(tmp_path / "plain.pt"), wanted)


def test_an_interrupted_training_of_another_kind_is_not_gone_on_with(scenes, tmp_path, killed_after):
    killed_after(2)
    with pytest.raises(Killed):
        train(config(), order(scenes, tmp_path / "m.pt"), lambda line: None)
    with pytest.raises(InputError, match=r"batch \(was 16, now 32\).*restart"):
        train(config(batch=32), order(scenes, tmp_path / "m.pt"), lambda line: None)
    with pytest.raises(InputError, match="differs in scenes"):
        train(config(), order(scenes[:1], tmp_path / "m.pt"), lambda line: None)
    with pytest.raises(InputError, match=r"teacher \(was none, now tiny.pt"):
        distil_from(
            DistilConfig(TINY, 6, 16, warmup=2),
            open_teacher(conformance.checkpoint("tiny")),
            order(scenes, tmp_path / "m.pt"),
            lambda line: None,
        )
    # --restart forgets it
    train(config(batch=32, steps=1), order(scenes, tmp_path / "m.pt", restart=True), lambda line: None)
    assert (tmp_path / "m.pt").exists()


def test_a_damaged_record_is_told(scenes, tmp_path, killed_after):
    killed_after(2)
    with pytest.raises(Killed):
        train(config(), order(scenes, tmp_path / "m.pt"), lambda line: None)
    (tmp_path / "m.pt.partial" / "run.json").write_text("{")
    with pytest.raises(TesseraError, match="restart=True"):
        train(config(), order(scenes, tmp_path / "m.pt"), lambda line: None)


def test_a_file_that_is_there_is_kept(scenes, tmp_path):
    (tmp_path / "m.pt").write_text("mine")
    with pytest.raises(InputError, match="overwrite=True"):
        train(config(), order(scenes, tmp_path / "m.pt"), lambda line: None)
    assert (tmp_path / "m.pt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["m.pt"]
    train(config(steps=1), order(scenes, tmp_path / "m.pt", overwrite=True), lambda line: None)
    assert load_checkpoint(tmp_path / "m.pt")


def test_minutes_become_steps_that_an_interruption_keeps(scenes, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "TIMED_STEPS", 2)
    done = train(config(steps=10**6), order(scenes, tmp_path / "m.pt", minutes=0.002), lambda line: None)
    assert 1 <= done.steps < 1000


def test_after_a_kill_that_left_its_record_only_nothing_is_trained_again(scenes, tmp_path, monkeypatch):
    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Record, "last", killed)
        with pytest.raises(KeyboardInterrupt):
            train(config(), order(scenes, tmp_path / "net.pt"), print)
    content = (tmp_path / "net.pt").read_bytes()
    with pytest.raises(InputError, match=r"net.pt exists already"):
        train(config(seed=7), order(scenes, tmp_path / "net.pt"), print)
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "collect", killed)
        done = train(config(), order(scenes, tmp_path / "net.pt"), print)
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt"]
    assert (tmp_path / "net.pt").read_bytes() == content
    other = train(config(), order(scenes, tmp_path / "other.pt"), print)
    for fact in ("steps", "pixels", "first_loss", "last_loss"):
        assert getattr(done, fact) == getattr(other, fact)
    assert done.last.health == other.last.health


def test_a_collapse_is_told(scenes, tmp_path, monkeypatch):
    from tessera_export.train import loop
    from tessera_export.train.monitor import Health

    monkeypatch.setattr(loop, "health", lambda embedding: Health(1.2, 0.98))
    lines = []
    train(config(), order(scenes, tmp_path / "m.pt"), lines.append)
    assert any("warning: the embedding collapses: its effective rank is 1.20 of 16" in line for line in lines)


def test_findings_of_scenes_are_told_and_strict_refuses(tmp_path):
    arrays = made_up_arrays(9, 8)
    arrays["bands"] = arrays["bands"] + 1000  # the offset is still in
    scene = open_scene(write_tile(tmp_path / "raw", arrays))
    lines = []
    train(config(steps=1), order([scene], tmp_path / "m.pt"), lines.append)
    told = [line for line in lines if line.startswith(f"{scene.path}: warning: ")]
    assert told
    with pytest.raises(InputError, match="strict=True"):
        train(config(steps=1), order([scene], tmp_path / "n.pt", strict=True), lambda line: None)
    assert not (tmp_path / "n.pt.partial").exists()


# pixels in files


def test_collected_pixels_are_the_scenes_own(scenes, tmp_path):
    """The (0, 0) of both scenes has no observation and is left out."""
    teacher = open_teacher(conformance.checkpoint("tiny"))
    collect(scenes, tmp_path / "p", V2_STATISTICS, 10**4, 10**9, 0, teacher)
    source, targets = open_pixels(tmp_path / "p")
    assert len(source) == 2 * 71
    everything = [pack(scene.reader.read(scene.grid.window), V2_STATISTICS).tokens for scene in scenes]
    np.testing.assert_array_equal(source.s2.values, np.concatenate([t.s2.values for t in everything]))
    np.testing.assert_array_equal(source.s1.doy, np.concatenate([t.s1.doy for t in everything]))
    np.testing.assert_array_equal(source.s1.lengths, np.concatenate([t.s1.lengths for t in everything]))
    np.testing.assert_allclose(targets, np.concatenate([teacher.targets(t) for t in everything]), atol=1e-5)
    assert isinstance(source.s2.values, np.memmap)
    assert isinstance(targets, np.memmap)


def test_scenes_give_the_same_number_of_pixels(scenes, tmp_path):
    larger = open_scene(write_tile(tmp_path / "large", made_up_arrays(40, 30)))
    collect([scenes[0], larger], tmp_path / "p", V2_STATISTICS, 60, 10**9, 0)
    source, targets = open_pixels(tmp_path / "p")
    assert targets is None
    assert 57 <= len(source) <= 60


def test_a_scene_without_observations_is_named(scenes, tmp_path):
    arrays = made_up_arrays(5, 5)
    arrays["masks"][:] = 0
    for orbit in ("ascending", "descending"):
        arrays[f"sar_{orbit}"][:] = 0
    empty = open_scene(write_tile(tmp_path / "empty", arrays))
    with pytest.raises(InputError, match="empty has no observation"):
        collect([scenes[0], empty], tmp_path / "p", V2_STATISTICS, 60, 10**9, 0)


def test_memory_bounds_what_is_read_at_once():
    reader = FakeReader(made_up_arrays(30, 30))
    assert window_pixels(BASE_BYTES + 100 * 6 * 2000, reader) == 100
    with pytest.raises(InputError, match="memory=100MB"):
        window_pixels(10**8, reader)
    drawn = list(drawn_observations(Scene("fake", "fake", reader), 200, 0, max_pixels=100))
    assert sum(o.s2.shape[1] for o in drawn) == 200
    assert max(window.pixels for window in reader.windows_read) <= 100


def test_of_a_large_scene_only_some_windows_are_read(monkeypatch):
    monkeypatch.setattr("tessera_export.train.pixels.MAX_WINDOWS", 3)
    reader = FakeReader(made_up_arrays(30, 30))
    drawn = list(drawn_observations(Scene("fake", "fake", reader), 50, 0, max_pixels=60))
    assert sum(o.s2.shape[1] for o in drawn) == 50
    assert len(reader.windows_read) == 3
