"""Commands that make checkpoints: `train`, `distil`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tessera_engine.cli import console
from tessera_engine.cli.app import app
from tessera_engine.cli.options import Json, Quiet, Threads
from tessera_engine.cli.signals import aside, interruptible
from tessera_engine.files.nearby import unknown
from tessera_export.torch_needed import torch_needed

if TYPE_CHECKING:
    from tessera_engine.progress import Announce
    from tessera_export.reference import ReferenceConfig
    from tessera_export.train.run import Order, Trained

RESUME = "give the same command again to resume from the last saved state, at most a minute old"

Scenes = Annotated[
    list[str], typer.Argument(help="Scene folders, in any layout that embed reads.", metavar="SCENE")
]
Out = Annotated[Path, typer.Option("-o", "--out", help="Checkpoint to write, like model.pt.")]
Size = Annotated[str, typer.Option(help="Size of the network: nano, small, medium or large.")]
Steps = Annotated[int, typer.Option(min=1, max=1_000_000_000, help="Number of optimiser steps.")]
Minutes = Annotated[
    float | None,
    typer.Option(
        min=0.01,
        max=525_600,
        help="Training time in minutes, instead of --steps. A few steps are timed first.",
    ),
]
Pixels = Annotated[
    int,
    typer.Option(
        min=256, max=1_000_000_000, help="Number of pixels to draw: the same number from each scene."
    ),
]
Batch = Annotated[int, typer.Option(min=16, max=1_000_000, help="Pixels per step, from all scenes.")]
Rate = Annotated[
    float, typer.Option("--learning-rate", min=1e-8, max=1, help="Peak learning rate, after the warm-up.")
]
Qat = Annotated[
    str | None,
    typer.Option(
        help="Finish with some training under the rounding of int8 (for CPUs) or qdq (fixed scales, for GPUs)."
    ),
]
Seed = Annotated[
    int, typer.Option(min=0, help="Random seed. The same seed and number of threads give the same weights.")
]
Device = Annotated[str, typer.Option(help="auto (a GPU if PyTorch finds one), cpu or cuda.")]
Memory = Annotated[
    str | None,
    typer.Option(
        help="Memory limit while scenes are read, like 2GB. Default: half of the free memory, at most 4GB."
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing checkpoint.")]
Restart = Annotated[
    bool, typer.Option("--restart", help="Start again instead of resuming an interrupted training.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Treat every warning about a scene as an error.")]


@app.command()
@interruptible(RESUME)
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
        typer.Option(
            "--lambda", min=0, max=1000, help="Redundancy weight (lambda) of the Barlow Twins loss."
        ),
    ] = 0.05,
    mixup: Annotated[
        float,
        typer.Option(
            min=0,
            max=1000,
            help="Weight of the loss of mixed samples. 0 leaves them out, and saves a third of the time.",
        ),
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
    """Train a network on scenes without labels.

    The objective is Barlow Twins, as for the published models. The checkpoint has the published format.

    Example: tessera-engine train scene_dir/ other_dir/ -o model.pt --minutes 30
    """
    with torch_needed("train"):
        from tessera_export.train.run import train as run
        from tessera_export.train.ssl import TrainConfig

    config = TrainConfig(
        _shape(size), steps, batch, learning_rate, seed=seed, redundancy=redundancy, mixup=mixup
    )
    announce = _announce(quiet)
    order = _order(scenes, out, pixels, minutes, device, threads, memory, overwrite, restart, strict, qat)
    _finish(aside(lambda: run(config, order, announce)), quiet, json)


@app.command()
@interruptible(RESUME)
def distil(
    scenes: Scenes,
    teacher: Annotated[
        Path,
        typer.Option(
            help="Checkpoint of the large network: a v2 student, the 2B teacher, a v1 model, or your own."
        ),
    ],
    out: Out,
    size: Size = "nano",
    statistics: Annotated[
        str | None,
        typer.Option(
            help="For a v1.1 teacher, its training data: mpc (Planetary Computer) or aws (Earth Search, OPERA)."
        ),
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
    """Distil a small network from a large one.

    The small network learns to predict the large network's embeddings on scenes without labels.

    Example: tessera-engine distil scene_dir/ --teacher large.pt -o small.pt --size small
    """
    with torch_needed("distil"):
        from tessera_export.train.distil import DistilConfig
        from tessera_export.train.embedding import open_teacher
        from tessera_export.train.run import distil_from

    config = DistilConfig(_shape(size), steps, batch, learning_rate, seed=seed)
    announce = _announce(quiet)
    order = _order(scenes, out, pixels, minutes, device, threads, memory, overwrite, restart, strict, qat)
    frozen = open_teacher(teacher, statistics, order.device)
    _finish(aside(lambda: distil_from(config, frozen, order, announce)), quiet, json)


def _shape(size: str) -> ReferenceConfig:
    """The shape of a v2 student, by the name of its size."""
    from tessera_export.reference import SIZES

    students = [name for name, shape in SIZES.items() if shape.generation == "v2"]
    if size not in students:
        raise unknown("size", size, students)
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
    """Check every option, then open the scenes."""
    from tessera_engine.machine import check_threads, default_memory
    from tessera_engine.running.memory import parse_size
    from tessera_engine.scenes import open_scene
    from tessera_export.train.place import check_out
    from tessera_export.train.qat import SCHEMES
    from tessera_export.train.run import Order, choose_device

    if qat is not None and qat not in SCHEMES:
        raise unknown("qat", qat, SCHEMES)
    check_out(out, overwrite)
    device = choose_device(device)
    threads = check_threads(threads)
    limit = parse_size(memory) if memory else default_memory()
    return Order(
        scenes=[open_scene(scene) for scene in scenes],
        out=out,
        pixels=pixels,
        minutes=minutes,
        device=device,
        threads=threads,
        memory=limit,
        overwrite=overwrite,
        restart=restart,
        strict=strict,
        qat=qat,
    )


def _announce(quiet: bool) -> Announce:

    return lambda line: console.say(line, quiet)


def _finish(done: Trained, quiet: bool, json: bool) -> None:

    if json:
        console.print_json(done.to_dict())
    else:
        console.print_line(done.out)
    console.say(
        f"{done.steps:,} steps on {done.pixels:,} px in {done.last.seconds:.0f} s: loss {done.first_loss:.4f} to "
        f"{done.last_loss:.4f}; 'tessera-engine model import {done.out}' makes model files from it",
        quiet,
    )
