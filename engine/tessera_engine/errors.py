"""Errors that the engine expects, each with the exit code of the command line.

A message says what failed, what came, what was expected and what to do, in one line.
"""

from __future__ import annotations

import numbers
import sys
import unicodedata

_VISIBLE_FORMAT = frozenset(
    "\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
)
"""Format characters (Cf) that ordinary text needs: the joiners, which Persian, Sinhala and emoji use, and the signs
that stand before numbers and words in Arabic, Syriac and Kaithi (Unicode's Prepended_Concatenation_Mark)."""


_LONGEST = 2000
"""Characters of a message. GDAL and JSON readers quote whole lines of a file, which may be megabytes long."""


def plain(text: str) -> str:
    r"""Text that quotes names or contents of files, in one line and harmless to a terminal.

    A terminal obeys control characters and shows text in another order after bidirectional ones. Both are spelled out
    (`\x1b`, `\u202e`), as are line breaks, other invisible format characters, and bytes of a name that isn't UTF-8,
    which Python has as lone surrogates. Ordinary text of any script stays as it is.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or _harmless(c) else _spelled_out(c) for c in text)


def _cut(message: str) -> str:
    """A message without the middle of what it quotes, where that is very long. Its end says what to do."""
    return message if len(message) <= _LONGEST else f"{message[: _LONGEST - 500]} ... {message[-490:]}"


def _harmless(character: str) -> bool:
    """Whether a character that `str.isprintable` refuses belongs to ordinary text.

    Wide and narrow spaces do, and letters of private use or newer than this Python's Unicode.
    """
    return character in _VISIBLE_FORMAT or unicodedata.category(character) in ("Zs", "Cn", "Co")


def _spelled_out(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


class TesseraError(Exception):
    """Something failed in a way that the engine expects. The message may quote anything; see `plain`."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(_cut(plain(message)))


class CheckFailed(TesseraError):
    """A check ran and its result is beyond the threshold."""


class InputError(TesseraError):
    """The command or the input is wrong."""

    exit_code = 2


class ModelError(InputError):
    """A model file or checkpoint can't be used."""


EXTRA_PYTHON = {"cluster": (3, 11), "zarr": (3, 11)}
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

    def __init__(self, message: str) -> None:
        super().__init__(plain(message))


def check_type(name: str, value: object, kinds: tuple[type, ...], expected: str) -> None:
    """Make sure that an argument is of one of these types.

    Args:
        name: the parameter's.
        value: what was given.
        kinds: types that it may have; `int` and `float` stand for all whole numbers and numbers, without bool.
        expected: the same for people, like "a whole number".

    Raises:
        InputError: it is of another type.
    """
    if not is_of(value, kinds):
        raise InputError(f"{name}={quoted(value)} is {_kind(value)}; expected {expected}")


def is_of(value: object, kinds: tuple[type, ...]) -> bool:
    """Whether a value is of one of these types, as `check_type` understands them."""
    abstract = {int: numbers.Integral, float: numbers.Real}
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, tuple(abstract.get(kind, kind) for kind in kinds))


def _kind(value: object) -> str:
    return "nothing" if value is None else f"of type {type(value).__name__}"


def quoted(value: object, most: int = 60) -> str:
    """A value from a file or an argument as Python writes it, in one line and cut to `most` characters."""
    if (
        isinstance(value, int) and value.bit_length() > 4 * most
    ):  # Python refuses to write out very long numbers
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, str):
        value = value[: 2 * most]
    text = " ".join(repr(value).split())
    return text if len(text) <= most else f"{text[: most - 3]}..."


def reason(error: BaseException) -> str:
    """What a library says went wrong, in one line of at most 200 characters; its kind where it says nothing."""
    lines = without_url(str(error)).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def without_url(text: str) -> str:
    """A text of zarr, which calls a file `file://<path>` without escapes, with the path as users write it."""
    return text.replace("file://", "")
