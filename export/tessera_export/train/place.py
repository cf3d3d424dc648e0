"""The folder in which a training works until its checkpoint is complete.

`<out>.partial/` holds the lock, the description of the run (`run.json`), the drawn pixels and the last saved state:

    nothing -> run.json -> pixels/ -> state.pt, again and again -> <out> -> nothing

A run may end at any of these steps. The same command then resumes it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files.durable import Lock
from tessera_engine.files.publish import new_file
from tessera_engine.running.resume import check_identity
from tessera_export.checkpoint import check_free


class Place:
    """The folder beside a checkpoint, in which one process at a time can work.

    Attributes:
        out: the checkpoint.
        folder: `<out>.partial`.
        run: the file that describes the run.
        pixels: the folder of the drawn pixels.
        state: the file of the last saved state.
    """

    def __init__(self, out: Path) -> None:
        """Lock the folder. If it doesn't exist, it is made.

        Raises:
            InputError: another run has locked it, or it can't be written.
        """
        self.out = out
        self.folder = out.with_name(f"{out.name}.partial")
        self.run, self.pixels, self.state = (self.folder / n for n in ("run.json", "pixels", "state.pt"))
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self.folder / "lock")
        except OSError as error:
            raise InputError(f"can't write to {out.parent}: {error.strerror}; choose another out=") from None

    def begin(self, identity: Mapping[str, str], overwrite: bool, restart: bool) -> dict[str, Any]:
        """Start a run, or resume an interrupted one.

        Args:
            identity: everything that the weights depend on, by name.
            overwrite: replace an existing checkpoint.
            restart: discard an interrupted run.

        Returns:
            What was last written about the interrupted run; empty for a new one.

        Raises:
            InputError: the checkpoint exists already, or the interrupted run has another identity.
            TesseraError: the description of the interrupted run can't be read.
        """
        check_free(self.out, overwrite)
        if self.run.exists() and not restart:
            try:
                known: dict[str, Any] = json.loads(self.run.read_text(encoding="utf-8"))
                was = dict(known["identity"])
            except (ValueError, KeyError, TypeError):
                raise TesseraError(f"{self.run} is damaged; give restart=True to start again") from None
            check_identity(self.folder, was, identity)
            return known
        self._clear()
        self.write({"identity": dict(identity)})
        return {}

    def write(self, known: Mapping[str, Any]) -> None:
        """Write the description of the run."""
        with new_file(self.run, replace=True) as made:
            made.write_text(json.dumps(known, indent=2), encoding="utf-8")

    def save(self, state: dict[str, Any]) -> None:
        """Replace the last saved state."""
        with new_file(self.state, replace=True) as made, made.open("wb") as file:
            torch.save(state, file)  # to an open file: errors, like that of a full disk, are the system's

    def _clear(self) -> None:
        self.run.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)
        if self.pixels.exists():
            shutil.rmtree(self.pixels)

    def close(self, keep: bool) -> None:
        """Release the folder. Without `keep` it is deleted."""
        if not keep:
            self._clear()
        self._lock.release(remove=not keep)
        if not keep:
            with suppress(OSError):  # another run may have started in it
                self.folder.rmdir()
