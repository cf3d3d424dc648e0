"""The machines that a kit can be for: a platform and a version of Python."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tessera_engine.errors import InputError

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")


@dataclass(frozen=True)
class Platform:
    """A system and its processor.

    Attributes:
        tags: the platform tags of wheels that run there, best first (PyPA, "Platform compatibility tags").
        markers: the values of environment markers there (PyPA, "Dependency specifiers").
    """

    tags: tuple[str, ...]
    markers: Mapping[str, str]


def _linux(machine: str) -> Platform:
    # glibc 2.28 is that of Debian 10, Ubuntu 20.04 and RHEL 8. pip doesn't add the older ones by itself
    versions = (28, 27, 26, 24, 17)
    tags = (*(f"manylinux_2_{version}_{machine}" for version in versions), f"manylinux2014_{machine}")
    return Platform(tags, _markers("posix", "linux", "Linux", machine))


def _markers(os_name: str, sys_platform: str, system: str, machine: str) -> dict[str, str]:
    return {
        "os_name": os_name,
        "sys_platform": sys_platform,
        "platform_system": system,
        "platform_machine": machine,
        "platform_release": "",
        "platform_version": "",
    }


PLATFORMS = {
    "linux-x86_64": _linux("x86_64"),
    "linux-aarch64": _linux("aarch64"),
    "windows": Platform(("win_amd64",), _markers("nt", "win32", "Windows", "AMD64")),
    "macos-arm64": Platform(("macosx_14_0_arm64",), _markers("posix", "darwin", "Darwin", "arm64")),
}
"""Name -> platform. `carried/install.py` finds the same names on the machine where it runs."""


@dataclass(frozen=True)
class Target:
    """A platform with a version of Python.

    Attributes:
        platform: a name in `PLATFORMS`.
        python: one of `PYTHONS`.
    """

    platform: str
    python: str

    @property
    def name(self) -> str:
        """What the list of its packages is called."""
        return f"{self.platform}-py{self.python}"

    @property
    def environment(self) -> dict[str, str]:
        """The values of environment markers there."""
        return {
            **PLATFORMS[self.platform].markers,
            "python_version": self.python,
            # Its first release: a package for older patch releases only does no harm on newer ones
            "python_full_version": f"{self.python}.0",
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "platform_python_implementation": "CPython",
            "extra": "",
        }


def find_targets(platforms: Iterable[str], pythons: Iterable[str] | None) -> list[Target]:
    """Every platform with every Python.

    Args:
        platforms: names in `PLATFORMS`.
        pythons: of `PYTHONS`; None: the one that runs this.

    Raises:
        InputError: an unknown one, or none.
    """
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    chosen_platforms = _known("platform", platforms, PLATFORMS)
    chosen_pythons = _known("python", [here] if pythons is None else pythons, PYTHONS)
    return [Target(platform, python) for platform in chosen_platforms for python in chosen_pythons]


def _known(parameter: str, given: Iterable[str], choices: Iterable[str]) -> list[str]:
    found = list(dict.fromkeys(given))
    unknown = [each for each in found if each not in choices]
    if unknown or not found:
        came = f"{parameter}={unknown[0]} is unknown" if unknown else f"{parameter}= is empty"
        raise InputError(f"{came}; choose from {', '.join(choices)}, several with commas")
    return found
