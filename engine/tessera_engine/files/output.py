"""The folder `<out>.partial` of an output: what it holds, and what may stand where the output will appear.

Its steps, for a run:

    nothing -> journal and staging -> output/ -> journal says "complete" -> output/ becomes <out> -> nothing

A process may end after any of these steps; the same command takes the next one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tessera_engine.errors import InputError
from tessera_engine.files import document
from tessera_engine.files.foreign import foreign
from tessera_engine.files.partial import Partial, finish_or_undo
from tessera_engine.files.publish import partial_folder, sync_made
from tessera_engine.files.record import Record, signature

ITEM = "item.json"

MOST_BYTES = 16 << 20
"""Of an item.json. One has about ten kilobytes; that of a product with a thousand files has less than a megabyte."""


class PartialOutput(Partial):
    """The folder beside an output, in which one process at a time can work.

    Attributes:
        staging: the folder for the staged arrays.
    """

    deepest = 120
    """The tree of geotessera has the longest names, with 86 characters."""

    def __init__(self, out: Path) -> None:
        """Take the folder, see `Partial`."""
        super().__init__(out)
        self.staging = self.folder / "staging"
        self._again: str | None = None

    def check_target(self, overwrite: bool, again: bool = False) -> None:
        """Make sure that the output may appear.

        Args:
            overwrite: replace an output there.
            again: what stands there was published by the command that is given again: it may be replaced, whatever
                it is.

        Raises:
            InputError: something stands there that mustn't be replaced; see `check_target`.
        """
        self._again = signature(self.out) if again else None
        if not again:
            check_target(self.out, overwrite)

    def sync_output(self) -> None:
        """Wait until the output that was made is on the disk."""
        sync_made(self.made)

    def take_name(self, replace: bool) -> None:
        """Let the output that was made appear under its name, see `Partial`."""
        if replace and (self._again is None or self._again != signature(self.out)):
            check_target(self.out, overwrite=True)
        super().take_name(replace)


def is_interrupted(out: Path) -> bool:
    """Whether a command left an unfinished run beside an output, or the record of having published it."""
    folder = partial_folder(Path(os.path.realpath(out)))
    return (folder / PartialOutput.journal_name).exists() or Record(folder).exists


def check_target(out: Path, overwrite: bool) -> None:
    """Make sure that an output may appear somewhere.

    Raises:
        InputError: something stands there and `overwrite` isn't given, it isn't an output of this engine, or it holds
            something that isn't of the output.
    """
    if not os.path.lexists(out):
        return
    item = _own_item(out)
    if item is None:
        raise InputError(f"{out} exists already and is not an output of tessera-engine; choose another out=")
    if not overwrite:
        raise InputError(f"{out} exists already; give overwrite=True to replace it, or choose another out=")
    strange = foreign(out, item, ITEM)
    if strange is not None:
        raise InputError(
            f"{out} holds {strange!r}, which is no file of that output and would be lost; move it elsewhere, or "
            "choose another out="
        )


def is_output(folder: Path) -> bool:
    """Whether the folder is an output of this engine, by its item.json.

    Everything that reads outputs asks this first, so an interrupted replacement of the folder is completed here.

    Raises:
        InputError: see `finish_or_undo`.
    """
    return _own_item(folder) is not None


def _own_item(folder: Path) -> dict[str, Any] | None:
    """The item of an output of this engine; None if the folder is none."""
    finish_or_undo(folder)
    try:
        item = read_json_item(folder)
    except (OSError, document.Damaged):
        return None
    return item if any(key.startswith("tessera:") for key in item["properties"]) else None


def read_json_item(folder: Path) -> dict[str, Any]:
    """The item.json of a folder: an object with an object `properties`. Nothing else is checked.

    Raises:
        Damaged: it isn't that.
        OSError: there is none, or it can't be read.
    """
    item = document.checked(document.read(folder / ITEM, MOST_BYTES), dict[str, Any])
    document.check_fields(item, {"properties": dict[str, Any]})
    return item
