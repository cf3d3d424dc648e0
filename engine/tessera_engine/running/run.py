"""A run, from its plan to the published output: started or resumed, computed, written, published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tessera_engine.backends.base import Backend
from tessera_engine.errors import TesseraError
from tessera_engine.files.checksums import file_sha256
from tessera_engine.files.durable import FULL
from tessera_engine.files.output import ITEM, PartialOutput
from tessera_engine.files.staging import Staging, count_with_data
from tessera_engine.formats.appending import open_store
from tessera_engine.formats.grown import Store
from tessera_engine.formats.layers import QUALITY_BANDS, count_few_clear
from tessera_engine.formats.registry import format_named
from tessera_engine.formats.writing import stored_form, write
from tessera_engine.machine import give_back_memory
from tessera_engine.pictures.caption import caption_of_run
from tessera_engine.pictures.quicklook import write_quicklook
from tessera_engine.pictures.true_colour import staged, write_true_colours
from tessera_engine.progress import Announce, Progress
from tessera_engine.running import pipeline
from tessera_engine.running.changes import (
    check_finished,
    find_change,
    finished_blocks,
    look_for_change,
    state_of_files,
)
from tessera_engine.running.disk import check_room, needed_bytes
from tessera_engine.running.journal import Journal
from tessera_engine.running.plan import Plan
from tessera_engine.running.quality import time_of
from tessera_engine.running.resume import begin, check_staged
from tessera_engine.running.windows import pixels_in
from tessera_engine.scene import Grid
from tessera_engine.scenes.period import Period
from tessera_engine.stac.periods import period_facts
from tessera_engine.stac.writing import RunFacts, write_item


def run(plan: Plan, backend: Backend, progress: Progress | None, announce: Announce) -> pipeline.Statistics:
    """Carry out a plan, from where an interrupted run of the same plan stopped.

    Args:
        plan: what to do.
        backend: the plan's model, loaded.
        progress: called with pixels done and in all.
        announce: called with what is resumed, and what is damaged in it.

    Raises:
        InputError: the interrupted run differs, or the output can't be replaced; nothing has been changed.
        TesseraError: the run failed; what is finished is kept.
    """
    place = PartialOutput(plan.out)
    keep, options = place.begun or place.published, plan.options
    replace = options.overwrite or options.append
    try:
        # The state of the files first: what changes after this is noticed
        files = state_of_files(plan.scene.reader)
        fingerprint = plan.scene.reader.fingerprint()
        identity = identity_of(plan, backend.description, fingerprint)
        if place.published_by(identity):
            figures = place.figures()
            statistics = pipeline.Statistics(figures["pixels"], figures["with_data"])
        else:
            reader = plan.scene.reader
            look = partial(look_for_change, reader=reader, region=plan.region, selected=plan.selected)
            journal = begin(place, identity, plan.window_pixels, replace, options.restart, announce, look)
            try:
                if journal.item_sha256:
                    statistics = _statistics(journal, plan)
                else:
                    work = _Work(plan, backend, place, journal, files, fingerprint)
                    statistics = work.finish(progress, announce)
                figures = {"pixels": statistics.pixels, "with_data": statistics.with_data}
                place.publish(replace, identity, figures)
            except BaseException:
                keep = keep or bool(journal.finished)
                raise
        keep = False
    except OSError as error:
        raise TesseraError(_stopped(error, place)) from error
    finally:
        place.close(keep)
    return statistics


@dataclass(frozen=True)
class _Work:
    """A run that has begun."""

    plan: Plan
    backend: Backend
    place: PartialOutput
    journal: Journal
    files: str
    fingerprint: str

    def finish(self, progress: Progress | None, announce: Announce) -> pipeline.Statistics:
        """Do everything that is left until the output is complete in its folder."""
        plan, options, place = self.plan, self.plan.options, self.place
        store = None
        if options.append:
            precision = plan.model.facts.precision
            store = open_store(
                plan.out, options.format, plan.grid, plan.dim, precision, self.fingerprint, plan.origin
            )
        place.remove_made()
        colours = options.truecolour or options.quicklook == "rgb"
        needed = needed_bytes(
            plan.grid,
            plan.dim,
            plan.stored_as,
            options.format,
            colours,
            options.truecolour,
            max(1, len(plan.periods)),
        )
        check_room(place.folder, needed)
        parts, selected = stage(plan, place.staging, plan.grid, colours), plan.selected
        check_staged(self.journal, [part.sink for part in parts], plan.region, announce, selected)
        reader = plan.scene.reader
        check_finished(self.journal, reader, plan.region, self.files, options.check, announce, selected)
        statistics = pipeline.run(reader, self.backend, parts, plan.region, self.journal, progress, selected)
        self._check_unchanged()
        give_back_memory()
        with statistics.stage("output"):
            item = self._write(parts, store, statistics.with_data)
        self.journal.add_complete(file_sha256(item))
        return statistics

    def _check_unchanged(self) -> None:
        """Make sure that all windows were read from the same scene.

        Raises:
            TesseraError: it changed since the run began.
        """
        scene = self.plan.scene
        change = "" if scene.reader.fingerprint() == self.fingerprint else "its fingerprint is another one"
        if not change and state_of_files(scene.reader) != self.files:
            blocks = finished_blocks(self.journal, scene.reader, self.plan.region, self.plan.selected)
            change = find_change(self.journal, scene.reader, blocks) or ""
        if change:
            raise TesseraError(
                f"{scene.path} changed while it was embedded: {change}; give restart=True to embed it as it is now"
            )

    def _write(self, parts: Sequence[pipeline.Part[Staging]], store: Store | None, with_data: int) -> Path:
        """Make the output; gives its item.json."""
        plan, options, folder = self.plan, self.plan.options, self.place.make_output()
        staging = parts[-1].sink
        periods = [(part.period, part.sink) for part in parts if part.period is not None]
        facts = replace(
            run_facts(plan, Computed.by(self.backend), self.fingerprint, with_data),
            few_clear=None if options.min_clear is None else count_few_clear(staging),
            periods=[_period_facts(period, each, options.min_clear) for period, each in periods],
        )
        picture = write_quicklook(staging, folder / "quicklook.png", caption_of_run(facts), options.quicklook)
        give_back_memory()
        name, year = plan.scene.name, plan.origin.year
        colours = staged(staging) if options.truecolour else None
        # First: some formats load libraries, whose memory the pictures would come on top of
        pictures = write_true_colours(folder, colours, options.format, name, year, store)
        give_back_memory()
        files = write(options.format, staging, folder, name, plan.origin, store, periods)
        assets = [*files, picture, *pictures]
        item = folder / ITEM
        write_item(item, plan.grid, assets, facts)
        if store is not None and year is not None:
            store.write_item(item, year, staging)
        self.place.sync_output()
        return item


def stage(plan: Plan, folder: Path, grid: Grid, colours: bool) -> list[pipeline.Part[Staging]]:
    """The staged arrays: one for each period; only the picture of the last one is drawn.

    Args:
        plan: what the run does.
        folder: where their files lie; those that a run left there are used again.
        grid: their pixels: the output's, or a part of it.
        colours: whether true colours are staged.
    """
    few = plan.options.min_clear
    layout, quality = (folder, grid, plan.dim, plan.stored_as), len(QUALITY_BANDS)
    if not plan.periods:
        time = time_of(plan.scene.reader)
        return [pipeline.Part(Staging.mend(*layout, colours, quality), None, time, few)]
    return [
        pipeline.Part(
            Staging.mend(*layout, colours and period == plan.periods[-1], quality, f"{period[1]}."),
            period,
            period,
            few,
        )
        for period in plan.periods
    ]


def _period_facts(period: Period, staging: Staging, min_clear: int | None) -> dict[str, Any]:
    few = {} if min_clear is None else {"pixels_few_clear": count_few_clear(staging)}
    return period_facts(period, count_with_data(staging), **few)


def _statistics(journal: Journal, plan: Plan) -> pipeline.Statistics:
    """Of a run whose output is complete and only has to get its name."""
    return pipeline.Statistics(
        sum(pixels_in(window, plan.selected) for window in journal.finished),
        sum(finished.with_data for finished in journal.finished.values()),
    )


def _stopped(error: OSError, place: PartialOutput) -> str:
    what = f"{error.strerror or error} ({error.filename or place.folder})"
    if error.errno in FULL:
        return f"{what}; free some space and give the same command again: what is finished is kept"
    return f"{what}; when that is solved, give the same command again: what is finished is kept"


def identity_of(plan: Plan, backend: str, fingerprint: str) -> dict[str, str]:
    """Everything that the output's values depend on, in words for people.

    The sha256s are cut short: they only have to show that something differs.

    Args:
        plan: what the run does.
        backend: what runs the model, in words.
        fingerprint: of the scene.
    """
    from tessera_engine.version import __version__

    model, grid, options = plan.model, plan.scene.grid, plan.options
    bounds = plan.scene.reader.bounds
    return {
        "engine": __version__,
        "model": f"{model.label} {model.sha256[:16]}",
        "backend": backend,
        "scene": f"{plan.scene.name} {fingerprint[:16]}",
        "grid": f"{grid.width} x {grid.height} {grid.crs} {tuple(grid.transform)[:6]}",
        "window": " ".join(map(str, plan.region)),
        "dim": str(plan.dim),
        "stored_as": plan.stored_as,
        "format": options.format,
        "quicklook": options.quicklook,
        "truecolour": "yes" if options.truecolour else "no",
        **({"append": "yes"} if options.append else {}),
        **({plan.selection.asked.kind: plan.selection.in_words()} if plan.selection else {}),
        **({"time": f"{bounds[0]} to {bounds[1]}"} if bounds is not None else {}),
        **({"every": options.every} if options.every is not None else {}),
        **({"min_clear": str(options.min_clear)} if options.min_clear is not None else {}),
    }


class Computed(NamedTuple):
    """What computed the embeddings.

    Attributes:
        backend: its name.
        version: of the library behind it.
        instruction_set: see `tessera_engine.backends.base.Backend.computes_on`.
    """

    backend: str
    version: str
    instruction_set: str

    @classmethod
    def by(cls, backend: Backend) -> Computed:
        """A loaded backend."""
        return cls(backend.name, backend.version, backend.computes_on)


def run_facts(plan: Plan, computed: Computed, fingerprint: str, with_data: int) -> RunFacts:
    """What the output's item records about a run, without its periods and the pixels with few clear dates.

    Args:
        plan: what the run did.
        computed: what computed the embeddings.
        fingerprint: of the scene.
        with_data: pixels that have an embedding.
    """
    from tessera_engine.version import __version__

    reader, facts = plan.scene.reader, plan.model.facts
    return RunFacts(
        scene_name=plan.scene.name,
        scene_layout=reader.layout,
        scene_fingerprint=fingerprint,
        dates=reader.dates,
        findings=plan.findings,
        model_name=facts.name,
        model_sha256=plan.model.sha256,
        generation=facts.generation,
        precision=facts.precision,
        stored_as=stored_form(plan.options.format, plan.stored_as),
        dim=plan.dim,
        backend=computed.backend,
        backend_version=computed.version,
        instruction_set=computed.instruction_set,
        engine_version=__version__,
        pixels_with_data=with_data,
        period=reader.period,
        bounds=reader.bounds,
        every=plan.options.every or "",
        min_clear=plan.options.min_clear,
        selection=None if plan.selection is None else plan.selection.facts(),
        lossy=format_named(plan.options.format).lossy,
    )
