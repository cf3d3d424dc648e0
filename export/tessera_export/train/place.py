"""The folder in which a training works until its checkpoint is complete.

`<out>.partial/` holds, besides what every such folder has (see `tessera_engine.files.partial`), the description of the
run (`run.json`), the drawn pixels and the last saved state:

    nothing -> run.json -> pixels/ -> state.pt, again and again -> <out> -> nothing

A run may end at any of these steps. The same command then resumes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tessera_engine.errors import TesseraError
from tessera_engine.files.endings import check_ending
from tessera_engine.files.partial import Partial
from tessera_engine.files.publish import rewritten
from tessera_engine.files.result import check_free, check_target_file
from tessera_engine.files.text import write_text
from tessera_engine.running.resume import check_identity
from tessera_export.checkpoint import save, write_checkpoint
from tessera_export.reference import Reference


def check_out(out: Path, overwrite: bool) -> None:
    """Make sure, before a scene is read, that a checkpoint may be written.

    Raises:
        InputError: the name is not that of a checkpoint, or something is there and `overwrite` isn't given.
    """
    check_ending("out", out, [".pt"], "a checkpoint")
    check_free(out, overwrite)


class Place(Partial):
    """The folder beside a checkpoint, in which one process at a time can work.

    Attributes:
        pixels: the folder of the drawn pixels.
        state: the file of the last saved state.
    """

    journal_name = "run.json"
    files = ("run.json.new", "state.pt", "state.pt.new")
    folders = ("pixels",)

    def __init__(self, out: Path) -> None:
        """Take the folder, see `Partial`."""
        super().__init__(out)
        self.pixels, self.state = self.folder / "pixels", self.folder / "state.pt"

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
        check_target_file(self.out, overwrite)
        if self.begun and not restart:
            try:
                known: dict[str, Any] = json.loads(self.journal.read_text(encoding="utf-8"))
                was = dict(known["identity"])
            except (ValueError, KeyError, TypeError):
                raise TesseraError(f"{self.journal} is damaged; give restart=True to start again") from None
            check_identity(self.folder, was, identity)
            return known
        self.clear()
        self.write({"identity": dict(identity)})
        return {}

    def write(self, known: Mapping[str, Any]) -> None:
        """Write the description of the run."""
        with rewritten(self.journal) as fresh:
            write_text(fresh, json.dumps(known, indent=2))

    def save(self, state: dict[str, Any]) -> None:
        """Replace the last saved state."""
        with rewritten(self.state) as fresh, fresh.open("wb") as file:
            save(file, state)

    def publish_checkpoint(
        self, network: Reference, overwrite: bool, identity: Mapping[str, str], figures: Mapping[str, Any]
    ) -> None:
        """Write the network, and let it appear as the checkpoint.

        Args:
            network: what was trained.
            overwrite: replace an existing checkpoint.
            identity: everything that the weights depend on, by name.
            figures: what is reported about the training, as JSON values.

        Raises:
            InputError: a file has appeared there meanwhile, and `overwrite` isn't given.
            OSError: it can't be written.
        """
        write_checkpoint(network, self.made)
        self.publish(overwrite, identity, figures)
