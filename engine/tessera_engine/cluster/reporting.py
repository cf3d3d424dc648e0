"""What a run on a cluster says while it goes on: cells, pixels a second, time left, and the same of each worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from tessera_engine.cluster.crew import Crew
from tessera_engine.cluster.hands import Hand
from tessera_engine.progress import LINE_SECONDS, Announce, Progress
from tessera_engine.scene import Window

Event = Callable[[Mapping[str, Any]], None]
"""Called with what happened: `event` says what, the other values are JSON."""

EVENT_SECONDS = 5.0
"""Between two events of progress."""


class Reporter:
    """Counts what is done.

    Attributes:
        cells: in all.
        pixels: in all.
        cells_done: finished, also before this process.
        pixels_done: of these cells.
    """

    def __init__(self, progress: Progress, say: Announce, event: Event | None) -> None:
        self._progress, self._say, self._event = progress, say, event
        self.cells = self.pixels = self.cells_done = self.pixels_done = 0
        self._begun = self._line = self._sent = time.monotonic()
        self._before = 0

    def start(
        self, cells: int, pixels: int, cells_done: int, pixels_done: int, facts: Mapping[str, Any]
    ) -> None:
        """Say what there is to do.

        Args:
            cells: in all.
            pixels: in all.
            cells_done: finished before.
            pixels_done: of these.
            facts: more to say in the event.
        """
        self.cells, self.pixels, self.cells_done, self.pixels_done = cells, pixels, cells_done, pixels_done
        self._before, self._begun = pixels_done, time.monotonic()
        self._send(
            "start", cells=cells, cells_done=cells_done, pixels=pixels, pixels_done=pixels_done, **facts
        )
        self._progress(pixels_done, pixels)

    def finished(self, cell: Window, pixels: int, seconds: float) -> None:
        """A cell is finished; `seconds` that it took."""
        self.cells_done += 1
        self.pixels_done += pixels
        self._send("cell", cell=list(cell), pixels=pixels, seconds=round(seconds, 3))

    def again(self, cell: Window, pixels: int, why: str) -> None:
        """A finished cell has to be computed again."""
        self.cells_done -= 1
        self.pixels_done -= pixels
        self._send("again", cell=list(cell), reason=why)

    def failed(self, cell: Window, why: str) -> None:
        """A cell can't be computed."""
        self._say(f"error: the cell {tuple(cell)} (col, row, width, height): {why}")
        self._send("failed", cell=list(cell), reason=why)

    def tick(self, crew: Crew) -> None:
        """Show how far it is; called often."""
        now = time.monotonic()
        working = [hand for hand in crew.hands.values() if hand.task is not None]
        done = min(self.pixels, self.pixels_done + sum(hand.pixels for hand in working))
        self._progress(done, self.pixels)
        speed = max(0, done - self._before) / max(now - self._begun, 1e-3)
        left = (self.pixels - done) / speed if speed else None
        if now - self._sent >= EVENT_SECONDS:
            self._sent = now
            self._send(
                "progress",
                cells=self.cells,
                cells_done=self.cells_done,
                pixels=self.pixels,
                pixels_done=done,
                pixels_per_second=round(speed),
                seconds_left=None if left is None else round(left),
                workers=[
                    {"worker": h.address, "host": h.host, "pixels_per_second": _speed(h)} for h in crew.ready
                ],
            )
        if now - self._line >= LINE_SECONDS:
            self._line = now
            after = "" if left is None else f", {timedelta(seconds=round(left))} left"
            each = "; ".join(f"{hand.name} {_speed(hand):,} px/s" for hand in crew.ready)
            self._say(
                f"note: {self.cells_done:,} of {self.cells:,} cells, {speed:,.0f} px/s{after}; {each or 'no worker'}"
            )

    def committing(self) -> None:
        """All cells are finished and checked."""
        self._progress(self.pixels, self.pixels)
        self._send("commit", cells=self.cells, pixels=self.pixels)

    def _send(self, event: str, **values: Any) -> None:
        if self._event is not None:
            self._event({"event": event, **values})


def _speed(hand: Hand) -> int:
    """Pixels a second of a worker, over its finished cells and the one that it computes."""
    working = time.monotonic() - hand.begun if hand.task is not None else 0.0
    seconds = hand.busy_seconds + working
    return round((hand.done + hand.pixels) / seconds) if seconds > 0 else 0
