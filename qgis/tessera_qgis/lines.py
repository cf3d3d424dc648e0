"""What the program says while it works, line by line. Knows nothing of QGIS."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NamedTuple

ERROR, WARNING, NOTE = "error", "warning", "note"

_PREFIXES = (("error: ", ERROR), ("Error: ", ERROR), ("warning: ", WARNING))


_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z0-9-]*)")


class Progress(NamedTuple):
    """How far the work is, in percent."""

    percent: float


class Message(NamedTuple):
    """A line for people: an `ERROR`, a `WARNING` or a `NOTE`."""

    kind: str
    text: str


def read_line(line: str) -> Progress | Message | None:
    """What a line on stderr says; None: nothing to show."""
    text = line.strip()
    if not text:
        return None
    if text.startswith("{"):
        return _event(text)
    for prefix, kind in _PREFIXES:
        if text.startswith(prefix):
            return Message(kind, text[len(prefix) :])
    return Message(NOTE, text)


def _event(text: str) -> Progress | Message | None:
    try:
        event = json.loads(text)
        if event.get("event") != "progress":
            return None
        done, total = float(event["done"]), float(event["total"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return Message(NOTE, text)
    return Progress(min(100.0, max(0.0, 100 * done / total)) if total > 0 else 100.0)


def in_dialog(text: str, titles: Mapping[str, str]) -> str:
    """A line with the titles of a dialog in the place of options: "'Replace an earlier result'" for `--overwrite`.

    Args:
        text: what the program said.
        titles: of the parameters, by their names in QGIS, which are those of the options in capitals.
    """

    def replace(option: re.Match[str]) -> str:
        title = titles.get(option[1].upper().replace("-", "_"))
        return option[0] if title is None else f"'{title.partition(':')[0]}'"

    return _OPTION.sub(replace, text)


def failure(code: int, messages: list[Message]) -> str:
    """Why a program failed, in one line.

    Args:
        code: how it ended; below 0 a signal ended it.
        messages: all that it said, in order.
    """
    errors = [each.text for each in messages if each.kind == ERROR]
    if errors:
        return errors[-1]
    if code < 0:
        return f"tessera-engine was ended by signal {-code}; if the memory was full, set a smaller limit"
    said = f": {messages[-1].text}" if messages else ""
    return f"tessera-engine ended with exit code {code}{said}"
