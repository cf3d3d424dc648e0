"""Installs tessera-engine from the kit in which this file lies, without a network.

install.sh and install.bat call it. It needs Python alone: no pip, no engine. VENV_DIR names the folder of the virtual
environment; without it that is a folder beside the kit.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import venv
from pathlib import Path

ENVIRONMENT = "tessera-engine-env"
"""Name of the virtual environment beside the kit."""

SUMS = "SHA256SUMS"
WHEELS = "wheels"
CLOSED = (WHEELS, "models")
"""Folders from which everything is installed, so that nothing may lie there that isn't recorded."""

SYSTEMS = {"Linux": "linux", "Darwin": "macos", "Windows": "windows"}
MACHINES = {"amd64": "x86_64", "x86_64": "x86_64", "aarch64": "aarch64", "arm64": "arm64"}


class NotInstalled(Exception):
    """What failed, and what to do."""


def find_problems(kit: Path) -> list[str]:
    """What is missing, changed or too much in a kit, by the sha256 of its files; empty if it is as it was made.

    Raises:
        OSError: the list of the files can't be read.
    """
    problems, recorded = [], set()
    for line in (kit / SUMS).read_text(encoding="utf-8", errors="replace").splitlines():
        sha256, _, name = line.partition("  ")
        path = Path(name)
        if not name or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
            problems.append(f"{SUMS} has a line that names no file of the kit")
            continue
        recorded.add(name)
        if not (kit / path).is_file():
            problems.append(f"{name} is missing")
        elif _leads_out(kit, path) or _sha256(kit / path) != sha256:
            problems.append(f"{name} is not the file that was packed")
    if not recorded:
        problems.append(f"{SUMS} names no file")
    for folder in CLOSED:
        for path in sorted((kit / folder).rglob("*")):
            name = path.relative_to(kit).as_posix()
            if path.is_file() and name not in recorded:
                problems.append(f"{name} was not packed")
    return problems


def find_added(kit: Path) -> list[str]:
    """Files that were not packed and from which nothing is installed, like notes or what a file manager leaves.

    Raises:
        OSError: the list of the files can't be read.
    """
    lines = (kit / SUMS).read_text(encoding="utf-8", errors="replace").splitlines()
    recorded = {SUMS, *(line.partition("  ")[2] for line in lines)}
    names = (path.relative_to(kit) for path in sorted(kit.rglob("*")) if path.is_file())
    return [
        name.as_posix() for name in names if name.as_posix() not in recorded and name.parts[0] not in CLOSED
    ]


def _leads_out(kit: Path, path: Path) -> bool:
    return kit.resolve() not in (kit / path).resolve().parents


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def this_target() -> str:
    """The name of this machine and this Python, as the lists of packages are called."""
    system = SYSTEMS.get(platform.system(), platform.system().lower())
    machine = MACHINES.get(platform.machine().lower(), platform.machine())
    if sys.maxsize < 1 << 32:
        machine = "32-bit"
    place = system if (system, machine) == ("windows", "x86_64") else f"{system}-{machine}"
    return f"{place}-py{sys.version_info[0]}.{sys.version_info[1]}"


def find_packages(kit: Path) -> Path:
    """The list of the packages for this machine.

    Raises:
        NotInstalled: the kit has none for it.
    """
    here = this_target()
    listed = kit / WHEELS / f"{here}.txt"
    if not listed.is_file():
        there = ", ".join(sorted(path.stem for path in (kit / WHEELS).glob("*.txt"))) or "nothing"
        raise NotInstalled(
            f"this is {here} ({sys.executable}), and the kit is for {there}; set PYTHON to one of these Pythons"
        )
    return listed


def make_environment(folder: Path) -> Path:
    """Make a virtual environment without pip, or take the one that is there; gives its Python.

    Raises:
        NotInstalled: something else is there, or it can't be made.
    """
    advice = "set VENV_DIR to another folder on this computer's own disk"
    if folder.exists() and not (folder / "pyvenv.cfg").is_file() and not _is_empty(folder):
        raise NotInstalled(f"{folder} is there and is not a virtual environment; {advice}")
    try:
        # Sticks have no symbolic links, and then venv copies
        venv.EnvBuilder(with_pip=False, symlinks=os.name != "nt").create(str(folder))
    except (OSError, subprocess.CalledProcessError) as error:
        raise NotInstalled(f"can't make {folder}: {error}; {advice}") from None
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def install(kit: Path, folder: Path) -> None:
    """Check the kit, and install its packages and models.

    Raises:
        NotInstalled: what failed, and what to do.
    """
    listed = find_packages(kit)
    print("checking the kit ...", flush=True)
    try:
        problems = find_problems(kit)
    except OSError as error:
        problems = [f"{SUMS} can't be read: {error.strerror}"]
    if problems:
        raise NotInstalled(f"the kit is damaged: {'; '.join(problems[:3])}; copy it again")
    print(f"installing into {folder}, which takes some minutes ...", flush=True)
    python = make_environment(folder)
    wheels = kit / WHEELS
    pip = next(wheels.glob("pip-*.whl")) / "pip"  # pip runs from its own wheel
    words = [
        "install",
        "--isolated",
        "--no-index",
        "--quiet",
        "--disable-pip-version-check",
        "--no-warn-script-location",
    ]
    # A kit made later may have the same version with other contents
    words += ["--force-reinstall", "--find-links", str(wheels), "--requirement", str(listed)]
    _run(
        [str(python), str(pip), *words],
        "pip can't install the packages, see above; the README names what is needed",
    )
    if (kit / "models").is_dir():
        words = ["-m", "tessera_engine", "model", "add", str(kit / "models")]
        _run([str(python), *words], "the engine is installed, but can't add the models, see above")


def _run(command: list[str], failed: str) -> None:
    # Settings of pip and Python from elsewhere could name an index or other packages
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    if subprocess.run(command, env={**kept, "PIP_CONFIG_FILE": os.devnull}, check=False).returncode != 0:
        raise NotInstalled(failed)


def main() -> None:
    """Install, and print what to do next."""
    kit = Path(__file__).resolve().parent
    folder = Path(os.environ.get("VENV_DIR") or kit.parent / ENVIRONMENT).expanduser().absolute()
    try:
        install(kit, folder)
    except NotInstalled as error:
        sys.exit(f"error: {error}")
    program = folder / ("Scripts/tessera-engine.exe" if os.name == "nt" else "bin/tessera-engine")
    print(f'\nInstalled. Try:\n\n  "{program}" doctor\n\nREADME.txt has the next steps.')


if __name__ == "__main__":
    main()
