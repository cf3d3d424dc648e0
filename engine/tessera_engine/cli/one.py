"""What `embed` does with one scene, on this machine or on a cluster: notes, progress, and the last lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tessera_engine.cli.app import aside
from tessera_engine.formats.registry import format_named

if TYPE_CHECKING:
    from tessera_engine.api import Embedded
    from tessera_engine.running.options import EmbedOptions
    from tessera_engine.scene import Scene


def embed_here(
    scene: str,
    out: Path | None,
    opening: dict[str, Any],
    loading: dict[str, Any],
    options: EmbedOptions,
    quiet: bool,
    json: bool,
) -> None:
    """Embed a scene on this machine.

    Args:
        scene: its folder.
        out: the output folder; None: the default.
        opening: options of `tessera_engine.scenes.open_scene`.
        loading: options of `tessera_engine.api.load_model`.
        options: of the run.
        quiet: print results alone, and what is certainly wrong.
        json: print JSON.
    """
    from tessera_engine import api
    from tessera_engine.backends.choosing import choose
    from tessera_engine.cli import console
    from tessera_engine.model.installed import open_model
    from tessera_engine.running.memory import check_device_memory
    from tessera_engine.running.options import RunOptions
    from tessera_engine.running.plan import make_plan
    from tessera_engine.scenes import open_scene
    from tessera_engine.scenes.unused import note

    backend, device, threads = (loading[name] for name in ("backend", "device", "threads"))
    checked = RunOptions.given(options)
    opened = open_scene(scene, **opening)
    others = note(opened.reader.unused)
    if others is not None:
        console.say(others, quiet)
    file = open_model(loading["model"], loading["precision"])
    check_device_memory(loading["device_memory"])
    # Before kernels are compiled
    runs_it = choose(backend, device, file.facts.precision, file.facts).backend
    plan = make_plan(opened, file, out, checked, runs_it)
    limit = loading["device_memory"]
    loaded = api.load(file, backend, threads, lambda text: console.say(text, quiet), device, limit)
    facts = loaded.facts
    if facts.name == "demo":
        console.say(
            "note: the demo model shows how the engine works; it is not a published TESSERA model "
            "('tessera-engine model import' brings one)",
            quiet,
        )
    lossy = format_named(checked.format).lossy
    if lossy:
        console.say(f"note: {checked.format} loses some of the embeddings: {lossy}", quiet)
    size = f"{plan.region.width} x {plan.region.height} px"
    if plan.selected is not None:
        size += f", {len(plan.selected):,} of them selected"
    console.say(
        f"{opened.name}: {size}, model {facts.name} {facts.precision}, "
        f"{loaded.backend.description}, {loaded.threads} threads",
        quiet,
    )

    def announce(text: str) -> None:
        console.say(text, quiet and not _certain(text))

    with console.progress_bar("embedding", quiet, "px", json) as progress:
        done = aside(lambda: api.carry_out(plan, loaded, progress, announce))
    _print_done(done, json, opened)
    flagged = ""
    if done.few_clear is not None:
        flagged = f"{done.few_clear:,} px have fewer than {options['min_clear']} clear dates; "
    console.say(
        f"{done.with_data:,} of {done.pixels:,} px embedded in {sum(done.seconds.values()):.1f} s; {flagged}"
        f"look at {done.out / 'quicklook.png'}",
        quiet,
    )


def embed_on_cluster(
    cluster: str,
    scene: str,
    out: Path | None,
    opening: dict[str, Any],
    loading: dict[str, Any],
    options: EmbedOptions,
    quiet: bool,
    json: bool,
) -> None:
    """Embed a scene on a Dask cluster.

    Args:
        cluster: its address.
        scene: its folder.
        out: the output folder; None: the default.
        opening: see `embed_here`.
        loading: see `embed_here`.
        options: of the run.
        quiet: print results alone, and what is certainly wrong.
        json: print JSON.
    """
    from tessera_engine import api
    from tessera_engine.backends.choosing import choose
    from tessera_engine.cli import console
    from tessera_engine.cluster.connecting import check_cluster, connected
    from tessera_engine.cluster.options import Runs, for_cells
    from tessera_engine.model.installed import open_model
    from tessera_engine.running.options import RunOptions
    from tessera_engine.running.plan import make_plan
    from tessera_engine.scenes import open_scene

    check_cluster(cluster)
    checked = RunOptions.given(for_cells(options))
    backend, device, threads = (loading[name] for name in ("backend", "device", "threads"))
    opened = open_scene(Path(scene).absolute(), **opening)
    file = open_model(loading["model"], loading["precision"])
    runs = Runs(choose(backend, device, file.facts.precision, file.facts).backend, device, threads)
    plan = make_plan(opened, file, None if out is None else out.absolute(), checked, runs.backend)

    def announce(text: str) -> None:
        console.say(text, quiet and not _certain(text))

    def work() -> Embedded:
        with (
            connected(cluster, threads) as client,
            console.progress_bar("embedding", quiet or json, "px") as progress,
        ):
            if client.dashboard_link:
                console.say(f"note: Dask's dashboard is at {client.dashboard_link}", quiet)
            return api.carry_out_on(
                plan, client, runs, progress, announce, console.say_json if json else None
            )

    _print_done(aside(work), json, opened)


def _print_done(done: Embedded, json: bool, scene: Scene) -> None:
    """Print the output's folder, or what was done as JSON."""
    from tessera_engine.cli import console
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
