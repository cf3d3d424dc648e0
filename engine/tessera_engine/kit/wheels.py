"""The wheels that another machine needs: brought by pip, and checked to be complete for that machine.

pip chooses wheels for another platform, but evaluates environment markers for its own: what only Windows needs is left
out on Linux. So the markers are evaluated here for the target, constraints included, and pip is asked again for what
it left out. What it brought for its own platform only is not taken.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from packaging.metadata import parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files.text import write_text
from tessera_engine.kit.targets import PLATFORMS, Target

ROUNDS = 5
"""Times that pip is asked at most. Each brings what the markers of the last round's packages ask for."""

INSTALLER = "pip"
"""Carried too: it installs the others, where Python came without it."""


@dataclass(frozen=True)
class Wheel:
    """A wheel file.

    Attributes:
        path: the file.
        name: of the package, normalised.
        version: of the package.
        requires: what it needs, with environment markers.
    """

    path: Path
    name: NormalizedName
    version: Version
    requires: tuple[Requirement, ...]


def read_wheel(path: Path) -> Wheel:
    """Read a wheel's own metadata.

    Raises:
        TesseraError: it isn't a wheel.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (member,) = (name for name in archive.namelist() if _is_metadata(name))
            raw, _ = parse_email(archive.read(member))
        requires = tuple(Requirement(line) for line in raw.get("requires_dist", []))
        return Wheel(path, canonicalize_name(raw["name"]), Version(raw["version"]), requires)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise TesseraError(f"{path} is not a wheel or a damaged one ({error}); bring it again") from None


def _is_metadata(name: str) -> bool:
    folder, _, file = name.partition("/")
    return folder.endswith(".dist-info") and file == "METADATA"


def bring_wheels(
    own: Wheel, extras: Iterable[str], constraints: Path, target: Target, scratch: Path
) -> list[Wheel]:
    """All wheels that a target needs beside the engine's own, pip's included, sorted by name.

    The only connections are those of pip, to the index that pip is configured to use.

    Args:
        own: the engine's wheel.
        extras: its extras to install.
        constraints: a constraints file of pip, with environment markers.
        target: the machine that they are for.
        scratch: an empty folder, in which they are.

    Raises:
        InputError: this Python has no pip, or the constraints can't be read.
        TesseraError: pip failed, or brought something else than it was asked for.
    """
    pinned = scratch / "constraints.txt"
    write_text(pinned, "".join(f"{line}\n" for line in pinned_for(target, constraints)))
    asked = [*_needs(own, set(extras), target.environment), Requirement(INSTALLER)]
    for number in range(ROUNDS):
        folder = scratch / str(number)
        folder.mkdir()
        _download(asked, pinned, target, folder)
        brought = {wheel.name: wheel for wheel in map(read_wheel, folder.glob("*.whl"))}
        needed, missing = _closure(asked, brought, target)
        if not missing:
            return sorted(needed, key=lambda wheel: wheel.name)
        asked += missing
    raise TesseraError(
        f"pip does not bring {missing[0]}, which the packages for {target.name} need; see whether the index has it"
    )


def pinned_for(target: Target, constraints: Path) -> Iterator[str]:
    """The lines of a constraints file that hold for a target, without markers.

    Raises:
        InputError: the file can't be read.
    """
    for line in constraints.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            each = Requirement(text)
        except InvalidRequirement as error:
            raise InputError(
                f"{constraints} has the line '{text}', which is not a requirement: {error}"
            ) from None
        if each.marker is None or each.marker.evaluate(target.environment):
            yield f"{each.name}{each.specifier}"


def _needs(wheel: Wheel, extras: set[str], environment: dict[str, str]) -> Iterator[Requirement]:
    """What a wheel needs in an environment, without markers."""
    for each in wheel.requires:
        marker = each.marker
        if marker is None or any(marker.evaluate({**environment, "extra": extra}) for extra in ("", *extras)):
            plain = Requirement(str(each))
            plain.marker = None
            yield plain


def _closure(
    asked: Sequence[Requirement], brought: dict[NormalizedName, Wheel], target: Target
) -> tuple[list[Wheel], list[Requirement]]:
    """The wheels that requirements need, and the requirements that no wheel meets."""
    missing: list[Requirement] = []
    done: set[str] = set()
    needed: dict[NormalizedName, Wheel] = {}
    waiting = list(asked)
    while waiting:
        requirement = waiting.pop()
        if str(requirement) in done:
            continue
        done.add(str(requirement))
        wheel = brought.get(canonicalize_name(requirement.name))
        if wheel is None or not requirement.specifier.contains(wheel.version, prereleases=True):
            missing.append(requirement)
            continue
        needed[wheel.name] = wheel
        waiting += _needs(wheel, requirement.extras, target.environment)
    return list(needed.values()), missing


def _download(asked: Sequence[Requirement], constraints: Path, target: Target, folder: Path) -> None:
    if find_spec("pip") is None:
        raise InputError(
            f"{sys.executable} has no pip, which brings the wheels; install it: python -m ensurepip"
        )
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
    ]
    command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={target.python}"]
    command += [f"--platform={tag}" for tag in PLATFORMS[target.platform].tags]
    command += ["--constraint", str(constraints), "--dest", str(folder), *map(str, asked)]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")] or [
            done.stderr[-500:]
        ]
        # The last line is the verdict, the first names the package
        said = " ".join(
            line.removeprefix("ERROR: ").strip() for line in dict.fromkeys((errors[0], errors[-1]))
        )
        raise TesseraError(
            f"pip can't bring the wheels for {target.name}: {said}; check the network, and that the index of 'pip "
            "config list' has these packages"
        )
