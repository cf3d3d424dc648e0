"""Kits: complete for the machine that they are for, checked before anything is installed, and published like an output."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from places import ROOT

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.kit import make, source_tree
from tessera_engine.kit.carried import install
from tessera_engine.kit.make import make_kit, write_sums
from tessera_engine.kit.pages import INSTALLED
from tessera_engine.kit.source_tree import build_wheel
from tessera_engine.kit.targets import PLATFORMS, PYTHONS, Target, find_targets
from tessera_engine.kit.wheels import bring_wheels, pinned_for, read_wheel

pytest.importorskip("pip")


def write_wheel(
    folder: Path, name: str, version: str = "1.0", requires=(), tag: str = "py3-none-any"
) -> Path:
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        extras = "Provides-Extra: maps\nProvides-Extra: zarr\nProvides-Extra: geotessera\n"
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{extras}{needs}"
        )
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


OWN = [
    "core",
    "shapes; extra == 'maps'",
    "chunks; extra == 'zarr' and python_version >= '3.11'",
    "torch; extra == 'export'",
]
"""What the made-up engine needs."""


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """A folder of wheels in the place of an index; each platform has `core` of its own."""
    folder = tmp_path_factory.mktemp("index")
    needs = [
        "colours; sys_platform == 'win32'",
        "notices; sys_platform == 'linux'",
        "groups; python_version < '3.11'",
    ]
    for tag in ("manylinux_2_28_x86_64", "manylinux2014_aarch64", "win_amd64", "macosx_13_0_arm64"):
        for version in ("1.0", "2.0"):
            write_wheel(folder, "core", version, needs, f"py3-none-{tag}")
    # Only its own dependencies show that `deep` is needed, and only on Windows
    write_wheel(folder, "colours", requires=["deep; platform_machine == 'AMD64'"])
    for name in ("deep", "notices", "groups", "shapes", "chunks", "pip"):
        write_wheel(folder, name)
    return folder


@pytest.fixture(autouse=True)
def offline_pip(monkeypatch, index):
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", index.as_uri())


@pytest.fixture
def own(tmp_path):
    (tmp_path / "own").mkdir()
    return write_wheel(tmp_path / "own", "tessera_engine", "0.0.1", OWN)


@pytest.fixture
def constraints(tmp_path):
    path = tmp_path / "constraints.txt"
    path.write_text(
        '# Why\ncore==1.0; python_version >= "3.11"\ncore==2.0; python_version == "3.10"\ntorch==9\n'
    )
    return path


@pytest.mark.parametrize(
    ("platform", "python", "expected"),
    [
        ("windows", "3.11", {"core 1.0", "colours 1.0", "deep 1.0", "shapes 1.0", "chunks 1.0", "pip 1.0"}),
        ("linux-x86_64", "3.10", {"core 2.0", "notices 1.0", "groups 1.0", "shapes 1.0", "pip 1.0"}),
        ("macos-arm64", "3.13", {"core 1.0", "shapes 1.0", "chunks 1.0", "pip 1.0"}),
    ],
)
def test_markers_are_those_of_the_other_machine(own, constraints, tmp_path, platform, python, expected):
    (tmp_path / "scratch").mkdir()
    wheels = bring_wheels(
        read_wheel(own), make.EXTRAS, constraints, Target(platform, python), tmp_path / "scratch"
    )
    assert {f"{wheel.name} {wheel.version}" for wheel in wheels} == expected
    assert len(wheels) == len(expected)
    (core,) = (wheel.path.name for wheel in wheels if wheel.name == "core")
    assert any(tag in core for tag in (*PLATFORMS[platform].tags, "macosx_13_0_arm64"))


def test_a_package_that_the_index_lacks_is_named(own, constraints, tmp_path):
    write_wheel(tmp_path / "own", "tessera_engine", "0.0.1", ["absent>=3"])
    (tmp_path / "scratch").mkdir()
    with pytest.raises(TesseraError, match="absent>=3"):
        bring_wheels(read_wheel(own), [], constraints, Target("windows", "3.11"), tmp_path / "scratch")


def test_the_constraints_of_the_project_hold_for_every_target():
    for python in PYTHONS:
        lines = list(pinned_for(Target("windows", python), ROOT / "constraints.txt"))
        for name in ("numpy", "onnxruntime", "packaging"):
            assert sum(line.startswith(f"{name}==") for line in lines) == 1, (python, name)


def test_the_engines_own_wheel_has_what_a_kit_carries_and_the_pages(tmp_path):
    pytest.importorskip("hatchling")
    tree = tmp_path / "tree"
    (tree / "dist" / "site" / "search").mkdir(parents=True)
    for path in ROOT.iterdir():
        if path.name in ("pyproject.toml", "README.md", "LICENSE", "docs", "engine", "export", "kernels"):
            (tree / path.name).symlink_to(path)
    for name in ("index.html", "404.html", "search/search_index.js", "search/search_index.json"):
        (tree / "dist" / "site" / name).write_text("made up")
    path = build_wheel(tree, tmp_path)
    wheel = read_wheel(path)
    assert wheel.name == "tessera-engine"
    assert "numba" in {each.name for each in wheel.requires}
    carried = {path.name for path in make.CARRIED.iterdir() if path.is_file()}
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    assert {f"tessera_engine/kit/carried/{name}" for name in carried} <= set(names)
    # Where `docs` looks for them; what only a server needs is left out
    place = INSTALLED.relative_to(ROOT / "engine").as_posix()
    found = {name.removeprefix(f"{place}/") for name in names if name.startswith(f"{place}/")}
    assert found == {"index.html", "search/search_index.js"}


@pytest.fixture(scope="module")
def made(index, tmp_path_factory):
    """A kit for two platforms of the made-up wheels."""
    folder = tmp_path_factory.mktemp("a place") / "kit"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_CONFIG_FILE", os.devnull)
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", index.as_uri())
        patch.setattr(make, "build_wheel", lambda root, to: write_wheel(to, "tessera_engine", "0.0.1", OWN))
        patch.setattr(make, "PLUGIN", "LICENSE")  # in the place of what `make qgis` builds
        carried = make_kit(folder, ["linux-x86_64", "windows"], ["demo"], ["3.11"])
    return folder, carried


@pytest.fixture
def kit(made, tmp_path):
    """One to change."""
    shutil.copytree(made[0], tmp_path / "kit")
    return tmp_path / "kit"


def test_a_kit_has_wheels_models_pages_an_example_and_their_sums(made):
    folder, carried = made
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.txt", "SHA256SUMS", "documentation", "example", "install.bat", "install.py", "install.sh", "models", "qgis", "wheels",
    ]  # fmt: skip
    linux, windows = carried
    assert "core==2.0" in linux.packages  # the project's own constraints don't name it
    assert "colours==1.0" in windows.packages
    assert "colours==1.0" not in linux.packages
    lines = (folder / "wheels" / "windows-py3.11.txt").read_text().split()
    assert tuple(lines) == windows.packages
    assert linux.bytes < sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert (folder / "models" / "demo.tessera").is_file()
    assert (folder / "qgis" / "LICENSE").is_file()
    assert (folder / "documentation" / "docs" / "tutorial.md").is_file()
    assert (folder / "documentation" / "docs" / "notebooks" / "areas.ipynb").is_file()
    assert not list((folder / "documentation" / "docs").rglob("*.py"))
    assert (folder / "example" / "labels.geojson").is_file()
    assert "linux-x86_64, Python 3.11" in (folder / "README.txt").read_text()
    for name in ("README.txt", "install.bat"):
        content = (folder / name).read_bytes()
        assert content.count(b"\r\n") == content.count(b"\n") > 10
    assert b"\r" not in (folder / "install.sh").read_bytes()


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum")
def test_sha256sum_checks_a_kit(made):
    done = subprocess.run(["sha256sum", "--quiet", "--check", "SHA256SUMS"], cwd=made[0], check=False)
    assert done.returncode == 0


def change(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda kit: change(kit / "models" / "demo.tessera"), "models/demo.tessera"),
        (lambda kit: (kit / "example" / "scene" / "roi.tiff").unlink(), "example/scene/roi.tiff"),
        (lambda kit: write_wheel(kit / "wheels", "core", "9.0"), "wheels/core-9.0"),
        (lambda kit: (kit / "SHA256SUMS").write_text(f"{'0' * 64}  ../outside\n"), "SHA256SUMS"),
        (lambda kit: (kit / "SHA256SUMS").write_bytes(b""), "SHA256SUMS"),
    ],
)
def test_damage_is_found_before_anything_is_installed(kit, run, monkeypatch, tmp_path, damage, named):
    code, out, err = run("kit", "--verify", kit)
    assert (code, out.strip()) == (0, str(kit))
    damage(kit)
    code, out, err = run("kit", "--verify", kit)
    assert (code, out) == (1, "")
    assert named in err
    monkeypatch.setattr(install, "this_target", lambda: "linux-x86_64-py3.11")
    with pytest.raises(install.NotInstalled, match="damaged"):
        install.install(kit, tmp_path / "env")
    assert not (tmp_path / "env").exists()


def test_files_that_are_not_used_are_named_and_never_imported(kit, run, tmp_path):
    for name in ("hashlib.py", "notes.txt"):
        (kit / name).write_text("raise SystemExit('imported')")
    code, _, err = run("kit", "--verify", kit)
    assert code == 0
    assert "2 files" in err
    assert "hashlib.py, notes.txt" in err
    if shutil.which("sh"):
        done = subprocess.run(
            ["sh", kit / "install.sh"], env=os.environ | {"PYTHON": sys.executable, "VENV_DIR": str(tmp_path)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "imported" not in done.stderr
        assert "error: " in done.stderr
    assert '-I "%~dp0install.py"' in (kit / "install.bat").read_text()


def test_a_link_out_of_the_kit_is_not_followed(kit, tmp_path):
    outside = tmp_path / "outside"
    shutil.move(kit / "models" / "demo.tessera", outside)
    (kit / "models" / "demo.tessera").symlink_to(outside)
    assert len(install.find_problems(kit)) == 1


def test_a_folder_that_is_no_kit_is_refused(run, tmp_path):
    code, _, err = run("kit", "--verify", tmp_path)
    assert code == 2
    assert "SHA256SUMS" in err


def test_nothing_is_replaced(made, run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("mine")
    code, _, err = run("kit", "mine")
    assert code == 2
    assert "mine" in err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert (tmp_path / "mine" / "notes").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--platform", "linux-x86_64,beos"], "beos"),
        (["--platform", ","], "--platform"),
        (["--python", "3.9"], "3.9"),
        (["--python", "3.11", "--models", "nothing-like-it"], "nothing-like-it"),
    ],
)
def test_mistakes_are_named_before_anything_is_made(run, tmp_path, words, named):
    code, _, err = run("kit", "out", *words)
    assert code != 0
    assert named in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_without_a_checkout_the_command_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(source_tree, "__file__", str(tmp_path / "lib" / "tessera_engine" / "kit" / "here.py"))
    with pytest.raises(InputError, match="make kit"):
        make_kit(tmp_path / "out", ["windows"], ["demo"], ["3.11"])


def test_a_failure_leaves_nothing(monkeypatch, index, tmp_path):
    monkeypatch.setattr(
        make, "build_wheel", lambda root, to: write_wheel(to, "tessera_engine", "0.0.1", ["absent"])
    )
    with pytest.raises(TesseraError, match="absent"):
        make_kit(tmp_path / "out", ["windows"], ["demo"], ["3.11"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("system", "machine", "platform"),
    [
        ("Linux", "x86_64", "linux-x86_64"),
        ("Linux", "aarch64", "linux-aarch64"),
        ("Windows", "AMD64", "windows"),
        ("Darwin", "arm64", "macos-arm64"),
    ],
)
def test_the_installer_knows_every_platform_by_its_name(monkeypatch, system, machine, platform):
    monkeypatch.setattr(install.platform, "system", lambda: system)
    monkeypatch.setattr(install.platform, "machine", lambda: machine)
    (here,) = find_targets([platform], ["{}.{}".format(*sys.version_info)])
    assert install.this_target() == here.name


def test_another_python_is_refused_with_those_that_the_kit_is_for(kit, monkeypatch, tmp_path):
    monkeypatch.setattr(install, "this_target", lambda: "windows-py3.9")
    with pytest.raises(install.NotInstalled, match=r"windows-py3\.9.*linux-x86_64-py3\.11, windows-py3\.11"):
        install.install(kit, tmp_path / "env")


def test_the_installer_takes_nothing_from_elsewhere(kit, monkeypatch, tmp_path):
    commands = []

    def record(command, env, check):
        commands.append((command, env))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(install, "this_target", lambda: "windows-py3.11")
    monkeypatch.setattr(install.subprocess, "run", record)
    monkeypatch.setattr(
        install.venv, "EnvBuilder", lambda **_: type("Made", (), {"create": lambda self, at: None})()
    )
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    install.install(kit, tmp_path / "an env")
    (pip, env), (models, _) = commands
    assert "--no-index" in pip
    assert pip[pip.index("--find-links") + 1] == str(kit / "wheels")
    assert pip[pip.index("--requirement") + 1] == str(kit / "wheels" / "windows-py3.11.txt")
    assert not [name for name in env if name.startswith(("PIP_", "PYTHON")) and name != "PIP_CONFIG_FILE"]
    assert models[-3:] == ["model", "add", str(kit / "models")]


def test_the_installer_leaves_a_folder_of_the_users_alone(kit, monkeypatch, tmp_path):
    monkeypatch.setattr(install, "this_target", lambda: "windows-py3.11")
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "thesis.txt").write_text("mine")
    with pytest.raises(install.NotInstalled, match="VENV_DIR"):
        install.install(kit, tmp_path / "env")
    assert [path.name for path in (tmp_path / "env").iterdir()] == ["thesis.txt"]


def test_sums_are_the_same_again(kit):
    before = (kit / "SHA256SUMS").read_bytes()
    write_sums(kit)
    assert (kit / "SHA256SUMS").read_bytes() == before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="installs on Linux")
def test_a_real_kit_installs_without_a_network(monkeypatch, run, tmp_path):
    """Needs the index that pip is configured to use."""
    for name in ("PIP_CONFIG_FILE", "PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name)
    kit = tmp_path / "a stick" / "kit"
    kit.parent.mkdir()
    code, _, err = run("kit", kit, "--platform", f"linux-{os.uname().machine}")
    if code != 0 and "pip can't bring" in err:
        pytest.skip(f"no index: {err}")
    assert code == 0, err
    assert sum(path.stat().st_size for path in kit.rglob("*") if path.is_file()) <= make.LARGEST
    unplugged = ["unshare", "-n"]
    if subprocess.run([*unplugged, "true"], check=False, capture_output=True).returncode != 0:
        unplugged = []
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHON": sys.executable}
    program = kit.parent / install.ENVIRONMENT / "bin" / "tessera-engine"
    for command in (
        ["sh", kit / "install.sh"],
        [program, "embed", kit / "example" / "scene", "--int8", "-q", "-o", "first"],
        [program, "map", "first", "--labels", kit / "example" / "labels.geojson", "--field", "map_class", "-q", "-o", "map"],
        [program, "view", "first", "--export", "page", "-q"],
        *([[program, "docs"]] if (ROOT / source_tree.SITE / "index.html").is_file() else []),
    ):  # fmt: skip
        done = subprocess.run(
            [*unplugged, *command], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "map" / "map.png").is_file()
    assert (tmp_path / "page" / "index.html").is_file()
