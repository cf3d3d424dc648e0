"""Errors that the engine expects, each with the exit code of the command line.

A message says what failed, what came, what was expected and what to do, in one line.
"""

from __future__ import annotations


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


class MissingExtra(InputError):
    """An optional dependency is needed and not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed: "
            f"pip install 'tessera-engine[{extra}]'"
        )
        self._wanted = package, extra, purpose

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str, str]]:
        # It comes from other processes too; left alone, pickle would give the message as the package
        return type(self), self._wanted


class SceneWarning(UserWarning):
    """The scene can be embedded, but something about it is worth knowing."""
