"""What is known of a worker, and what it is asked to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tessera_engine.cluster.worker import Answer
from tessera_engine.scene import Window

NEW, BUSY, IDLE, ASIDE = "new", "busy", "idle", "aside"
"""What a worker does; aside: it gets no more cells."""


@dataclass
class Task:
    """One call for a cell.

    Attributes:
        work: of `tessera_engine.cluster.worker`.
        cell: counted from the corner of the output.
        given: more arguments.
        tried: workers where it failed, with the reason.
        deaths: workers that ended while they did it.
    """

    work: Callable[..., Answer]
    cell: Window
    given: tuple[Any, ...] = ()
    tried: dict[str, str] = field(default_factory=dict)
    deaths: int = 0


@dataclass
class Hand:
    """A worker.

    Attributes:
        address: by which Dask knows it.
        state: one of `NEW`, `BUSY`, `IDLE`, `ASIDE`.
        host: its machine.
        computed: what it computes with.
        probe: see `tessera_engine.cluster.probe`.
        task: what it does; None: it is introduced, or does nothing.
        imports: whether it is importing what it needs to be introduced.
        future: of the call.
        pixels: that it has computed of its cell.
        begun: when the call was made.
        moved: when `pixels` last changed.
        strikes: cells that failed here and were finished elsewhere.
        done: pixels that it has finished.
        busy_seconds: how long it worked for them.
    """

    address: str
    state: str = NEW
    host: str = ""
    computed: tuple[str, str, str] | None = None
    probe: str = ""
    task: Task | None = None
    imports: bool = False
    future: Any = None
    pixels: int = 0
    begun: float = 0.0
    moved: float = 0.0
    strikes: int = 0
    done: int = 0
    busy_seconds: float = 0.0

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.address} on {self.host}" if self.host else self.address
