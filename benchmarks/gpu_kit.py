"""Wheels for a machine with a GPU but no network: `python benchmarks/gpu_kit.py OUT [--has FILE] [--most MB]`.

`make bench-gpu` uses the folder. It has what the engine needs and the machine lacks, for Python 3.12 on 64-bit Linux;
and the engine's own metadata, from which it knows its version and its backends. Its code is in the checkout.
"""

from __future__ import annotations

import argparse
import email
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PYTHON = "3.12"
PLATFORMS = (
    "manylinux_2_28_x86_64",
    "manylinux_2_27_x86_64",
    "manylinux_2_17_x86_64",
    "manylinux2014_x86_64",
)
MOST_MB = 40
"""What a machine for deep learning lacks takes 36."""

TARGET = {
    "python_version": PYTHON, "python_full_version": f"{PYTHON}.0", "sys_platform": "linux", "platform_system": "Linux",
    "platform_machine": "x86_64", "os_name": "posix", "implementation_name": "cpython", "extra": "",
    "platform_python_implementation": "CPython",
}  # fmt: skip


def name_of(text: str) -> str:
    """A package's name as pip compares it, from `Name`, `Name==1.0` or a requirement."""
    found = re.match(r"[A-Za-z0-9._-]+", text)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


def names_in(lines: Iterable[str]) -> set[str]:
    """The packages that a file of `pip list --format=freeze` names, or one with a name a line."""
    return {name_of(line) for line in lines if line.strip() and not line.startswith("#")}


def needs_of(requirements: Iterable[str]) -> list[str]:
    """The names of those requirements that hold on the target."""
    found = [Requirement(each) for each in requirements]
    return [name_of(each.name) for each in found if each.marker is None or each.marker.evaluate(TARGET)]


def needs_of_wheel(wheel: Path) -> list[str]:
    """What a wheel says that it needs."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", each))
        metadata = email.message_from_bytes(archive.read(name))
    return needs_of(metadata.get_all("Requires-Dist") or [])


def pip(command: str, *words: str) -> None:
    """Run pip."""
    subprocess.check_call(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", command, "--quiet", *words]
    )


def fetch(name: str, out: Path) -> Path:
    """Download one wheel, of the version that constraints.txt names."""
    before = set(out.glob("*.whl"))
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    pip(
        "download", "--no-deps", "--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp",
        *platforms, "--constraint", str(ROOT / "constraints.txt"), "--dest", str(out), name,
    )  # fmt: skip
    (made,) = set(out.glob("*.whl")) - before
    return made


def fill(out: Path, has: set[str]) -> list[Path]:
    """Bring what the engine needs and is missing, and what that needs in turn.

    Args:
        out: a folder that doesn't exist, or is empty.
        has: packages of the machine.
    """
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise SystemExit(f"{out} is not empty; give another folder")
    pip("wheel", "--no-deps", "--wheel-dir", str(out), str(ROOT))
    (engine,) = out.glob("*.whl")
    with zipfile.ZipFile(engine) as archive:
        archive.extractall(out, [name for name in archive.namelist() if ".dist-info/" in name])
    wheels, seen, wanted = [], set(has), needs_of_wheel(engine)
    engine.unlink()
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        wheels.append(fetch(name, out))
        wanted += needs_of_wheel(wheels[-1])
    return wheels


def main() -> int:
    """Fill the folder; 1 if it is larger than it may be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--has", type=Path, default=Path(__file__).with_name("gpu_machine.txt"))
    parser.add_argument("--most", type=int, default=MOST_MB, help="MB that the folder may have")
    given = parser.parse_args()
    wheels = fill(given.out, names_in(given.has.read_text(encoding="utf-8").splitlines()))
    size = sum(wheel.stat().st_size for wheel in wheels)
    for wheel in sorted(wheels):
        print(f"{wheel.stat().st_size / 1e6:8.2f} MB  {wheel.name}")
    print(f"{given.out}: {len(wheels)} wheels, {size / 1e6:.1f} MB")
    if size > 1e6 * given.most:
        print(
            f"larger than {given.most} MB: say what the machine has with --has, or give a larger --most",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
