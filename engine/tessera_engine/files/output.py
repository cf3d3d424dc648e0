"""The output folder: it appears complete, by rename, or not at all; until then the work lies beside it.

`<out>.partial/` holds the lock, the journal, the staged arrays and, at the end, the output that is being made:

    nothing -> journal and staging -> output/ -> journal says "complete" -> output/ renamed to <out> -> nothing

A run may end after any of these steps, and the same command takes the next one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tessera_engine.errors import InputError
from tessera_engine.files.durable import Lock, sync_all, sync_folder

ITEM = "item.json"


class PartialOutput:
    """A run's folder beside its output, which no other process can write to at the same time.

    Attributes:
        out: where the output shall appear.
        folder: `<out>.partial`.
        journal: the file for `tessera_engine.running.journal.Journal`.
        staging: the folder for the staged arrays.
        made: the folder in which the output is made.
    """

    def __init__(self, out: Path) -> None:
        """Take hold of the folder, which is made if it isn't there.

        Raises:
            InputError: another run holds it, or the place can't be written.
        """
        self.out = out.absolute()
        self.folder = self.out.with_name(f"{self.out.name}.partial")
        self.journal = self.folder / "journal"
        self.staging = self.folder / "staging"
        self.made = self.folder / "output"
        self._replaced = self.folder / "replaced"
        try:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self.folder / "lock")
        except OSError as error:
            raise InputError(
                f"can't write to {self.out.parent}: {error.strerror}; choose another place with -o"
            ) from None

    @property
    def begun(self) -> bool:
        """Whether a run left its journal here."""
        return self.journal.exists()

    @property
    def published(self) -> bool:
        """Whether what was made has become the output already."""
        return self.out.exists() and not self.made.exists()

    def check_target(self, overwrite: bool) -> None:
        """Make sure that the output may appear.

        Raises:
            InputError: something stands there that isn't to be replaced; nothing but an output of this engine ever is.
        """
        if not self.out.exists():
            return
        if not overwrite:
            raise InputError(
                f"{self.out} exists already; give --overwrite to replace it, or another place with -o"
            )
        if not is_output(self.out):
            raise InputError(f"{self.out} is not an output of tessera-engine, so --overwrite leaves it alone")

    def clear(self) -> None:
        """Remove all that a run left here, but the lock."""
        # The journal goes first: it must not speak of what isn't there any more.
        self.journal.unlink(missing_ok=True)
        self._remove_but(self._lock.path)

    def _remove_but(self, *kept: Path) -> None:
        for entry in self.folder.iterdir():
            if entry in kept:
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def remove_made(self) -> None:
        """Remove an output that isn't complete."""
        if self.made.exists():
            shutil.rmtree(self.made)

    def make_output(self) -> Path:
        """An empty folder to make the output in."""
        self.remove_made()
        self.made.mkdir()
        return self.made

    def sync_output(self) -> None:
        """Wait until what was made is on the disk."""
        sync_all(self.made)
        sync_folder(self.folder)

    def publish(self) -> None:
        """Let what was made become the output, in the place of an earlier one."""
        if self.out.exists():
            if self._replaced.exists():
                shutil.rmtree(self._replaced)
            self.out.rename(self._replaced)
        self.made.rename(self.out)
        sync_folder(self.out.parent)

    def close(self, keep: bool) -> None:
        """Let go of the folder; without `keep` nothing of it stays."""
        if keep:
            self._lock.release(remove=False)
            return
        # The journal goes last: until then it says that the output is complete, and only this is left to do.
        self._remove_but(self._lock.path, self.journal)
        self.journal.unlink(missing_ok=True)
        self._lock.release(remove=True)
        with suppress(OSError):  # another run may have begun in it
            self.folder.rmdir()


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Keep other runs from writing an output in the meantime.

    Raises:
        InputError: another run is writing it, or an interrupted one is to be gone on with.
    """
    place = PartialOutput(out)
    begun = place.begun
    try:
        if begun:
            raise InputError(
                f"{place.folder} is of an unfinished run; give its command to go on with it first"
            )
        yield
    finally:
        place.close(keep=begun)


def is_output(folder: Path) -> bool:
    """Whether the folder is an output of this engine, by its item.json."""
    try:
        item = json.loads((folder / ITEM).read_text(encoding="utf-8"))
        return any(key.startswith("tessera:") for key in item["properties"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
