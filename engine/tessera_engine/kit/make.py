"""Makes a kit: wheels, models, pages, an example, what installs them, and the sha256 of every file."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from tessera_engine.analysis.areas.design import sample_design
from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files.checksums import file_sha256
from tessera_engine.files.output import is_interrupted
from tessera_engine.files.result import result_folder
from tessera_engine.kit.carried.install import ENVIRONMENT, SUMS
from tessera_engine.kit.source_tree import CONSTRAINTS, PAGES, PLUGIN, SITE, build_wheel, find_source_tree
from tessera_engine.kit.targets import Target, find_targets
from tessera_engine.kit.wheels import bring_wheels, read_wheel
from tessera_engine.model.carried import SUFFIX, pack_model
from tessera_engine.model.installed import open_model, precisions
from tessera_engine.progress import Announce
from tessera_engine.simulate import simulate
from tessera_engine.version import __version__

EXTRAS = ("maps", "zarr", "geotessera")

CARRIED = Path(__file__).parent / "carried"
README = "README.txt"

EXAMPLE_SIDE = 64
"""Pixels of the example scene: 8 MB."""
LABELS_PER_CLASS = 20

LARGEST = 400_000_000
"""Bytes of a kit for one platform and one Python. A larger one is made, and said to be so."""


@dataclass(frozen=True)
class Carried:
    """What a kit has for one target.

    Attributes:
        target: the platform and the Python.
        packages: `name==version`, the engine's own included.
        bytes: of their wheels and of all that every target uses.
    """

    target: Target
    packages: tuple[str, ...]
    bytes: int


def make_kit(
    folder: Path,
    platforms: Iterable[str],
    models: Sequence[str],
    pythons: Iterable[str] | None = None,
    announce: Announce = lambda line: None,
) -> list[Carried]:
    """Make a folder from which machines without a network install the engine with models.

    Its wheels are brought by pip from the index that pip is configured to use. The folder appears complete or not at
    all.

    Args:
        folder: the folder to make; nothing may be there.
        platforms: names in `tessera_engine.kit.targets.PLATFORMS`.
        models: names of models on this machine; all their precisions are carried.
        pythons: of `tessera_engine.kit.targets.PYTHONS`; None: the one that runs this.
        announce: called with a line before each step that takes long.

    Returns:
        What it has for each platform and Python.

    Raises:
        InputError: something is there, an unknown platform or Python, not in a checkout, or a tool is missing.
        ModelError: no such model, or a damaged one.
        TesseraError: pip or the build of the wheel failed.
    """
    targets = find_targets(platforms, pythons)
    root = find_source_tree()
    opened = [open_model(name, precision) for name in models for precision in precisions(name)]
    identity = {model.label: model.sha256 for model in opened} | {
        "command": "kit",
        "version": __version__,
        "targets": " ".join(target.name for target in targets),
    }
    if os.path.lexists(folder) and not is_interrupted(folder):
        raise InputError(
            f"can't make a kit in {folder}: it is there already; remove it, or choose another folder="
        )
    with result_folder(folder, False, identity) as made, tempfile.TemporaryDirectory() as scratch:
        wheels = _write_wheels(made / "wheels", root, targets, Path(scratch), announce)
        for name in models:
            (made / "models").mkdir(exist_ok=True)
            pack_model(name, made / "models" / f"{name}{SUFFIX}")
        _copy_pages(root, made / "documentation")
        if (root / PLUGIN).is_file():
            (made / "qgis").mkdir()
            shutil.copy(root / PLUGIN, made / "qgis")
        _write_example(made / "example")
        for name in ("install.py", "install.sh"):
            shutil.copy(CARRIED / name, made / name)
        (made / "install.sh").chmod(0o755)
        _write_for_windows(made / "install.bat", (CARRIED / "install.bat").read_text(encoding="utf-8"))
        _write_readme(made / README, targets, models)
        shared = _size(made) - _size(made / "wheels")
        write_sums(made)
    return [
        Carried(target, packages, size + shared)
        for target, (packages, size) in zip(targets, wheels, strict=True)
    ]


def write_sums(kit: Path) -> None:
    """Record the sha256 of all files of a kit, as `sha256sum` writes and checks them."""
    paths = sorted(path.relative_to(kit).as_posix() for path in kit.rglob("*") if path.is_file())
    lines = [f"{file_sha256(kit / path)}  {path}\n" for path in paths if path != SUMS]
    (kit / SUMS).write_bytes("".join(lines).encode())


def _write_wheels(
    folder: Path, root: Path, targets: Sequence[Target], scratch: Path, announce: Announce
) -> list[tuple[tuple[str, ...], int]]:
    """The wheels of all targets, and a list of its packages for each; gives the lists and the bytes of their wheels."""
    folder.mkdir()
    own = read_wheel(build_wheel(root, folder))
    found = []
    for target in targets:
        announce(f"bringing the wheels for {target.name} ...")
        place = scratch / target.name
        place.mkdir()
        brought = bring_wheels(own, EXTRAS, root / CONSTRAINTS, target, place)
        for wheel in brought:
            _take(wheel.path, folder / wheel.path.name)
        shutil.rmtree(place)
        packages = tuple(f"{wheel.name}=={wheel.version}" for wheel in (own, *brought))
        (folder / f"{target.name}.txt").write_bytes("".join(f"{line}\n" for line in packages).encode())
        found.append((packages, sum((folder / each.path.name).stat().st_size for each in (own, *brought))))
    return found


def _take(path: Path, target: Path) -> None:
    """Wheels for every platform are the same file in each target's folder."""
    if not target.exists():
        shutil.move(path, target)
    elif file_sha256(path) != file_sha256(target):
        raise TesseraError(
            f"the index gave two different files called {path.name}; give one platform= and one python= a kit"
        )


def _copy_pages(root: Path, folder: Path) -> None:
    shutil.copytree(
        root / "docs",
        folder / "docs",
        ignore=lambda at, names: [n for n in names if not _is_page(Path(at, n))],
    )
    for name in PAGES:
        shutil.copy(root / name, folder / name)
    if (root / SITE / "index.html").is_file():
        shutil.copytree(root / SITE, folder / "site")


def _is_page(path: Path) -> bool:
    return path.suffix in (".md", ".png", ".ipynb") or (path.is_dir() and any(path.glob("*.ipynb")))


def _write_example(folder: Path) -> None:
    """A simulated scene, and points with the true cover in the column `map_class`."""
    folder.mkdir()
    simulate(folder / "scene", EXAMPLE_SIDE)
    sample_design(
        folder / "scene" / "cover.tif", folder / "labels.geojson", per_class=LABELS_PER_CLASS, show_class=True
    )


def _write_readme(path: Path, targets: Sequence[Target], models: Sequence[str]) -> None:
    text = Template((CARRIED / README).read_text(encoding="utf-8")).substitute(
        version=__version__,
        targets="\n".join(f"  {target.platform}, Python {target.python}" for target in targets),
        models=", ".join(models) or "none but demo, which is in the package",
        environment=ENVIRONMENT,
    )
    _write_for_windows(path, text)


def _write_for_windows(path: Path, text: str) -> None:
    """With its line ends: older versions of cmd and Notepad need them."""
    path.write_bytes(text.replace("\n", "\r\n").encode())


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
