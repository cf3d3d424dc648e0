"""Checkpoints: published format in and out, and nothing hostile gets anywhere."""

import hashlib
import io
import pickle
import zipfile
from pathlib import Path

import conformance
import pytest
import torch

from tessera_engine.errors import InputError, ModelError
from tessera_export import checkpoint as checkpoint_module
from tessera_export.checkpoint import load_checkpoint, save_checkpoint, size_name
from tessera_export.reference import SIZES, Reference, ReferenceConfig


class Bomb:
    """Touches a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


def published(name: str = "tiny") -> dict:
    return torch.load(conformance.checkpoint(name), weights_only=True)


def refused(content: object, folder: Path) -> str:
    """Save something as a checkpoint and return the one line that refuses it."""
    path = folder / "student.pt"
    torch.save(content, path)
    return refused_file(path)


def refused_file(path: Path) -> str:
    with pytest.raises(ModelError) as error:
        load_checkpoint(path)
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 400
    return message


@pytest.mark.parametrize("name", conformance.MODELS)
def test_loads_a_published_checkpoint(name):
    path = conformance.checkpoint(name)
    loaded = load_checkpoint(path)
    assert loaded.name == path.name
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not loaded.model.training
    assert size_name(loaded.config) == ("nano" if name == "nano" else "custom")
    assert loaded.config.qk_norm == (name == "tiny_qknorm")
    state = loaded.model.state_dict()
    for key, value in published(name)["model"].items():
        assert torch.equal(state[key], value), key
    assert all(parameter.requires_grad for parameter in loaded.model.parameters())


@pytest.mark.parametrize("name", conformance.MODELS)
def test_saves_what_the_published_code_saved(name, tmp_path):
    save_checkpoint(load_checkpoint(conformance.checkpoint(name)).model, tmp_path / "again.pt")
    again, original = torch.load(tmp_path / "again.pt", weights_only=True), published(name)
    assert again["args"] == original["args"]
    assert list(again["model"]) == list(original["model"])
    assert all(torch.equal(again["model"][key], value) for key, value in original["model"].items())
    assert [path.name for path in tmp_path.iterdir()] == ["again.pt"]


def test_the_same_weights_give_the_same_bytes(tmp_path):
    model = load_checkpoint(conformance.checkpoint("tiny")).model
    for name in ("a.pt", "another.pt"):
        save_checkpoint(model, tmp_path / name)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "another.pt").read_bytes()


@pytest.mark.parametrize("size", SIZES)
def test_recognises_published_sizes(size):
    assert size_name(SIZES[size]) == size


def test_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "student.pt"
    path.write_text("old")

    def fail(content, file) -> None:
        file.write(b"half")
        raise RuntimeError("the disk caught fire")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(RuntimeError, match="fire"):
        save_checkpoint(Reference(ReferenceConfig(2, 1, 2, 8)), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_kept_unless_it_may_be_overwritten(tmp_path):
    path = tmp_path / "student.pt"
    path.write_text("old")
    with pytest.raises(InputError, match=r"student\.pt"):
        save_checkpoint(Reference(ReferenceConfig(2, 1, 2, 8)), path, overwrite=False)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_made_and_a_file_in_its_place_is_an_error(tmp_path):
    save_checkpoint(Reference(ReferenceConfig(2, 1, 2, 8)), tmp_path / "missing" / "student.pt")
    assert (tmp_path / "missing" / "student.pt").stat().st_size > 0
    with pytest.raises(InputError, match=r"student\.pt"):
        save_checkpoint(Reference(ReferenceConfig(2, 1, 2, 8)), tmp_path / "missing" / "student.pt" / "a.pt")


def test_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path):
    canary = tmp_path / "ran"
    content = published()
    content["args"]["note"] = Bomb(canary)
    message = refused(content, tmp_path)
    assert "not opened" in message
    assert not canary.exists()
    torch.load(tmp_path / "student.pt", weights_only=False)  # the bomb is a real one
    assert canary.exists()


def test_bare_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path):
    canary, path = tmp_path / "ran", tmp_path / "student.pt"
    path.write_bytes(pickle.dumps(Bomb(canary)))
    assert "not a torch checkpoint" in refused_file(path)
    assert not canary.exists()


def test_legacy_torch_file_is_refused(tmp_path):
    path = tmp_path / "student.pt"
    torch.save(published(), path, _use_new_zipfile_serialization=False)
    assert "not a torch checkpoint" in refused_file(path)


@pytest.mark.parametrize("content", [b"", b"just text\n", b"PK\x03\x04 not really"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "student.pt"
    path.write_bytes(content)
    assert "not a torch checkpoint" in refused_file(path)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_truncated_checkpoint_is_refused(tmp_path, part):
    data = conformance.checkpoint("tiny").read_bytes()
    path = tmp_path / "student.pt"
    path.write_bytes(data[: int(len(data) * part)])
    assert "incomplete" in refused_file(path)


def test_any_other_zip_is_refused(tmp_path):
    path = tmp_path / "student.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")
    assert "can't be read as a torch checkpoint" in refused_file(path)


def test_compressed_records_are_refused_unread(tmp_path):
    path = tmp_path / "student.pt"
    with (
        zipfile.ZipFile(io.BytesIO(conformance.checkpoint("tiny").read_bytes())) as original,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for entry in original.infolist():
            archive.writestr(entry.filename, original.read(entry))
    assert "compressed records" in refused_file(path)


def test_records_that_share_their_bytes_are_refused_unread(tmp_path):
    """Many records at one place in the file are small on disk and large in memory."""
    path = tmp_path / "student.pt"
    path.write_bytes(conformance.checkpoint("tiny").read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        largest = max(archive.infolist(), key=lambda record: record.file_size)
        for i in range(50):
            copy = zipfile.ZipInfo(f"archive/data/copy{i}")
            copy.header_offset, copy.file_size, copy.compress_size, copy.CRC = (
                largest.header_offset,
                largest.file_size,
                largest.compress_size,
                largest.CRC,
            )
            archive.filelist.append(copy)
        archive._didModify = True
    assert "compressed records" in refused_file(path)


def test_missing_file_and_folder_are_refused(tmp_path):
    assert "No such file" in refused_file(tmp_path / "missing.pt")
    assert "directory" in refused_file(tmp_path)


def test_huge_file_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_module, "MAX_BYTES", 1000)
    path = tmp_path / "teacher.pt"
    path.write_bytes(b"x" * 1001)
    assert "1,001 bytes" in refused_file(path)


@pytest.mark.parametrize(
    "content",
    [{}, [1, 2], {"model": {}}, {"two\nlines": 1}, {"model_state": {}, "config": {}}, torch.zeros(2)],
)
def test_other_content_is_refused(tmp_path, content):
    refused(content, tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("latent_dim", 0),
        ("latent_dim", 10**9),
        ("latent_dim", 8.0),
        ("latent_dim", True),
        ("num_layers", -1),
        ("num_layers", 10**12),
        ("nhead", 5),
        ("nhead", "4"),
        ("dim_feedforward", 2**40),
        ("repr_dim", None),
        ("max_seq_len", 40),
        ("max_seq_len", torch.zeros(40, 40)),
        ("enable_qk_norm", 1),
        ("matryoshka_dims", "16,32,64"),
        ("matryoshka_dims", "64,32,128"),
        ("matryoshka_dims", "16,,128"),
        ("matryoshka_dims", "all"),
        ("matryoshka_dims", [16, 128]),
    ],
)
def test_args_that_cannot_be_true_are_refused(tmp_path, key, value):
    content = published()
    content["args"][key] = value
    assert f"'{key}' is" in refused(content, tmp_path)


@pytest.mark.parametrize("key", ["latent_dim", "max_seq_len", "matryoshka_dims", "enable_qk_norm"])
def test_missing_args_are_named(tmp_path, key):
    content = published()
    del content["args"][key]
    assert f"has no {key}" in refused(content, tmp_path)


def test_args_of_another_type_are_refused(tmp_path):
    assert "'args' is a list" in refused(published() | {"args": [1]}, tmp_path)
    assert "'model' is a list" in refused(published() | {"model": [1]}, tmp_path)


KEY = "s1_backbone.embedding.2.weight"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w.pop(KEY), f"lacks weight '{KEY}'"),
        (lambda w: w.update(extra=torch.zeros(3)), "unexpected weight 'extra'"),
        (lambda w: w.update({KEY: torch.zeros(32, 31)}), f"'{KEY}' has shape (32, 31)"),
        (lambda w: w.update({KEY: w[KEY].half()}), f"'{KEY}' is dense torch.float16"),
        (lambda w: w.update({KEY: w[KEY].to_sparse()}), f"'{KEY}' is torch.sparse_coo torch.float32"),
        (lambda w: w.update({KEY: 3}), f"'{KEY}' is a int"),
        (lambda w: w.update({KEY: w[KEY].to("meta")}), f"'{KEY}' is a tensor on device 'meta'"),
        (lambda w: w.update({"two\nlines": w[KEY]}), r"unexpected weight 'two\nlines'"),
        (lambda w: w.update({KEY: torch.zeros(1).expand(32, 32)}), "not stored contiguously"),
        (lambda w: w[KEY].view(-1)[5:6].fill_(torch.nan), "not finite"),
        (lambda w: w[KEY].view(-1)[5:6].fill_(torch.inf), "not finite"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, change, said):
    content = published()
    change(content["model"])
    assert said in refused(content, tmp_path)


def test_qk_norm_weights_under_args_without_it_are_refused(tmp_path):
    content = published("tiny_qknorm")
    content["args"]["enable_qk_norm"] = False
    assert "'args' describe another network" in refused(content, tmp_path)
