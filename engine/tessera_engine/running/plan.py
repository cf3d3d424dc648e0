"""What a run does, with everything checked that can be checked before a model is loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tessera_engine.files.naming import check_new
from tessera_engine.files.output import check_target, is_interrupted
from tessera_engine.files.partial import finish_or_undo
from tessera_engine.finding import Finding
from tessera_engine.formats.origin import Origin
from tessera_engine.formats.writing import check_format
from tessera_engine.machine import default_memory, give_back_memory
from tessera_engine.model.file import ModelFile
from tessera_engine.places.pixels import PixelSet
from tessera_engine.places.selecting import Selection, select
from tessera_engine.running.memory import Demand
from tessera_engine.running.options import RunOptions
from tessera_engine.running.periods import growing_periods
from tessera_engine.scene import Grid, Scene, Window
from tessera_engine.scenes.period import Period, filed_under


@dataclass(frozen=True)
class Plan:
    """What a run does.

    Attributes:
        scene: what is embedded.
        model: the model file.
        out: where the output will appear.
        options: how; window, dim and stored_as are filled in.
        window_pixels: largest size of the windows that are computed at a time.
        origin: where the embeddings are from, as the format records it.
        findings: what was found about the scene.
        periods: first and last day of several periods, in the order of time; empty for one output of the whole time.
        selection: the pixels that are embedded; None: all of the region.
    """

    scene: Scene
    model: ModelFile
    out: Path
    options: RunOptions
    window_pixels: int
    origin: Origin
    findings: tuple[Finding, ...] = ()
    periods: tuple[Period, ...] = ()
    selection: Selection | None = None

    @property
    def region(self) -> Window:
        """The part of the scene that is embedded."""
        return self.options.window or self.scene.grid.window

    @property
    def selected(self) -> PixelSet | None:
        """The pixels that are embedded; None: all of the region."""
        return None if self.selection is None else self.selection.pixels

    @property
    def dim(self) -> int:
        """Length of the stored embedding."""
        return self.options.dim or self.model.facts.dims

    @property
    def stored_as(self) -> str:
        """`int8` or `float32`."""
        return self.options.stored_as or "float32"

    @property
    def grid(self) -> Grid:
        """The output's grid."""
        return self.scene.grid.crop(self.region)


def make_plan(
    scene: Scene, model: ModelFile, out: str | Path | None, options: RunOptions, backend: str = "fused"
) -> Plan:
    """Check what a user asks for against the scene and the facts of the model file.

    Args:
        scene: what is to be embedded.
        model: the model file; it isn't loaded.
        out: the output folder; None: `<scene name>.embeddings` in the current folder.
        options: see `RunOptions`.
        backend: the name of what will run the model; it decides how much memory a run needs.

    Raises:
        InputError: the scene, the model or the format can't do what is asked for, the memory is too little, no pixel
            is selected, or something stands at `out`.
        MissingExtra: a library that reads shapes isn't installed.
    """
    options = options.resolve(scene.grid, model.facts)
    asked, within = options.asked, options.window or scene.grid.window
    selection = None if asked is None else select(asked, scene.grid, within)
    if selection is not None:
        options = replace(options, window=selection.pixels.box)
        give_back_memory()  # of the shapes
    periods = () if options.every is None else growing_periods(scene.reader, options.every)
    year, season = filed_under(scene.reader.bounds, scene.reader.period)
    if periods:  # a store of periods is one of no year, even if the last of them is one
        year, season = None, periods[-1]
    region = scene.grid.crop(options.window or scene.grid.window)
    held = 0 if selection is None else selection.bytes_held
    demand = Demand(
        scene.reader, model, region, options.format, backend, options.stored_as or "float32", held
    )
    plan = Plan(
        scene=scene,
        model=model,
        out=Path(f"{scene.name}.embeddings") if out is None else Path(out),
        options=options,
        window_pixels=demand.window_pixels(options.memory or default_memory()),
        origin=_origin(model, year, season),
        periods=periods,
        selection=selection,
    )
    check_format(options.format, plan.stored_as, plan.grid, plan.dim, plan.origin)
    check_new(plan.out)
    finish_or_undo(plan.out)
    if not is_interrupted(plan.out):
        # What stands there may be the output of this very command
        check_target(plan.out, options.overwrite or options.append)
    return plan


def _origin(model: ModelFile, year: int | None, season: Period | None) -> Origin:
    from tessera_engine.version import __version__

    return Origin(year, model.facts.name, model.sha256, model.facts.generation, __version__, season)
