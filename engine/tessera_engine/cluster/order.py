"""What a worker has to know of a run: sent to it once, and kept there until the process ends."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from tessera_engine.cluster.sharing import STAGING
from tessera_engine.errors import InputError
from tessera_engine.files.publish import MADE
from tessera_engine.formats.format import CellWriter, Planned
from tessera_engine.formats.registry import format_named
from tessera_engine.running.plan import Plan

TOKEN = "token"
"""In the folder of marks: the file that says which run this is."""


@dataclass(frozen=True)
class Order:
    """A run, as workers see it.

    Attributes:
        token: names the run; another one in the same folder has another token.
        folder: in which the cells lie, on a file system that all machines share under this path, see
            `tessera_engine.cluster.sharing`.
        plan: what the run does.
        backend: the name of what runs the model.
        device: see `tessera_engine.backends.choosing.DEVICES`.
        threads: of a worker; None: as many as Dask gave it.
        sizes: bytes of some of the scene's files, to see whether a worker sees the same ones.
    """

    token: str
    folder: Path
    plan: Plan
    backend: str
    device: str
    threads: int | None
    sizes: Mapping[Path, int]

    @property
    def staging(self) -> Path:
        """The folder of marks and pictures."""
        return self.folder / STAGING

    @property
    def made(self) -> Path:
        """The folder that becomes the output."""
        return self.folder / MADE

    def closed(self) -> Order:
        """The same run after `close_cells`."""
        return replace(self, folder=self.folder.parent)

    def check_current(self) -> None:
        """Make sure that the run still is the one in its folder.

        Raises:
            InputError: it has ended, has been restarted, or this machine doesn't see its folder.
        """
        try:
            current = (self.staging / TOKEN).read_text(encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"{self.folder} can't be read here ({error.strerror}); share it under the same path on all machines"
            ) from None
        if current != self.token:
            raise InputError(f"another run works in {self.folder} now")

    def writer(self) -> CellWriter:
        """What writes the cells."""
        return writer_of(self.plan, self.made)

    def sealed(self, engine: str) -> Sealed:
        """The same, to be sent: opened only by a worker of the same version."""
        return Sealed(self.token, engine, pickle.dumps(self))


class Sealed(NamedTuple):
    """An order on its way.

    Attributes:
        token: see `Order`.
        engine: the version of the engine that can open it.
        content: the order, pickled.
    """

    token: str
    engine: str
    content: bytes

    def opened(self) -> Order:
        """The order."""
        order = pickle.loads(self.content)  # from the user's own process, by Dask, which pickles everything
        assert isinstance(order, Order)
        return order


def writer_of(plan: Plan, folder: Path) -> CellWriter:
    """What writes the cells of a run into a folder, in a format that can be written in cells."""
    planned = Planned(plan.grid, plan.dim, plan.scene.name, plan.origin, plan.periods)
    make = format_named(plan.options.format).in_cells
    assert make is not None
    return make(planned, folder)
