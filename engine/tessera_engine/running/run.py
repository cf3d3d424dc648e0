"""A run, from its plan to the finished output: begun or gone on with, computed, made, published."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tessera_engine.backends.base import Backend
from tessera_engine.errors import TesseraError
from tessera_engine.files.durable import FULL
from tessera_engine.files.output import ITEM, PartialOutput
from tessera_engine.files.staging import Staging
from tessera_engine.finding import Finding
from tessera_engine.formats.appending import open_store
from tessera_engine.formats.origin import Origin
from tessera_engine.formats.writing import write
from tessera_engine.pictures.caption import caption_of_run
from tessera_engine.pictures.quicklook import write_quicklook
from tessera_engine.progress import Announce, Progress
from tessera_engine.running import pipeline
from tessera_engine.running.disk import check_room, needed_bytes
from tessera_engine.running.journal import Journal
from tessera_engine.running.resume import begin, check_staged
from tessera_engine.scene import Grid, Scene, Window
from tessera_engine.stac.writing import RunFacts, write_item


@dataclass(frozen=True)
class Plan:
    """What a run does; every part of it is checked.

    Attributes:
        scene: what is embedded.
        backend: the loaded model.
        region: the part of the scene.
        dim: length of the embedding, one of the model's prefixes.
        stored_as: `int8` or `float32`.
        format: one of `tessera_engine.formats.writing.FORMATS`.
        window_pixels: size of windows.
        out: where the output shall appear.
        findings: what was worth saying about the scene.
        origin: what the format wants to say of where the embeddings are from.
        quicklook: one of `tessera_engine.pictures.quicklook.QUICKLOOKS`.
        append: add to the store that stands at `out`.
    """

    scene: Scene
    backend: Backend
    region: Window
    dim: int
    stored_as: str
    format: str
    window_pixels: int
    out: Path
    findings: tuple[Finding, ...]
    origin: Origin
    quicklook: str
    append: bool = False

    @property
    def grid(self) -> Grid:
        """The output's grid."""
        return self.scene.grid.crop(self.region)


def run(
    plan: Plan, overwrite: bool, restart: bool, progress: Progress | None, tell: Announce
) -> pipeline.Statistics:
    """Carry a plan out, from where an interrupted run of the same plan got to.

    Raises:
        InputError: the interrupted run was another one, or the output can't be replaced; nothing has been changed.
        TesseraError: the run failed; what is finished is kept.
    """
    place = PartialOutput(plan.out)
    keep = place.begun
    try:
        fingerprint = plan.scene.reader.fingerprint()
        journal = begin(
            place, _identity(plan, fingerprint), plan.window_pixels, overwrite or plan.append, restart, tell
        )
        try:
            if journal.complete:
                statistics = _statistics(journal)
            else:
                statistics = _work(plan, place, journal, fingerprint, progress, tell)
            if not place.published:
                place.publish()
        except BaseException:
            keep = keep or bool(journal.finished)
            raise
        keep = False
    except OSError as error:
        raise TesseraError(_stopped(error, place)) from error
    finally:
        place.close(keep)
    return statistics


def _work(
    plan: Plan,
    place: PartialOutput,
    journal: Journal,
    fingerprint: str,
    progress: Progress | None,
    tell: Announce,
) -> pipeline.Statistics:
    """All that is left to do until the output is complete in its folder."""
    store = None
    if plan.append:
        precision = plan.backend.model.facts.precision
        store = open_store(plan.out, plan.format, plan.grid, plan.dim, precision, fingerprint, plan.origin)
    place.remove_made()
    colours = plan.quicklook == "rgb"
    check_room(place.folder, needed_bytes(plan.grid, plan.dim, plan.stored_as, plan.format, colours))
    staging = Staging.mend(place.staging, plan.grid, plan.dim, plan.stored_as, colours)
    check_staged(journal, staging, plan.region, tell)
    statistics = pipeline.run(plan.scene.reader, plan.backend, staging, plan.region, journal, progress)
    if plan.scene.reader.fingerprint() != fingerprint:
        raise TesseraError(
            f"{plan.scene.path} has changed while it was embedded; give --restart to embed it as it is now"
        )
    with statistics.stage("output"):
        folder = place.make_output()
        facts = _run_facts(plan, fingerprint, statistics.with_data)
        quicklook = write_quicklook(staging, folder / "quicklook.png", caption_of_run(facts), plan.quicklook)
        assets = [*write(plan.format, staging, folder, plan.scene.name, plan.origin, store), quicklook]
        write_item(folder / ITEM, plan.grid, assets, facts)
        if store is not None and plan.origin.year is not None:
            store.write_item(folder / ITEM, plan.origin.year, staging)
        place.sync_output()
    journal.add_complete()
    return statistics


def _statistics(journal: Journal) -> pipeline.Statistics:
    """Of a run to which nothing was left but to give its output the name."""
    return pipeline.Statistics(
        sum(window.pixels for window in journal.finished),
        sum(finished.with_data for finished in journal.finished.values()),
    )


def _stopped(error: OSError, place: PartialOutput) -> str:
    what = f"{error.strerror or error} ({error.filename or place.folder})"
    if error.errno in FULL:
        return f"{what}; make room and give the same command again: what is finished is kept"
    return f"{what}; when that is mended, give the same command again: what is finished is kept"


def _identity(plan: Plan, fingerprint: str) -> dict[str, str]:
    """All that the output's values depend on, as people would name it; the shortened sha256s tell accidents apart."""
    from tessera_engine.version import __version__

    model, backend, grid = plan.backend.model, plan.backend, plan.scene.grid
    return {
        "engine": __version__,
        "model": f"{model.label} {model.sha256[:16]}",
        "backend": backend.description,
        "scene": f"{plan.scene.name} {fingerprint[:16]}",
        "grid": f"{grid.width} x {grid.height} {grid.crs} {tuple(grid.transform)[:6]}",
        "window": " ".join(map(str, plan.region)),
        "dim": str(plan.dim),
        "store": plan.stored_as,
        "format": plan.format,
        "quicklook": plan.quicklook,
        **({"append": "yes"} if plan.append else {}),
    }


def _run_facts(plan: Plan, fingerprint: str, with_data: int) -> RunFacts:
    from tessera_engine.version import __version__

    scene, backend = plan.scene, plan.backend
    facts = backend.model.facts
    return RunFacts(
        scene_name=scene.name,
        scene_layout=scene.reader.layout,
        scene_fingerprint=fingerprint,
        dates=scene.reader.dates,
        findings=plan.findings,
        model_name=facts.name,
        model_sha256=backend.model.sha256,
        generation=facts.generation,
        precision=facts.precision,
        stored_as=plan.stored_as,
        dim=plan.dim,
        backend=backend.name,
        backend_version=backend.version,
        instruction_set=backend.computes_on,
        engine_version=__version__,
        pixels_with_data=with_data,
        period=scene.reader.period,
    )
