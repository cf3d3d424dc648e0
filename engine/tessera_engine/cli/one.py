"""What `embed` does with one scene, on this machine or on a cluster: notes, progress, and the last lines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tessera_engine.cli import console
from tessera_engine.cli.signals import aside
from tessera_engine.formats.registry import format_named

if TYPE_CHECKING:
    from tessera_engine.api import Embedded
    from tessera_engine.running.options import EmbedOptions
    from tessera_engine.scene import Scene


@dataclass(frozen=True)
class Asked:
    """What the command line asked for.

    Attributes:
        scene: its folder.
        out: the output folder; None: the default.
        opening: options of `tessera_engine.scenes.open.open_scene`.
        loading: options of `tessera_engine.running.loading.load_model`.
        options: of the run.
        quiet: print results alone, and what is certainly wrong.
        json: print JSON.
    """

    scene: str
    out: Path | None
    opening: dict[str, Any]
    loading: dict[str, Any]
    options: EmbedOptions
    quiet: bool
    json: bool

    def say(self, line: str) -> None:
        """Print a note, unless the user wants none."""
        console.say(line, self.quiet)

    def announce(self, line: str) -> None:
        """Print a note, or a warning that the user wants even so if it is certain."""
        console.say(line, self.quiet and not _certain(line))


def embed_here(asked: Asked) -> None:
    """Embed a scene on this machine."""
    from tessera_engine import api
    from tessera_engine.backends.choosing import choose
    from tessera_engine.model.installed import open_model
    from tessera_engine.running import loading
    from tessera_engine.running.memory import check_device_memory
    from tessera_engine.running.options import RunOptions
    from tessera_engine.running.plan import make_plan
    from tessera_engine.scenes import open_scene
    from tessera_engine.scenes.unused import note

    backend, device, threads = (asked.loading[name] for name in ("backend", "device", "threads"))
    checked = RunOptions.given(asked.options)
    opened = open_scene(asked.scene, **asked.opening)
    file = open_model(asked.loading["model"], asked.loading["precision"])
    check_device_memory(asked.loading["device_memory"])
    # Before kernels are compiled
    runs_it = choose(backend, device, file.facts.precision, file.facts).backend
    plan = make_plan(opened, file, asked.out, checked, runs_it)
    # Notes come after all that may refuse the command
    others = note(opened.reader.unused)
    if others is not None:
        asked.say(others)
    limit = asked.loading["device_memory"]
    loaded = loading.load(file, backend, threads, asked.say, device, limit)
    facts = loaded.facts
    if facts.name == "demo":
        asked.say(
            "note: the demo model shows how the engine works; it is not a published TESSERA model "
            "('tessera-engine model import' brings one)"
        )
    lossy = format_named(checked.format).lossy
    if lossy:
        asked.say(f"note: {checked.format} loses some of the embeddings: {lossy}")
    size = f"{plan.region.width} x {plan.region.height} px"
    if plan.selected is not None:
        size += f", {len(plan.selected):,} of them selected"
    asked.say(
        f"{opened.name}: {size}, model {facts.name} {facts.precision}, "
        f"{loaded.backend.description}, {loaded.threads} threads"
    )

    with console.progress_bar("embedding", asked.quiet, "px", asked.json) as progress:
        done = aside(lambda: api.carry_out(plan, loaded, progress, asked.announce))
    _print_done(done, asked.json, opened)
    flagged = ""
    if done.few_clear is not None:
        flagged = f"{done.few_clear:,} px have fewer than {asked.options['min_clear']} clear dates; "
    asked.say(
        f"{done.with_data:,} of {done.pixels:,} px embedded in {sum(done.seconds.values()):.1f} s; {flagged}"
        f"look at {done.out / 'quicklook.png'}"
    )


def embed_on_cluster(asked: Asked, cluster: str) -> None:
    """Embed a scene on a Dask cluster.

    Args:
        asked: what for.
        cluster: its address.
    """
    from tessera_engine import api
    from tessera_engine.backends.choosing import choose
    from tessera_engine.cluster.connecting import check_cluster, connected, dashboard
    from tessera_engine.cluster.options import Runs, for_cells
    from tessera_engine.model.installed import open_model
    from tessera_engine.running.options import RunOptions
    from tessera_engine.running.plan import make_plan
    from tessera_engine.scenes import open_scene

    check_cluster(cluster)
    checked = RunOptions.given(for_cells(asked.options))
    backend, device, threads = (asked.loading[name] for name in ("backend", "device", "threads"))
    opened = open_scene(Path(asked.scene).absolute(), **asked.opening)
    file = open_model(asked.loading["model"], asked.loading["precision"])
    runs = Runs(choose(backend, device, file.facts.precision, file.facts).backend, device, threads)
    plan = make_plan(opened, file, asked.out and asked.out.absolute(), checked, runs.backend)

    def work() -> Embedded:
        with (
            connected(cluster, threads) as client,
            console.progress_bar("embedding", asked.quiet or asked.json, "px") as progress,
        ):
            page = dashboard(client)
            if page is not None:
                asked.say(f"note: Dask's dashboard is at {page}")
            return api.carry_out_on(
                plan, client, runs, progress, asked.announce, console.say_json if asked.json else None
            )

    _print_done(aside(work), asked.json, opened)


def _print_done(done: Embedded, json: bool, scene: Scene) -> None:
    """Print the output's folder, or what was done as JSON."""
    from tessera_engine.scenes.unused import as_json

    if not json:
        console.print_line(done.out)
        return
    console.print_json(
        {
            "out": str(done.out),
            "pixels": done.pixels,
            "with_data": done.with_data,
            **({} if done.few_clear is None else {"few_clear": done.few_clear}),
            "seconds": {stage: round(seconds, 3) for stage, seconds in done.seconds.items()},
            "findings": [finding.to_dict() for finding in done.findings],
            "unused": as_json(scene.reader.unused),
        }
    )


def _certain(line: str) -> bool:
    """Whether a line warns of something that is certain: a reader's warning, damage, or a finding of the guard."""
    return line.startswith("warning: ") and ", likely]" not in line
