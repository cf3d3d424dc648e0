"""Windows, as far as it can be tried elsewhere: its names, its locks, its rules for open files, its consoles' text."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import types

import pytest
from outputs import made_up_output
from places import ROOT
from staged import landscape

import tessera_engine as te
from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files import windows
from tessera_engine.files.durable import Lock
from tessera_engine.files.naming import check_new
from tessera_engine.files.output import PartialOutput
from tessera_engine.files.partial import finish_or_undo
from tessera_engine.files.result import result_file, result_folder
from tessera_engine.files.text import write_text
from tessera_engine.files.windows import patiently, unusable, unusable_part

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def rules():
    if sys.platform != "linux":
        pytest.skip("looks into /proc")
    from windows_rules import windows_rules

    with windows_rules() as locks:
        yield locks


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("CON", "CON"), ("nul.tif", "nul"), ("aux.fp32.onnx", "aux"), ("Com7.txt", "Com7"), ("lpt¹", "lpt¹"), ("con .x", "con"),
        ("maize:2024", "':'"), ("what?", r"'\?'"), ("a\tb", r"\\t"), ("a|b", r"'\|'"), ("dot.", "dots"), ("space ", "spaces"),
    ],
)  # fmt: skip
def test_names_that_windows_can_not_have(name, reason):
    assert re.search(reason, unusable(name))


@pytest.mark.parametrize(
    "name", ["console", "com", "com10", "nullius.tif", ".hidden", "农田", "a b", "-1.5_x", "x.con"]
)
def test_names_that_windows_can_have(name):
    assert unusable(name) is None


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (r"C:\fields\a", False), (r"\\server\share\a", False), (r"..\a", False), ("a/./b", False), ("C:a", False),
        (r"C:\nul\a", True), (r"C:\fields\a:b", True), ("fields./a", True),
    ],
)  # fmt: skip
def test_drives_and_shares_are_no_names(path, wrong):
    assert (unusable_part(path) is not None) == wrong


def test_outputs_get_only_names_that_windows_can_have(tmp_path, rules):
    for name in ("maize:2024", "aux", "field."):
        with pytest.raises(InputError, match=r"out="), result_file(tmp_path / name, False, {}):
            pass
    assert list(tmp_path.iterdir()) == []
    assert windows.sys.platform == "win32"
    check_new(tmp_path / "field")


def test_a_path_that_is_too_long_for_windows_is_said_before_anything_is_made(tmp_path, rules, monkeypatch):
    deep = tmp_path / ("x" * (windows.LONGEST_PATH - len(str(tmp_path)) - 60))
    with result_file(deep, False, {}) as made:  # a file has nothing below it
        made.write_bytes(b"")
    with pytest.raises(InputError, match=r"259.*out="), result_folder(tmp_path / f"{deep}y", False, {}):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [deep.name]
    monkeypatch.setattr(windows, "_takes_long_paths", lambda: True)
    with result_folder(tmp_path / f"{deep}y", False, {}) as made:
        (made / "item.json").write_bytes(b"{}")
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(("set_to", "taken"), [(1, True), (0, False), (None, False)])
def test_whether_windows_takes_long_paths_is_asked_of_its_registry(monkeypatch, set_to, taken):
    def value(key, name):
        if set_to is None:
            raise FileNotFoundError
        return {("FileSystem", "LongPathsEnabled"): (set_to, 4)}[key.rsplit("\\")[-1], name]

    class Key(str):
        __enter__ = lambda self: self  # noqa: E731
        __exit__ = lambda self, *error: None  # noqa: E731

    registry = types.SimpleNamespace(
        HKEY_LOCAL_MACHINE=0, OpenKey=lambda _, name: Key(name), QueryValueEx=value
    )
    monkeypatch.setitem(sys.modules, "winreg", registry)
    monkeypatch.setattr(windows, "sys", types.SimpleNamespace(platform="win32"))
    assert windows._takes_long_paths() == taken


def test_a_lock_is_held_by_one_and_names_its_process_to_others(tmp_path, rules):
    lock = Lock(tmp_path / "run" / "lock")
    with pytest.raises(InputError, match=f"process {os.getpid()}"):
        Lock(tmp_path / "run" / "lock")
    lock.release(remove=False)
    assert rules.held == {}
    Lock(tmp_path / "run" / "lock").release(remove=True)
    assert list((tmp_path / "run").iterdir()) == []


def test_two_runs_do_not_write_one_output(tmp_path, rules):
    place = PartialOutput(tmp_path / "out")
    finish_or_undo(tmp_path / "out")
    with pytest.raises(InputError, match="another run"):
        PartialOutput(tmp_path / "out")
    place.close(keep=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", [result_file, result_folder])
def test_a_file_or_folder_that_is_open_is_not_replaced_and_is_named(tmp_path, rules, monkeypatch, make):
    monkeypatch.setattr(windows, "PATIENCE", 0.05)
    out = tmp_path / "out"
    inner = out / "item.json" if make is result_folder else out

    def written(text):
        with make(out, text != "old", {"text": text}) as made:
            item = json.dumps({"properties": {"tessera:text": text}})
            write_text(made / "item.json" if made.is_dir() else made, item)

    written("old")
    with inner.open(), pytest.raises(TesseraError, match=f"{out} is open in another program"):
        written("new")
    assert "old" in inner.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    written("new")
    assert "new" in inner.read_text()


def test_what_a_scanner_has_open_for_a_moment_is_waited_for_on_windows_only(monkeypatch):
    tries = []

    def busy():
        tries.append(1)
        if len(tries) < 3:
            raise PermissionError(13, "a scanner reads it")
        return "done"

    monkeypatch.setattr(windows.time, "sleep", lambda seconds: None)
    with pytest.raises(PermissionError):
        patiently(busy)
    monkeypatch.setattr(windows, "sys", types.SimpleNamespace(platform="win32"))
    assert patiently(busy) == "done"
    assert len(tries) == 3


@pytest.mark.parametrize("format", ["cog", "zarr"])
def test_outputs_are_written_and_replaced_where_nothing_open_is_renamed(tmp_path, rules, format):
    if format == "zarr":
        pytest.importorskip("zarr")
    output = made_up_output(tmp_path / "made", landscape(24, 30, 128), year=2024)
    for overwrite in (False, True):
        te.convert(output, tmp_path / "out", format, overwrite=overwrite, progress=False)
    te.convert(tmp_path / "out", tmp_path / "again", "npy", progress=False)
    assert te.open_embeddings(tmp_path / "again").dim == 128
    te.picture(tmp_path / "again", tmp_path / "picture.png", progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "made", "out", "picture.png"]


def test_an_output_whose_item_got_other_line_ends_is_read_and_verified(tmp_path, run):
    output = made_up_output(tmp_path / "made", landscape(12, 12, 16), year=2024)
    item = output / "item.json"
    item.write_bytes(item.read_bytes().replace(b"\n", b"\r\n"))
    assert te.open_embeddings(output).dim == 16
    code, _, err = run("verify", output)
    assert code == 0, err


@ON_LINUX
@pytest.mark.slow
def test_every_command_writes_the_same_where_nothing_open_is_renamed(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "emulate" / "windows.py"), str(tmp_path / "runs")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_text_is_utf8_with_line_feeds(tmp_path):
    write_text(tmp_path / "x", "农田\nä\r\n")
    assert (tmp_path / "x").read_bytes() == "农田\nä\r\n".encode()


PACKAGES = ("engine", "export", "kernels")


def _text_calls(tree):
    """Calls that open a file as text, each with its name, the modes and the names of other arguments."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, (ast.Attribute, ast.Name))):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        given = {keyword.arg for keyword in node.keywords}
        values = [*node.args[:2], *(keyword.value for keyword in node.keywords if keyword.arg == "mode")]
        texts = [
            value.value
            for value in values
            if isinstance(value, ast.Constant) and isinstance(value.value, str)
        ]
        modes = [text for text in texts if text and set(text) <= set("rwxabt+")]
        if name in ("read_text", "write_text") and isinstance(node.func, ast.Attribute):
            yield name, modes, given, node
        elif name == "open" and getattr(getattr(node.func, "value", None), "id", "") not in NO_TEXT:
            if (modes or not node.args or isinstance(node.func, ast.Name)) and "b" not in "".join(modes):
                yield name, modes, given, node
        elif given & {"text", "universal_newlines"}:
            yield name, modes, given, node


NO_TEXT = {"rasterio", "zarr"}
"""Whose `open` has a mode too, and is of other things."""


def test_text_files_name_their_encoding_and_are_written_with_line_feeds():
    """Without that, Windows takes the country's encoding and its own line ends."""
    wrong, seen = [], 0
    for path in [path for folder in PACKAGES for path in sorted((ROOT / folder).rglob("*.py"))]:
        for name, modes, given, node in _text_calls(ast.parse(path.read_text(encoding="utf-8"))):
            seen += 1
            writes = name == "write_text" or set("wxa") & set("".join(modes))
            if "encoding" not in given or (writes and "newline" not in given):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert wrong == []
    assert seen > 20


IMPORTING = """
import importlib, os, pkgutil, sys, types
import tessera_engine.errors, tessera_export, tessera_kernels

def names():
    for package in (tessera_kernels, tessera_engine, tessera_export):
        yield package.__name__
        yield from (each.name for each in pkgutil.walk_packages(package.__path__, package.__name__ + "."))

ours = [name for name in names() if not name.endswith(("__main__", ".walk"))]
here = set()
for name in ours:
    try:
        importlib.import_module(name)
        here.add(name)
    except (ModuleNotFoundError, tessera_engine.errors.MissingExtra) as error:
        assert not getattr(error, "name", "").startswith("tessera"), error
for name in [name for name in sys.modules if name.partition(".")[0].startswith("tessera_")]:
    del sys.modules[name]
for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog"):
    sys.modules[name] = None
for name in ("fork", "geteuid", "getuid", "chown", "mkfifo", "sched_getaffinity", "statvfs", "O_NOFOLLOW", "O_DIRECTORY",
             "O_CLOEXEC", "O_NONBLOCK", "pread", "pwrite", "posix_fadvise", "killpg", "setsid", "getpgid", "waitid"):
    if hasattr(os, name):
        delattr(os, name)
sys.modules["msvcrt"] = types.SimpleNamespace(LK_NBLCK=2, LK_UNLCK=0, locking=None)
sys.platform = "win32"
for name in ours:
    if name in here:
        importlib.import_module(name)
print(len(here))
"""


@ON_LINUX
def test_every_module_is_imported_without_what_only_unix_has():
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 200
