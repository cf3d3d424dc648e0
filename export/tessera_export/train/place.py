"""Where a training works until its checkpoint is made.

`<out>.partial/` holds the lock, what the run is (`run.json`), the drawn pixels and the last state:

    nothing -> run.json -> pixels/ -> state.pt, again and again -> <out> -> nothing

A run may end anywhere in between, and the same command goes on.
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
from tessera_engine.files.durable import Lock, sync_file
from tessera_engine.running.resume import check_identity
from tessera_export.checkpoint import replacing


class Place:
    """The folder beside a checkpoint, in which one process at a time can work.

    Attributes:
        out: the checkpoint.
        folder: `<out>.partial`.
        run: the file that says what the run is.
        pixels: the folder of the drawn pixels.
        state: the file of the last state.
    """

    def __init__(self, out: Path) -> None:
        """Take hold of the folder, which is made if it isn't there.

        Raises:
            InputError: another run holds it, or the place can't be written.
        """
        self.out = out
        self.folder = out.with_name(f"{out.name}.partial")
        self.run, self.pixels, self.state = (self.folder / n for n in ("run.json", "pixels", "state.pt"))
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self.folder / "lock")
        except OSError as error:
            raise InputError(
                f"can't write to {out.parent}: {error.strerror}; choose another place with -o"
            ) from None

    def begin(self, identity: Mapping[str, str], overwrite: bool, restart: bool) -> dict[str, Any]:
        """What is known of an interrupted run of the same identity; nothing where there is none.

        Raises:
            InputError: the checkpoint is there already, or the interrupted run was another one.
            TesseraError: what it was can't be read.
        """
        if self.out.exists() and not overwrite:
            raise InputError(
                f"{self.out} exists already; give --overwrite to replace it, or another place with -o"
            )
        if self.run.exists() and not restart:
            try:
                known: dict[str, Any] = json.loads(self.run.read_text(encoding="utf-8"))
                was = dict(known["identity"])
            except (ValueError, KeyError, TypeError):
                raise TesseraError(f"{self.run} is damaged; give --restart to begin anew") from None
            check_identity(self.folder, was, identity)
            return known
        self._clear()
        self.write({"identity": dict(identity)})
        return {}

    def write(self, known: Mapping[str, Any]) -> None:
        """Write down what is known of the run."""
        with replacing(self.run) as temporary:
            temporary.write_text(json.dumps(known, indent=2), encoding="utf-8")

    def save(self, state: dict[str, Any]) -> None:
        """Put a state in the place of the one before."""
        with replacing(self.state) as temporary:
            with temporary.open("wb") as file:  # whose errors, of a full disk, are those of the system
                torch.save(state, file)
            sync_file(temporary)

    def _clear(self) -> None:
        self.run.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)
        if self.pixels.exists():
            shutil.rmtree(self.pixels)

    def close(self, keep: bool) -> None:
        """Let go of the folder; without `keep` nothing of it stays."""
        if not keep:
            self._clear()
        self._lock.release(remove=not keep)
        if not keep:
            with suppress(OSError):  # another run may have begun in it
                self.folder.rmdir()
