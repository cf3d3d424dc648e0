"""The engine from Python: embed a scene."""

from __future__ import annotations

import dataclasses
import inspect
import os
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tessera_engine.backends.choosing import choose
from tessera_engine.cluster.options import Runs, for_cells
from tessera_engine.errors import SceneWarning, check_type
from tessera_engine.finding import Finding
from tessera_engine.guard import examined
from tessera_engine.model.file import ModelFile
from tessera_engine.model.installed import DEFAULT_MODEL, open_model
from tessera_engine.progress import Announce, ShowProgress, shown
from tessera_engine.running.loading import Model, load
from tessera_engine.running.options import EmbedOptions, RunOptions, spelled_out
from tessera_engine.running.plan import Plan, make_plan
from tessera_engine.running.run import run
from tessera_engine.scene import Scene, Window
from tessera_engine.scenes import open_scene
from tessera_engine.stac.items import load_item
from tessera_engine.stac.members import PIXELS_FEW_CLEAR
from tessera_engine.tokens import pack
from tessera_kernels.threads import set_threads

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from tessera_engine.cluster.reporting import Event


@dataclasses.dataclass(frozen=True, repr=False)
class Embedded:
    """A finished run.

    Attributes:
        out: the output folder.
        pixels: pixels of the region that the scene covers, or of these the selected ones.
        with_data: pixels that have an embedding.
        seconds: wall time of the stages, see `tessera_engine.running.pipeline.Statistics`.
        findings: what was found about the scene.
        few_clear: pixels that are flagged for their few clear dates; None without `min_clear`.
    """

    out: Path
    pixels: int
    with_data: int
    seconds: dict[str, float]
    findings: tuple[Finding, ...]
    few_clear: int | None = None

    def __repr__(self) -> str:
        return f"<Embedded {self.out}: {self.with_data:,} of {self.pixels:,} pixels>"


def embed(
    scene: Scene | str | os.PathLike[str],
    model: Model | str | os.PathLike[str] = DEFAULT_MODEL,
    out: str | os.PathLike[str] | None = None,
    *,
    progress: ShowProgress = None,
    announce: Announce | None = None,
    client: Any = None,
    **options: Unpack[EmbedOptions],
) -> Embedded:
    """Embed a scene into an output folder, or resume a run that was interrupted.

    The work lies in `<out>.partial` until it is finished. Finished windows are on the disk there, so the same call
    resumes after any interruption.

    Args:
        scene: an open scene or its folder.
        model: a loaded model, the name of one on this machine, or a model file.
        out: output folder; None: `<scene name>.embeddings` in the current folder.
        progress: a function to call with pixels done and in all; True to show progress, False not to; None: show it
            in terminals and notebooks.
        announce: called with one line for each finding about the scene, for an interrupted run that is resumed, and
            for damage in it; None: findings and damage are Python warnings (`SceneWarning`).
        client: a `distributed.Client` of a Dask cluster whose workers share the files of the scene, the model and the
            output; format is zarr then, and the scene is named by its full path. None: this process.
        window: the part of the scene: col, row, width, height in pixels; None: all.
        bbox: the part of the scene: west, south, east, north in degrees.
        aoi: a file of shapes: only pixels in them are embedded, and the output covers the box around these.
        points: a file of points: only their pixels are embedded.
        layer: the layer of that file; None: the only one with shapes.
        shapes_crs: the CRS of its coordinates; None: what the file says.
        buffer: by how much its shapes grow: metres, or a length like "50m"; negative: by how much they shrink.
        dim: length of the embedding, one of the model's prefixes; None: the whole.
        stored_as: `int8` or `float32`; None: int8 for an int8 model, else float32.
        format: `cog`, `npy`, `zarr`, `geotessera`, or `vq`, which loses some of the embeddings.
        quicklook: what the picture shows: `pca`, `clusters` or `rgb`.
        every: embed growing periods too, each a step longer ("14d", "month"), into one Zarr store; the scene must be
            opened with `season`, `start` and `end`, or `year`.
        min_clear: flag pixels with fewer clear Sentinel-2 dates in the quality layer; None: flag none.
        truecolour: also write `truecolour.tif`, the scene in true colour.
        memory: what the process may take: bytes, or a size like "2GB"; None: half of the free memory, at most 4 GB.
        overwrite: replace an earlier output.
        append: add to a zarr or geotessera output at `out`.
        restart: discard an interrupted run and start again.
        check: on resuming, read all finished windows of the scene again to see whether it has changed, not only some.
        strict: refuse a scene with any finding.

    Raises:
        InputError: an argument is wrong, something asked for isn't available, or an interrupted run differs; nothing
            has been written.
        TesseraError: the run failed; what is finished is kept.
    """
    chosen = RunOptions.given(options if client is None else for_cells(options))
    check_type("scene", scene, (Scene, str, os.PathLike), "a scene folder or open_scene(...)")
    check_type("model", model, (Model, str, os.PathLike), "a model's name, a model file or load_model(...)")
    if out is not None:
        check_type("out", out, (str, os.PathLike), "a folder")
    if not isinstance(scene, Scene):
        scene = open_scene(os.fspath(scene) if client is None else Path(scene).absolute())
    file = model.backend.model if isinstance(model, Model) else open_model(os.fspath(model))
    runs_it = (
        model.backend.name
        if isinstance(model, Model)
        else choose("auto", "auto", file.facts.precision, file.facts).backend
    )
    plan = make_plan(scene, file, None if out is None else os.fspath(out), chosen, runs_it)
    if client is not None:
        threads = model.threads if isinstance(model, Model) else None
        return carry_out_on(plan, client, Runs(runs_it, threads=threads), progress, announce)
    return carry_out(plan, model, progress, announce)


def carry_out_on(
    plan: Plan,
    client: Any,
    runs: Runs,
    progress: ShowProgress,
    announce: Announce | None,
    event: Event | None = None,
) -> Embedded:
    """`embed` on a Dask cluster, from its plan on.

    Args:
        plan: what to do, with options as `tessera_engine.cluster.options.for_cells` gives them.
        client: a `distributed.Client`.
        runs: what runs the model on every worker.
        progress: see `embed`.
        announce: see `embed`.
        event: called with what happens, see `tessera_engine.cluster.reporting.Event`.

    Raises:
        InputError: the scene is refused, or an interrupted run differs; nothing has been written.
        TesseraError: the run failed; what is finished is kept.
    """
    # The process that only computes doesn't need it
    from tessera_engine.cluster.embedding import embed_in_cells

    say = announce or warn
    if plan.selection is not None and (left_out := plan.selection.note()) is not None:
        say(left_out)
    _, findings = examined(plan.scene, plan.model.facts, plan.region, plan.options.strict, say)
    plan, begun = dataclasses.replace(plan, findings=findings), time.perf_counter()
    with shown(progress, f"embedding {plan.scene.name}", "px") as report:
        done = embed_in_cells(plan, client, runs, report, say, event)
    seconds = {"cluster": time.perf_counter() - begun}
    return Embedded(plan.out, done.pixels, done.with_data, seconds, findings, _few_clear(plan))


def _few_clear(plan: Plan) -> int | None:
    if plan.options.min_clear is None:
        return None
    found: int | None = load_item(plan.out)["properties"].get(PIXELS_FEW_CLEAR)
    return found


def carry_out(
    plan: Plan, model: Model | str | os.PathLike[str], progress: ShowProgress, announce: Announce | None
) -> Embedded:
    """`embed` from its plan on.

    Args:
        plan: what to do.
        model: the plan's model, loaded, or what names it.
        progress: see `embed`.
        announce: see `embed`.

    Raises:
        InputError: the scene is refused, or an interrupted run differs; nothing has been written.
        TesseraError: the run failed; what is finished is kept.
    """
    say = warn if announce is None else announce
    left_out = None if plan.selection is None else plan.selection.note()
    if left_out is not None:
        say(left_out)
    findings, loaded = examine(plan.scene, plan.region, model, plan.model, plan.options.strict, announce)
    with shown(progress, f"embedding {plan.scene.name}", "px") as report:
        done = run(dataclasses.replace(plan, findings=findings), loaded.backend, report, say)
    return Embedded(plan.out, done.pixels, done.with_data, done.seconds, findings, _few_clear(plan))


embed.__signature__ = spelled_out(embed, EmbedOptions, RunOptions())  # type: ignore[attr-defined]


def examine(
    scene: Scene,
    region: Window,
    model: Model | str | os.PathLike[str],
    file: ModelFile,
    strict: bool,
    announce: Announce | None,
) -> tuple[tuple[Finding, ...], Model]:
    """What is probably wrong with a scene, which the user is told; and the model, ready to embed it.

    Args:
        scene: what will be embedded.
        region: the part of it.
        model: a loaded model, or what names the file.
        file: the model file.
        strict: refuse a scene with any finding.
        announce: see `embed`.

    Raises:
        InputError: the scene has no data in the region, or with `strict` a finding.
    """
    sample, findings = examined(scene, file.facts, region, strict, announce or warn)
    loaded = model if isinstance(model, Model) else load(file, announce=announce)
    if loaded.backend.follows_lengths:
        tokens = pack(sample, file.facts).tokens
        if len(tokens):
            loaded.backend.prepare(tokens)
    set_threads(loaded.threads)
    return findings, loaded


def warn(line: str) -> None:
    """Findings and damage as Python warnings, at the user's line that called the engine."""
    text = line.removeprefix("warning: ")
    if text == line:
        return
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith("tessera_engine."):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, SceneWarning, stacklevel=level)
