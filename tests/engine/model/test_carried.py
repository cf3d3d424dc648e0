"""Models carried to another machine: packed, added, and refused where anything about them is wrong."""

from __future__ import annotations

import shutil
import zipfile

import pytest
from renamed_models import renamed

from tessera_engine.errors import InputError, ModelError
from tessera_engine.files.user_folders import HOME_VARIABLE
from tessera_engine.model.carried import add_models, pack_model
from tessera_engine.model.file import read_model_file
from tessera_engine.model.installed import checksum_file, open_model, packaged_folder, precisions, user_folder


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "here"))


@pytest.fixture(scope="session")
def stick(tmp_path_factory):
    """A folder with a model that no machine has yet, at two precisions."""
    folder = tmp_path_factory.mktemp("stick")
    for precision in ("fp32", "int8"):
        renamed(folder / f"oak.{precision}.onnx", precision, name="oak")
    return folder


def test_a_folder_is_added_and_found_by_name(stick):
    added = add_models(stick)
    assert [(each.model.facts.precision, each.new) for each in added] == [("fp32", True), ("int8", True)]
    assert precisions("oak") == ("fp32", "int8")
    for precision in precisions("oak"):
        model = open_model("oak", precision)
        assert model.path.parent == user_folder()
        assert model.path.read_bytes() == (stick / f"oak.{precision}.onnx").read_bytes()
        assert checksum_file(model.path).read_text() == f"{model.sha256}  {model.path.name}\n"
    assert [each.new for each in add_models(stick)] == [False, False]


def test_a_pack_goes_to_another_machine(stick, monkeypatch, tmp_path):
    add_models(stick)
    packed = pack_model("oak", tmp_path / "oak.tessera")
    assert [each.facts.precision for each in packed] == ["fp32", "int8"]
    pack_model("oak", tmp_path / "again.tessera")
    assert (tmp_path / "oak.tessera").read_bytes() == (tmp_path / "again.tessera").read_bytes()
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "there"))
    added = add_models(tmp_path / "oak.tessera")
    assert [each.model.sha256 for each in added] == [each.sha256 for each in packed]
    assert precisions("oak") == ("fp32", "int8")


def test_the_commands_print_where_the_files_are(stick, run, tmp_path):
    code, out, err = run("model", "add", stick)
    assert code == 0
    assert out.split() == [str(user_folder() / f"oak.{precision}.onnx") for precision in ("fp32", "int8")]
    assert "oak (int8) added" in err
    assert run("model", "pack", "oak", "-o", tmp_path / "oak.tessera", "-q")[:2] == (
        0,
        f"{tmp_path / 'oak.tessera'}\n",
    )
    code, _, err = run("model", "pack", "oak", "-o", tmp_path / "oak.tessera")
    assert (code, "--overwrite" in err) == (2, True)
    code, out, err = run("model", "add", tmp_path / "oak.tessera")
    assert (code, len(out.split()), "is here already" in err) == (0, 2, True)


def test_the_demo_model_is_everywhere(run, tmp_path):
    code, out, _ = run("model", "pack", "demo", "-o", tmp_path / "demo.tessera", "-q")
    assert code == 0
    code, out, _ = run("model", "add", tmp_path / "demo.tessera", "-q")
    assert (code, out.split()) == (0, [str(path) for path in sorted(packaged_folder().glob("*.onnx"))])
    assert not user_folder().exists()
    with pytest.raises(InputError, match="'demo' is a model of the package"):
        add_models(renamed(tmp_path / "x.onnx", "int8", card="another"))


def test_another_model_of_the_same_name_needs_overwrite(stick, tmp_path):
    add_models(stick)
    other = renamed(tmp_path / "oak.int8.onnx", "int8", name="oak", card="made later")
    with pytest.raises(InputError, match=r"oak \(int8\) is on this machine already"):
        add_models(other)
    assert open_model("oak", "int8").facts.card != "made later"
    assert [each.new for each in add_models(other, overwrite=True)] == [True]
    assert open_model("oak", "int8").facts.card == "made later"


def test_a_name_never_means_two_checkpoints(stick, tmp_path):
    add_models(stick / "oak.fp32.onnx")
    other = renamed(tmp_path / "oak.int8.onnx", "int8", name="oak", checkpoint_sha256="0" * 64)
    for overwrite in (False, True):
        with pytest.raises(ModelError, match="different checkpoints"):
            add_models(other, overwrite)
    shutil.copy(stick / "oak.fp32.onnx", tmp_path)
    with pytest.raises(ModelError, match="different checkpoints"):
        add_models(tmp_path, overwrite=True)
    assert precisions("oak") == ("fp32",)


def damaged(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("what", ["pack", "file"])
def test_a_flipped_bit_is_noticed_and_nothing_is_added(stick, tmp_path, what):
    add_models(stick)
    pack = tmp_path / "oak.tessera"
    pack_model("oak", pack)
    shutil.copytree(user_folder(), tmp_path / "copy")
    shutil.rmtree(user_folder())
    damaged(pack if what == "pack" else tmp_path / "copy" / "oak.int8.onnx")
    with pytest.raises(ModelError, match=r"oak"):
        add_models(pack if what == "pack" else tmp_path / "copy")
    assert not user_folder().exists()


def members(path, *content):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data, compression in content:
            archive.writestr(name, data, compression)
    return path


def hostile_packs():
    stored, deflated = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
    return {
        "no archive": None,
        "empty": (),
        "a path": (("../oak.int8.onnx", b"x", stored),),
        "another file": (("oak.int8.onnx", b"x", stored), ("run.sh", b"x", stored)),
        "a bomb": (("oak.int8.onnx", b"\0" * 10_000_000, deflated),),
        "too many": tuple((f"oak{k}.onnx", b"x", stored) for k in range(9)),
        "twice": (("oak.int8.onnx", b"x", stored), ("oak.int8.onnx", b"y", stored)),
        "no sums": (("oak.int8.onnx", b"x", stored),),
        "no model": (("oak.int8.onnx", b"x", stored), ("oak.int8.onnx.sha256", b"0", stored)),
    }


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", hostile_packs())
def test_what_is_not_a_pack_is_refused_in_one_line(kind, run, tmp_path):
    pack = tmp_path / "oak.tessera"
    content = hostile_packs()[kind]
    pack.write_bytes(b"PK nothing") if content is None else members(pack, *content)
    code, out, err = run("model", "add", pack)
    assert (code, out) == (2, "")
    assert "oak" in err
    assert len(err.strip().splitlines()) == 1
    assert not user_folder().exists()


def test_what_is_not_a_model_is_refused(run, stick, tmp_path):
    (tmp_path / "student_nano.pt").touch()
    (tmp_path / "empty").mkdir()
    for words, fact in (
        (["add", tmp_path / "student_nano.pt"], "model import"),
        (["add", tmp_path / "empty"], "no model file"),
        (["add", tmp_path / "nowhere"], "no file or folder"),
        (["pack", "oaks", "-o", tmp_path / "x.tessera"], "unknown model 'oaks'"),
        (["pack", "demo", "-o", tmp_path / "x.zip"], ".tessera"),
        (["pack", "demo", "-o", tmp_path / "no" / "x.tessera"], "no"),
    ):
        code, _, err = run("model", *words)
        assert (code, fact in err, len(err.strip().splitlines())) == (2, True, 1), err
    shutil.copytree(stick, tmp_path / "twice")
    shutil.copy(stick / "oak.int8.onnx", tmp_path / "twice" / "copy.onnx")
    with pytest.raises(InputError, match="same model at the same precision"):
        add_models(tmp_path / "twice")
    assert read_model_file(stick / "oak.int8.onnx").facts.name == "oak"
