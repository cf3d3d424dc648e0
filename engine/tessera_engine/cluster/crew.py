"""The workers of a run, as the process sees them that gives out the cells.

Dask carries the calls and watches the workers. Which worker gets a cell is decided here: one at a time each, because a
worker holds one model; and never a worker that was refused, or on whose machine something failed.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tessera_engine.cluster import worker as works
from tessera_engine.cluster.connecting import is_local
from tessera_engine.cluster.order import Sealed
from tessera_engine.cluster.worker import FAILED, METRIC, OF_MACHINE, READY, UNKNOWN, Answer
from tessera_engine.errors import TesseraError, reason
from tessera_engine.progress import Announce
from tessera_engine.scene import Window

LOOK_SECONDS, WAIT_SECONDS = 1.0, 0.2
"""Between two looks at the workers, and how long to wait for an answer at a time."""

FETCH_SECONDS = 5.0
"""How long an answer may take from a worker that has finished. Dask waits for ever where the worker ends meanwhile."""

GATHER_SECONDS = 60.0
"""How long the first worker that is ready waits for the others, before it is known whose results count."""

LEAST_SILENCE, FIRST_SILENCE, SILENCE = 120.0, 900.0, 20.0
"""A worker hangs if it has computed nothing for this many times the longest time between two reports of any worker, at
least the first number of seconds; for the second number before anything is known."""

DEATHS = 5
"""A cell is given up when so many workers ended while they computed it, and more than with all other cells together."""

STRIKES = 2
"""A worker gets no more cells after so many failed there that another worker finished."""

FIRST_ALONE_SECONDS, ALONE_SECONDS = 3.0, 30.0
"""Before the first line that says that no worker is there, and between two of them."""

START_SECONDS = 600.0
"""After that long without one, a cluster of processes on this machine is given up: nobody else will start them."""

RESTART_SECONDS = 60.0
"""How long the nanny of a worker that hangs may take to end it and to start another."""

GONE_SECONDS = 60.0
"""How long the scheduler may be silent."""

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


class Crew:
    """All workers of a Dask cluster that take part in a run."""

    def __init__(self, client: Any, sealed: Sealed, say: Announce) -> None:
        """Make it; no worker has been asked yet.

        Args:
            client: a `distributed.Client`.
            sealed: the run.
            say: called with a line about each worker that is refused, ends or hangs.
        """
        self.client, self.sealed, self.say = client, sealed, say
        self.hands: dict[str, Hand] = {}
        self.probe: str | None = None
        self._answers: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._looked = self._heard = 0.0
        self._alone = time.monotonic()
        self._said_alone = self._alone - ALONE_SECONDS + FIRST_ALONE_SECONDS
        self._longest: float | None = None
        self._deaths = 0
        self._restarted = 0.0
        self._present: set[str] = set()
        self._last_reason = ""

    @property
    def ready(self) -> list[Hand]:
        """Workers that can compute, or do."""
        return [hand for hand in self.hands.values() if hand.computed is not None and hand.state != ASIDE]

    def gather(self, preferred: str | None) -> None:
        """Wait for the workers that are there now, not long for the slowest, and choose whose results count.

        Args:
            preferred: the probe of what is finished; it counts if a worker has it, else that of most workers.

        Raises:
            TesseraError: every worker was refused.
        """
        first = 0.0
        while True:
            self._look()
            self._introduce()
            for hand, answer in self._received():
                self._introduced(hand, answer)
            for _ in self._lost(deque()):
                pass
            waiting = any(hand.state in (NEW, BUSY) for hand in self.hands.values())
            first = first or (time.monotonic() if self.ready else 0.0)
            if self.ready and (not waiting or time.monotonic() - first > GATHER_SECONDS):
                break
            self._check_some_left()
        found = Counter(hand.probe for hand in self.ready)
        self.probe = preferred if preferred in found else found.most_common(1)[0][0]
        for hand in self.ready:
            self._compare(hand)

    def work(self, tasks: Iterable[Task], report: Callable[[], None]) -> Iterator[tuple[Task, Answer]]:
        """Do all tasks, and give their answers as they come: what was done, or why not.

        Args:
            tasks: what to do, in this order.
            report: called now and then, to show progress.

        Raises:
            TesseraError: no worker is left that can do them, or the scheduler has gone.
        """
        todo = deque(tasks)
        while todo or any(hand.task is not None for hand in self.hands.values()):
            self._look()
            self._introduce()
            self._assign(todo)
            for hand, answer in self._received():
                if hand.task is None:
                    self._introduced(hand, answer)
                    continue
                task, hand.task = hand.task, None
                final = self._judged(hand, task, answer)
                if final is None:
                    todo.appendleft(task)
                else:
                    yield task, final
            yield from self._lost(todo)
            self._check_some_left()
            report()

    # What is known of the workers

    def _look(self) -> None:
        """Notice workers that came or went, and how far each is."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        try:
            there: Mapping[str, Any] = self.client.scheduler_info(n_workers=-1)["workers"]
        except Exception as error:  # Dask raises errors of many kinds when the scheduler doesn't answer
            self._not_heard(now, error)
            return
        if self.client.status != "running":
            self._not_heard(now, None)
            return
        self._heard = now
        for address in there.keys() - self.hands.keys():
            self.hands[address] = Hand(address)
        for address, hand in self.hands.items():
            metrics = there.get(address, {}).get("metrics", {}).get(METRIC)
            if metrics and metrics["token"] == self.sealed.token and hand.task is not None:
                self._moved(hand, metrics["pixels"], now)
        self._present = set(there)

    def _not_heard(self, now: float, error: Exception | None) -> None:
        self._heard = self._heard or now
        if now - self._heard > GONE_SECONDS or self.client.status in ("closed", "closing"):
            why = f" ({reason(error)})" if error is not None else ""
            raise TesseraError(
                f"the scheduler of the cluster has gone{why}; start it again and give the same command: what is "
                "finished is kept"
            )

    def _moved(self, hand: Hand, pixels: int, now: float) -> None:
        if pixels == hand.pixels:
            return
        if hand.pixels:
            self._longest = max(self._longest or 0.0, now - hand.moved)
        hand.pixels, hand.moved = pixels, now

    # Giving out work

    def _submit(self, hand: Hand, work: Callable[..., Answer], *given: Any) -> None:
        hand.state, hand.pixels, hand.begun = BUSY, 0, time.monotonic()
        hand.moved = hand.begun
        hand.future = self.client.submit(
            work, *given, workers=[hand.address], allow_other_workers=False, pure=False, retries=0
        )
        address, answers = hand.address, self._answers
        hand.future.add_done_callback(lambda future: answers.put((address, future)))

    def _introduce(self) -> None:
        for hand in self.hands.values():
            if hand.state == NEW:
                self._submit(hand, works.introduce, tuple(self.sealed))

    def _assign(self, todo: deque[Task]) -> None:
        idle = [hand for hand in self.hands.values() if hand.state == IDLE]
        for hand in idle:
            # A cell that failed somewhere is tried elsewhere, and here only if there is nobody else
            others = any(each is not hand for each in self.ready)
            fitting = next((task for task in todo if hand.address not in task.tried or not others), None)
            if fitting is None:
                continue
            todo.remove(fitting)
            hand.task = fitting
            self._submit(hand, fitting.work, self.sealed.token, tuple(fitting.cell), *fitting.given)

    # What comes back

    def _received(self) -> Iterator[tuple[Hand, Answer]]:
        wait = WAIT_SECONDS
        while True:
            try:
                address, future = self._answers.get(timeout=wait)
            except queue.Empty:
                return
            wait = 0.0
            hand = self.hands.get(address)
            if hand is None or hand.future is not future:
                continue  # given up before
            if future.status == "finished":
                try:
                    answer = future.result(timeout=FETCH_SECONDS)
                except Exception:  # the worker may have ended with it: then `_lost` takes its task back
                    self._answers.put((address, future))
                    time.sleep(WAIT_SECONDS)
                    return
                hand.future = None
                yield hand, answer
            elif future.status == "error":
                hand.future = None
                problem = f"{type(future.exception()).__name__}: {reason(future.exception())}"
                yield hand, {"kind": FAILED, "fault": OF_MACHINE, "reason": problem}
            # Cancelled or lost with its worker: see `_lost`

    def _introduced(self, hand: Hand, answer: Answer) -> None:
        hand.host = answer.get("host", "")
        if answer["kind"] != READY:
            self._set_aside(hand, f"is not used: {answer.get('reason', 'it gave no reason')}")
            return
        hand.state, hand.computed, hand.probe = IDLE, tuple(answer["computed"]), answer["probe"]
        if self.probe is not None:
            self._compare(hand)

    def _compare(self, hand: Hand) -> None:
        assert hand.computed is not None
        if hand.probe != self.probe:
            backend, version, instructions = hand.computed
            self._set_aside(
                hand,
                f"is not used: its {backend} {version} ({instructions}) gives other bits than the run's; set "
                "TESSERA_ENGINE_ISA to one instruction set on all machines, and install the same versions",
            )

    def _judged(self, hand: Hand, task: Task, answer: Answer) -> Answer | None:
        """The final answer of a task; None where it has to be done again."""
        if hand.state == BUSY:
            hand.state = IDLE
        if answer["kind"] == UNKNOWN:  # the process has begun again under the same address
            hand.state = NEW
            return None
        if answer["kind"] != FAILED:
            self._strike(task, hand)
            hand.done += answer.get("pixels", 0)
            hand.busy_seconds += answer.get("seconds", 0.0)
            return answer
        if answer["fault"] == OF_MACHINE:
            self._set_aside(hand, f"gets no more cells: {answer['reason']}")
            task.tried[hand.address] = answer["reason"]
            return None
        task.tried[hand.address] = answer["reason"]
        elsewhere = any(each.address not in task.tried for each in self.ready)
        return None if elsewhere and len(task.tried) < 2 else answer

    def _strike(self, task: Task, winner: Hand) -> None:
        """Count against the workers where a task failed that succeeded elsewhere."""
        for address, why in task.tried.items():
            hand = self.hands.get(address)
            if hand is None or hand is winner or hand.state == ASIDE:
                continue
            hand.strikes += 1
            if hand.strikes >= STRIKES:
                self._set_aside(
                    hand, f"gets no more cells: {hand.strikes} failed there and not elsewhere: {why}"
                )

    def _lost(self, todo: deque[Task]) -> Iterator[tuple[Task, Answer]]:
        """Take back the tasks of workers that ended or hang."""
        now = time.monotonic()
        for hand in list(self.hands.values()):
            gone = hand.address not in self._present
            silence = FIRST_SILENCE if hand.task is None else self._silence
            hung = hand.state == BUSY and now - hand.moved > silence and not gone
            if hand.future is not None and hand.future.status in ("cancelled", "lost"):
                gone = True
            if not gone and not hung:
                continue
            task, hand.task = hand.task, None
            self._drop(hand, hung, "; its cell is computed again" if task is not None else "")
            if task is None:
                continue
            task.deaths += 1
            self._deaths += 1
            if task.deaths >= DEATHS and 2 * task.deaths > self._deaths:
                ended = f"{task.deaths} workers ended or hung while they computed it; is there enough memory?"
                yield task, {"kind": FAILED, "fault": OF_MACHINE, "reason": ended}
            else:  # the others come first, so that workers that end for another reason don't all count against it
                todo.append(task)

    @property
    def _silence(self) -> float:
        return FIRST_SILENCE if self._longest is None else max(LEAST_SILENCE, SILENCE * self._longest)

    def _drop(self, hand: Hand, hung: bool, cost: str) -> None:
        future, hand.future = hand.future, None
        if future is not None:
            future.cancel(force=True, reason="the worker has ended or hangs")
        if not hung:
            del self.hands[hand.address]
            if hand.state != ASIDE:
                self.say(f"note: the worker {hand.name} has ended{cost}")
            return
        self._set_aside(hand, f"is ended: it has computed nothing for {self._silence:.0f} s")
        self._restarted = time.monotonic() + RESTART_SECONDS
        # By its nanny; it may take a while, and where there is none it fails
        ending = {"timeout": 30, "raise_for_error": False}
        threading.Thread(
            target=_quietly, args=(self.client.restart_workers, [hand.address]), kwargs=ending, daemon=True
        ).start()

    def _set_aside(self, hand: Hand, why: str) -> None:
        hand.state, hand.computed = ASIDE, None
        self.say(f"warning: the worker {hand.name} {why}")
        hand.future = None
        hand.task = None
        self._last_reason = why

    def _check_some_left(self) -> None:
        """Make sure that a worker can still come to work.

        Raises:
            TesseraError: all that are there were refused or failed.
        """
        now = time.monotonic()
        if any(hand.state != ASIDE for hand in self.hands.values()):
            self._alone = self._said_alone = now
        elif self.hands:
            if now - self._alone > 2 * LOOK_SECONDS and now > self._restarted:
                raise TesseraError(
                    f"no worker is left: the last one {self._last_reason}; when that is solved, give the same "
                    "command again: what is finished is kept"
                )
        elif now - self._alone > START_SECONDS and is_local(self.client):
            raise TesseraError(
                f"no worker process has started on this machine for {START_SECONDS:.0f} s; is there enough memory? "
                "Give the same command again: what is finished is kept"
            )
        elif now - self._said_alone > ALONE_SECONDS:
            self._said_alone = now
            self.say("note: the cluster has no workers; waiting for one")


def _quietly(work: Callable[..., Any], *given: Any, **more: Any) -> None:
    try:
        work(*given, **more)
    except Exception:  # the worker may have ended by itself, or have no nanny
        return
