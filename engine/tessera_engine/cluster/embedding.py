"""`embed` on a cluster: cells are given to workers until all are finished, and one commit makes the output appear."""

from __future__ import annotations

import shutil
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tessera_engine.cluster import worker as works
from tessera_engine.cluster.cells import plan_cells, side_for
from tessera_engine.cluster.commit import complete, grid_of, total
from tessera_engine.cluster.connecting import dashboard, workers_there
from tessera_engine.cluster.crew import Crew
from tessera_engine.cluster.hands import Task
from tessera_engine.cluster.marks import Mark, mark_path, read_mark
from tessera_engine.cluster.options import Runs
from tessera_engine.cluster.order import TOKEN, Order, writer_of
from tessera_engine.cluster.reporting import Event, Reporter
from tessera_engine.cluster.sharing import CELLS, STAGING, close_cells, open_cells
from tessera_engine.cluster.worker import CHANGED, DAMAGED, DONE
from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files.checksums import file_sha256
from tessera_engine.files.document import Damaged
from tessera_engine.files.durable import FULL, sync_folder
from tessera_engine.files.output import PartialOutput
from tessera_engine.files.text import write_text
from tessera_engine.progress import Announce, Progress
from tessera_engine.running.changes import state_of_files
from tessera_engine.running.disk import check_room, needed_bytes
from tessera_engine.running.journal import Journal
from tessera_engine.running.plan import Plan
from tessera_engine.running.resume import begin
from tessera_engine.running.run import identity_of
from tessera_engine.scene import Window

ROUNDS = 5
"""How often cells that are damaged, or whose scene changes, are computed again."""

SEEN = 16
"""Files of the scene whose sizes a worker compares."""

LISTED = 20
"""Failed cells that the last message names."""


@dataclass(frozen=True)
class Done:
    """A finished run.

    Attributes:
        pixels: that were to be embedded.
        with_data: those that have an embedding.
    """

    pixels: int
    with_data: int


class CellsFailed(TesseraError):
    """Some cells couldn't be computed; the others are finished.

    Attributes:
        cells: col, row, width and height of each -> the reason.
    """

    def __init__(self, cells: Mapping[Window, str], of: int, folder: Path) -> None:
        listed = "; ".join(f"{tuple(cell)}: {why}" for cell, why in list(cells.items())[:LISTED])
        more = f"; and {len(cells) - LISTED} more" if len(cells) > LISTED else ""
        super().__init__(
            f"{len(cells)} of {of} cells (col, row, width, height) failed, the others are finished in {folder}: "
            f"{listed}{more}; when that is solved, give the same command again"
        )
        self.cells = dict(cells)


def embed_in_cells(
    plan: Plan,
    client: Any,
    runs: Runs,
    progress: Progress,
    announce: Announce,
    event: Event | None = None,
) -> Done:
    """Embed a scene on a Dask cluster, from where an earlier run of the same plan stopped.

    Args:
        plan: what to do, see `for_cells`; with what was found about the scene.
        client: a `distributed.Client`, not an asynchronous one.
        runs: what runs the model.
        progress: called with pixels done and in all.
        announce: called with a line about what is resumed, what is computed again, and each worker that has to go.
        event: see `tessera_engine.cluster.reporting.Event`.

    Raises:
        InputError: the interrupted run differs, or the output can't be replaced; nothing has been changed.
        CellsFailed: some cells couldn't be computed; the others are kept.
        TesseraError: the run failed; what is finished is kept.
    """
    files = list(plan.scene.reader.files())
    if any(not path.is_absolute() for path in files[:1]):
        raise InputError(
            f"the scene {plan.scene.path} was opened by a relative path, which means another place on other machines; "
            "open it by its full path"
        )
    place = PartialOutput(plan.out)
    keep, options = place.begun or place.published, plan.options
    try:
        state, fingerprint = state_of_files(plan.scene.reader), plan.scene.reader.fingerprint()
        published = identity_of(plan, runs.backend, fingerprint) | {"cells": "yes"}
        if place.published_by(published):
            figures = place.figures()
            done = Done(figures["pixels"], figures["with_data"])
        else:
            work = _Work(plan, client, runs, place, Reporter(progress, announce, event), announce)
            keep = True  # workers may write there from now on
            done = work.finish(f"{state} {fingerprint}", fingerprint)
            place.publish(options.overwrite, published, {"pixels": done.pixels, "with_data": done.with_data})
        keep = False
    except InputError:
        keep = place.begun  # refused before anything was changed, or something appeared at the output
        raise
    except OSError as error:
        what = f"{error.strerror or error} ({error.filename or place.folder})"
        room = "free some space and" if error.errno in FULL else "when that is solved,"
        raise TesseraError(f"{what}; {room} give the same command again: what is finished is kept") from error
    finally:
        place.close(keep)
    return done


class _Work:
    """A run that has begun."""

    def __init__(
        self, plan: Plan, client: Any, runs: Runs, place: PartialOutput, reporter: Reporter, say: Announce
    ) -> None:
        self.plan, self.client, self.runs, self.place = plan, client, runs, place
        self.reporter, self.say = reporter, say
        self.pixels: dict[Window, int] = {}

    def finish(self, state: str, fingerprint: str) -> Done:
        """Do everything that is left until the output is complete in its folder."""
        plan, place = self.plan, self.place
        side = self._side()
        planned = plan_cells(plan, side)
        cells = list(planned)
        if not cells:
            raise InputError(
                f"nothing of the scene lies in the window {tuple(plan.region)} (col, row, width, height)"
            )
        identity = identity_of(plan, self.runs.backend, "") | {"cells": str(side)}
        options = plan.options
        journal = begin(place, identity, 1, options.overwrite, options.restart, self.say, look=lambda _: None)
        if journal.item_sha256:  # it only has to get its name
            totals = total(place.folder, cells)
            return Done(totals.pixels, totals.with_data[max(1, len(plan.periods)) - 1])
        open_cells(place.folder)
        self.order = self._order(cells)
        self.crew = Crew(self.client, self.order.sealed(_version()), self.say)
        left = self._left(planned, state, journal)
        self._compute(cells, left, journal)
        self.reporter.committing()
        item, totals = complete(self.order, cells, side, fingerprint)
        place.sync_output()
        journal.add_complete(file_sha256(item))
        return Done(totals.pixels, totals.with_data[max(1, len(plan.periods)) - 1])

    def _side(self) -> int:
        """Pixels across a cell: as an interrupted run has them, else as suits the workers."""
        plan, place = self.plan, self.place
        if place.begun and not plan.options.restart:
            with suppress(TesseraError):
                was = Journal.open(place.journal).identity.get("cells", "")
                if was.isdigit() and int(was) > 0:
                    return int(was)
        smallest = writer_of(plan, place.made).side
        return side_for(plan, smallest, len(workers_there(self.client) or ()))

    def _order(self, cells: Sequence[Window]) -> Order:
        """The run for its workers; the store without values is made if it isn't there."""
        plan, place, options = self.plan, self.place, self.plan.options
        cells_folder = place.folder / CELLS
        token_file = cells_folder / STAGING / TOKEN
        token = token_file.read_text(encoding="utf-8") if token_file.exists() else ""
        files = list(plan.scene.reader.files())
        seen = files[:: max(1, len(files) // SEEN)]
        order = Order(
            token or uuid.uuid4().hex,
            cells_folder,
            plan,
            self.runs.backend,
            self.runs.device,
            self.runs.threads,
            {path: path.stat().st_size for path in seen},
        )
        colours = options.truecolour or options.quicklook == "rgb"
        layout = (plan.dim, plan.stored_as, options.format, colours, options.truecolour)
        needed = needed_bytes(grid_of(cells), *layout, whole=False)
        check_room(place.folder, needed * max(1, len(plan.periods)))
        if not token:
            if order.made.exists():  # of a process that ended just here
                shutil.rmtree(order.made)
            order.made.mkdir()
            order.writer().begin()
            fresh = token_file.with_name(f"{TOKEN}.new")
            write_text(fresh, order.token)
            fresh.replace(token_file)
            sync_folder(order.staging)
        return order

    def _left(self, cells: Mapping[Window, int], state: str, journal: Journal) -> list[Window]:
        """The cells that aren't finished, by their marks."""
        order = self.order
        marked: dict[Window, Mark] = {}
        for cell in cells:
            try:
                mark = read_mark(order.staging, cell)
            except Damaged as error:
                self._again(cell, f"its mark is damaged: {error}")
                continue
            if mark is not None and mark.token == order.token:
                marked[cell] = replace(mark, files={})
        self.crew.gather(
            Counter(mark.probe for mark in marked.values()).most_common(1)[0][0] if marked else None
        )
        others = [cell for cell, mark in marked.items() if mark.probe != self.crew.probe]
        for cell in others:
            computed = marked.pop(cell).computed
            self._again(cell, f"{computed.backend} ({computed.instruction_set}) computed it with other bits")
        self.pixels = {cell: mark.pixels for cell, mark in marked.items()}
        every = sum(self.pixels.get(cell, pixels) for cell, pixels in cells.items())
        if marked:
            pixels = sum(self.pixels.values())
            self.say(
                f"resuming an interrupted run: {len(marked):,} of {len(cells):,} cells are finished, {pixels:,} px"
            )
        facts = {"dashboard": dashboard(self.client), "workers": len(self.crew.ready)}
        self.reporter.start(len(cells), every, len(marked), sum(self.pixels.values()), facts)
        if marked and (state != journal.files or self.plan.options.check):
            if state != journal.files:
                self.say("the scene's files have changed: reading what is finished again, to see where")
            self._check(list(marked), reread=True)
        if state != journal.files:
            journal.files = state
            journal.save()
        return [cell for cell in cells if cell not in self.pixels]

    def _compute(self, cells: Sequence[Window], left: Sequence[Window], journal: Journal) -> None:
        """Compute cells until all are finished and as they were written."""
        reader, folder, in_work = self.plan.scene.reader, self.place.folder, self.order
        unchecked = list(cells)
        for _ in range(ROUNDS):
            open_cells(folder)
            self.order = in_work
            self._embed(left, len(cells))
            close_cells(folder)
            self.order = in_work.closed()
            state = f"{state_of_files(reader)} {reader.fingerprint()}"
            changed = state != journal.files
            if changed:
                self.say("the scene's files have changed meanwhile: reading all cells again, to see where")
                journal.files = state
                journal.save()
            self._check(cells if changed else unchecked, changed)
            left = unchecked = [cell for cell in cells if cell not in self.pixels]
            if not left:
                return
        raise TesseraError(
            f"cells are damaged again and again, or the scene changes all the time: {tuple(left[0])} (col, row, width, "
            "height) is the first; check the disk and give the same command again"
        )

    def _embed(self, cells: Sequence[Window], of: int) -> None:
        failed: dict[Window, str] = {}
        tasks = [Task(works.embed_cell, cell) for cell in cells]
        for task, answer in self.crew.work(tasks, lambda: self.reporter.tick(self.crew)):
            if answer["kind"] == DONE:
                self.pixels[task.cell] = answer["pixels"]
                self.reporter.finished(task.cell, answer["pixels"], answer["seconds"])
            else:
                failed[task.cell] = answer["reason"]
                self.reporter.failed(task.cell, answer["reason"])
        if failed:
            raise CellsFailed(failed, of, self.place.folder)

    def _check(self, cells: Sequence[Window], reread: bool) -> None:
        """Compare finished cells with their marks; those that differ are no longer finished."""
        closed = self.order.folder == self.place.folder
        tasks = [Task(works.check_cell, cell, (closed, reread)) for cell in cells]
        for task, answer in self.crew.work(tasks, lambda: None):
            if answer["kind"] in (DAMAGED, CHANGED):
                pixels = self.pixels.pop(task.cell, 0)
                self.reporter.again(task.cell, pixels, answer["reason"])
                self._again(task.cell, answer["reason"])
            elif answer["kind"] != DONE:
                raise TesseraError(
                    f"the cell {tuple(task.cell)} (col, row, width, height) can't be checked: {answer['reason']}; "
                    "when that is solved, give the same command again"
                )

    def _again(self, cell: Window, why: str) -> None:
        self.say(f"warning: the cell {tuple(cell)} (col, row, width, height) is computed again: {why}")
        # The mark goes first: without it, the cell counts as unfinished whatever happens
        mark_path(self.order.staging, cell).unlink(missing_ok=True)


def _version() -> str:
    from tessera_engine.version import __version__

    return __version__
