"""JSON that others may have made: read within limits, and its values checked against declared types.

msgspec reads strictly: UTF-8 only, no NaN, no number that a float can't hold, no half characters, and
nothing after the end.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from tessera_engine.errors import quoted

Kind = TypeVar("Kind")

Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
Size = Annotated[int, msgspec.Meta(ge=1, lt=1 << 53)]
Year = Annotated[int, msgspec.Meta(ge=1, le=9999)]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


_QUOTING = r"^(Invalid enum value) '.*'(?= - at `|$)"
"""The one message in which msgspec quotes a text, whatever its length and characters."""


class Damaged(ValueError):
    """It isn't JSON, or not of the declared type. The message is the reason, in one line."""


def parse(content: bytes | str) -> Any:
    """The value of a JSON text.

    Raises:
        Damaged: it isn't one.
    """
    try:
        return msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Damaged(f"not JSON: {_reason(error)}") from None
    except RecursionError:
        raise Damaged("not JSON that can be read: it is nested too deeply") from None


def read(path: Path, most: int) -> Any:
    """The value of a JSON file.

    Args:
        path: of the file.
        most: bytes that it may have.

    Raises:
        Damaged: it isn't JSON, or it is larger.
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise Damaged(f"more than {most:,} bytes long")
    return parse(content)


def checked(value: Any, kind: type[Kind]) -> Kind:
    """A value of the declared type: a builtin, an annotated one such as `Count`, a list, a tuple, or a `TypedDict`.

    Raises:
        Damaged: it is another one.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise Damaged(_reason(error)) from None


def check_fields(values: dict[str, Any], kinds: dict[str, Any], optional: bool = False) -> None:
    """Make sure that values of an object have their declared types.

    Args:
        values: the object.
        kinds: name -> type; other values aren't looked at.
        optional: whether a value may be missing or null.

    Raises:
        Damaged: which one has another type.
    """
    for name, kind in kinds.items():
        value = values.get(name)
        if optional and value is None:
            continue
        try:
            checked(value, kind)
        except Damaged as error:
            raise Damaged(f"'{name}' is {quoted(value)}: {error}") from None


def _reason(error: Exception) -> str:
    """Msgspec's words, without what they quote of the text."""
    text = re.sub(_QUOTING, r"\1", str(error), flags=re.DOTALL).replace("`", "'")
    return text if text[:2].isupper() else text[:1].lower() + text[1:]
