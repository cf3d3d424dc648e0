"""Errors that the engine expects, each with the exit code of the command line.

A message says what failed, what came, what was expected and what to do, in one line.
"""

from __future__ import annotations

import sys


class TesseraError(Exception):
    """Something went wrong that the engine knows how to name."""

    exit_code = 1


class CheckFailed(TesseraError):
    """A check ran and its result is beyond the threshold."""


class InputError(TesseraError):
    """The command or the input is wrong."""

    exit_code = 2


class ModelError(InputError):
    """A model file or checkpoint can't be used."""


EXTRA_PYTHON = {"zarr": (3, 11)}
"""Extras whose package needs a newer Python than the engine does. On older ones pip installs nothing for them."""


def install_hint(extra: str) -> str:
    """What to type to install an extra. The engine is not on PyPI, so pip takes it from a copy of its source."""
    return f"in tessera-engine's source folder, run pip install '.[{extra}]'"


class MissingExtra(InputError):
    """An optional dependency is needed and not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        needed = EXTRA_PYTHON.get(extra, (3,))
        if sys.version_info < needed:
            required, present = (".".join(map(str, version[:2])) for version in (needed, sys.version_info))
            reason = f"which needs Python {required} or newer; this is Python {present}"
        else:
            reason = f"which is not installed: {install_hint(extra)}"
        super().__init__(f"{purpose} needs the package '{package}', {reason}")
        self._wanted = package, extra, purpose

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str, str]]:
        # Other processes send it too. Without this, pickle would pass the whole message as the package
        return type(self), self._wanted


class SceneWarning(UserWarning):
    """The scene can be embedded, but something about it is worth knowing."""
