"""Commands that make models: `train`, `distil`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tessera_engine.cli.app import (
    Json,
    Quiet,
    Threads,
    app,
    aside,
    export_extra,
    interruptible,
)
from tessera_engine.errors import InputError

if TYPE_CHECKING:
    from tessera_export.train.run import Order, Trained

GO_ON = "give the same command again: it goes on from the last state that was saved, a minute ago at most"

Scenes = Annotated[
    list[str], typer.Argument(help="Scene folders, of any layout that embed takes.", metavar="SCENE...")
]
Out = Annotated[Path, typer.Option("-o", "--out", help="The checkpoint to make, like model.pt.")]
Size = Annotated[str, typer.Option(help="Shape of the network: nano, small, medium or large.")]
Steps = Annotated[int, typer.Option(min=1, help="Optimiser steps.")]
Minutes = Annotated[
    float | None,
    typer.Option(min=0.01, help="Instead of --steps: about so long; some steps are timed first."),
]
Pixels = Annotated[int, typer.Option(min=256, help="To draw in all, the same number from each scene.")]
Batch = Annotated[int, typer.Option(min=16, help="Pixels a step, drawn over all scenes.")]
Rate = Annotated[float, typer.Option("--learning-rate", min=1e-8, help="Its peak, after the warm-up.")]
Qat = Annotated[
    str | None,
    typer.Option(
        help="Train some more at the end, under the rounding of int8 (CPUs) or of qdq (fixed scales, GPUs)."
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed on the same threads gives the same weights.")]
Device = Annotated[str, typer.Option(help="auto (a GPU if there is one), cpu or cuda.")]
Memory = Annotated[
    str | None,
    typer.Option(
        help="Most memory for reading scenes, like 2GB. Default: half of what is free, at most 4GB."
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a checkpoint of that name.")]
Restart = Annotated[bool, typer.Option("--restart", help="Begin anew where a training was interrupted.")]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse scenes about which there is any warning.")]


@app.command()
@interruptible(GO_ON)
def train(
    scenes: Scenes,
    out: Out,
    size: Size = "nano",
    steps: Steps = 1000,
    minutes: Minutes = None,
    pixels: Pixels = 100_000,
    batch: Batch = 256,
    learning_rate: Rate = 2e-3,
    redundancy: Annotated[
        float,
        typer.Option("--lambda", min=0, help="Barlow Twins' weight of what dimensions repeat of each other."),
    ] = 0.05,
    mixup: Annotated[
        float, typer.Option(min=0, help="Weight of mixed samples; 0 saves a third of the time.")
    ] = 1.0,
    qat: Qat = None,
    seed: Seed = 0,
    device: Device = "auto",
    memory: Memory = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
    restart: Restart = False,
    strict: Strict = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train a network on scenes without labels (Barlow Twins), into a checkpoint of the published format.

    Example: tessera-engine train scene_dir/ other_dir/ -o model.pt --minutes 30
    """
    model = _model(size)
    with export_extra("train"):
        from tessera_export.train.run import train as run
        from tessera_export.train.ssl import TrainConfig

    config = TrainConfig(model, steps, batch, learning_rate, seed=seed, redundancy=redundancy, mixup=mixup)
    tell = _teller(quiet)
    order = _order(scenes, out, pixels, minutes, device, threads, memory, overwrite, restart, strict, qat)
    _finish(aside(lambda: run(config, order, tell)), quiet, json)


@app.command()
@interruptible(GO_ON)
def distil(
    scenes: Scenes,
    teacher: Annotated[
        Path,
        typer.Option(help="Checkpoint to distil from: a v2 student, the 2B teacher, v1, or one of your own."),
    ],
    out: Out,
    size: Size = "nano",
    statistics: Annotated[
        str | None,
        typer.Option(help="Of a v1.1 teacher: mpc (Planetary Computer) or aws (Earth Search and OPERA)."),
    ] = None,
    steps: Steps = 1000,
    minutes: Minutes = None,
    pixels: Pixels = 100_000,
    batch: Batch = 256,
    learning_rate: Rate = 2e-3,
    qat: Qat = None,
    seed: Seed = 0,
    device: Device = "auto",
    memory: Memory = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
    restart: Restart = False,
    strict: Strict = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Distil a small network from a large one, on scenes without labels.

    Example: tessera-engine distil scene_dir/ --teacher large.pt -o small.pt --size small
    """
    model = _model(size)
    with export_extra("distil"):
        from tessera_export.train.distil import DistilConfig
        from tessera_export.train.embedding import open_teacher
        from tessera_export.train.run import distil_from

    config = DistilConfig(model, steps, batch, learning_rate, seed=seed)
    tell = _teller(quiet)
    order = _order(scenes, out, pixels, minutes, device, threads, memory, overwrite, restart, strict, qat)
    frozen = open_teacher(teacher, statistics, order.device)
    _finish(aside(lambda: distil_from(config, frozen, order, tell)), quiet, json)


def _model(size: str) -> Any:
    """The shape of a student."""
    with export_extra("training"):
        from tessera_export.reference import SIZES

    students = [name for name, shape in SIZES.items() if shape.generation == "v2"]
    if size not in students:
        raise InputError(f"there is no size '{size}' to train; choose from {', '.join(students)}")
    return SIZES[size]


def _order(
    scenes: list[str],
    out: Path,
    pixels: int,
    minutes: float | None,
    device: str,
    threads: int | None,
    memory: str | None,
    overwrite: bool,
    restart: bool,
    strict: bool,
    qat: str | None,
) -> Order:
    from tessera_engine.machine import check_threads, default_memory
    from tessera_engine.running.memory import parse_size
    from tessera_engine.scenes import open_scene
    from tessera_export.train.qat import SCHEMES
    from tessera_export.train.run import Order, choose_device

    if qat is not None and qat not in SCHEMES:
        raise InputError(
            f"--qat {qat}: a network can be finished for nothing but {' or '.join(SCHEMES)}; choose one of them"
        )
    return Order(
        scenes=[open_scene(scene) for scene in scenes],
        out=out,
        pixels=pixels,
        minutes=minutes,
        device=choose_device(device),
        threads=check_threads(threads),
        memory=parse_size(memory) if memory else default_memory(),
        overwrite=overwrite,
        restart=restart,
        strict=strict,
        qat=qat,
    )


def _teller(quiet: bool) -> Any:
    from tessera_engine.cli import console

    return lambda line: console.say(line, quiet)


def _finish(done: Trained, quiet: bool, json: bool) -> None:
    from tessera_engine.cli import console

    if json:
        console.print_json(done.to_dict())
    else:
        print(done.out)
    console.say(
        f"{done.steps:,} steps on {done.pixels:,} px in {done.progress.seconds:.0f} s: loss {done.first_loss:.4f} to "
        f"{done.last_loss:.4f}; 'tessera-engine model import {done.out}' makes a model of it",
        quiet,
    )
