"""The command `bench`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from tessera_engine.cli import console
from tessera_engine.cli.app import app
from tessera_engine.cli.options import Device, DeviceMemory, Json, Quiet, Threads
from tessera_engine.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from tessera_engine.cli.pages.bench import MakeBackend, Row, Runner
    from tessera_engine.progress import Progress


@app.command()
def bench(
    model: Annotated[str, typer.Argument(help="Name of the model.")] = "demo",
    scene: Annotated[
        str | None,
        typer.Option(help="Scene to take pixels from. Default: a simulated scene."),
    ] = None,
    pixels: Annotated[
        int, typer.Option(min=16, max=10_000_000, help="Approximate number of pixels per run.")
    ] = 512,
    rounds: Annotated[
        int,
        typer.Option(
            min=1,
            max=10_000,
            help="Number of rounds. In each round every way to run the model takes its turn.",
        ),
    ] = 7,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Also run every other runtime in its fastest forms: PyTorch compiled and in bfloat16, OpenVINO in "
            "bfloat16, int8 with fixed scales. This takes some minutes.",
        ),
    ] = False,
    device: Device = "auto",
    device_memory: DeviceMemory = None,
    threads: Threads = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Measure the speed and drift of each way to run a model.

    The results are compared with PyTorch if it is installed.

    Example: tessera-engine bench demo

    Example: tessera-engine bench demo --device cuda --pixels 16384
    """
    from tessera_engine.backends.choosing import check_limited, choose, make_backend
    from tessera_engine.cli.pages.bench import Runner, compare, stage_shares, ways_to_run, with_qdq
    from tessera_engine.machine import check_threads
    from tessera_engine.model.installed import open_model, precisions
    from tessera_engine.running.memory import check_device_memory
    from tessera_engine.scenes.sampling import sample_observations

    threads, limit = check_threads(threads), check_device_memory(device_memory)
    choice = choose("auto", device)
    check_limited(choice, limit)  # before anything is loaded
    device = choice.device
    files = {precision: open_model(model, precision) for precision in precisions(model)}
    observations = sample_observations(scene, files["fp32"].facts, pixels)
    with ExitStack() as stack:
        files_to_run = files
        if full:
            files_to_run = with_qdq(files, scene, Path(stack.enter_context(TemporaryDirectory())))
        ways, wanted = ways_to_run(files_to_run, threads, device, full, limit)
        with console.progress_bar("starting", quiet, "runtimes", json) as progress:
            # On a GPU, any of the runtimes may be missing, and PyTorch compiles only with a C++ compiler
            runners = _start(
                ways,
                lambda make: stack.enter_context(Runner(make, observations, threads)),
                device == "cuda" or full,
                quiet,
                progress,
            )
        baselines = _baselines(wanted, runners, quiet)
        with console.progress_bar("measuring", quiet, "runs", json) as progress:
            rows = compare(runners, baselines, rounds, progress)
    precision = "fp32" if device == "cuda" or "int8" not in files else "int8"
    shares = stage_shares(scene, make_backend(files[precision], "auto", threads, device, None, limit))
    if json:
        console.print_json({"rows": [asdict(row) for row in rows], "stages": shares})
        return
    _print_rows(rows)
    console.say(
        f"{model}: {rows[0].drift.pixels} px, {threads} thread(s), median of {rounds} alternating rounds; "
        f"baseline: the fastest of {', '.join(baselines)} in each round",
        quiet,
    )
    if full:
        _say_peers(rows, quiet)
    listed = ", ".join(f"{stage} {share:.1%}" for stage, share in shares.items())
    console.say(f"share of embed's wall time in {precision}: {listed}", quiet)


def _start(
    ways: Mapping[str, MakeBackend],
    start: Callable[[MakeBackend], Runner],
    any_missing: bool,
    quiet: bool,
    progress: Progress,
) -> dict[str, Runner]:
    """The ways to run a model that can run here, by name.

    Args:
        ways: all of them.
        start: starts one.
        any_missing: whether any of them may be missing; otherwise only those whose extra isn't installed.
        quiet: don't say which are missing.
        progress: called after each.

    Raises:
        InputError: none can run, or one can't that may not be missing.
    """
    runners = {}
    for i, (name, make) in enumerate(ways.items()):
        try:
            runners[name] = start(make)
        except InputError as missing:
            if not any_missing and not isinstance(missing, MissingExtra):
                raise
            console.say(f"note: {missing}", quiet)
        progress(i + 1, len(ways))
    if not runners:
        raise InputError("no backend can run this model here; 'tessera-engine doctor' shows what is missing")
    return runners


def _baselines(wanted: Sequence[str], runners: Collection[str], quiet: bool) -> list[str]:
    """What the others are compared with: PyTorch, or else ONNX Runtime or whatever runs."""
    there = [name for name in wanted if name in runners]
    if not there:
        there = ["onnxruntime fp32" if "onnxruntime fp32" in runners else next(iter(runners))]
        console.say(f"note: PyTorch is not available for this, so the baseline is {there[0]}", quiet)
    return there


def _print_rows(rows: Sequence[Row]) -> None:
    header = ("", "px/s", "times baseline", "centred cosine", "1st percentile")
    table = [
        (
            row.name,
            f"{row.pixels_per_second:,.0f}",
            f"{row.ratio:.2f}",
            f"{row.drift.centred_mean:.5f}",
            f"{row.drift.centred_p1:.5f}",
        )
        for row in rows
    ]
    console.print_table(table, header)


def _say_peers(rows: Sequence[Row], quiet: bool) -> None:
    """How many times as fast as each other runtime's fastest form the fused kernels are."""
    from tessera_engine.cli.pages.bench import best_forms

    runtimes = {row.runtime for row in rows}
    peers = runtimes - {"fused"}
    if len(peers) == len(runtimes) or not peers:
        return
    ours, *_ = best_forms(rows, {"fused"})
    for peer in best_forms(rows, peers):
        console.say(
            f"{ours.name} is {ours.times(peer):.2f} times as fast as {peer.runtime}'s fastest form: "
            f"{peer.name} ({peer.how})",
            quiet,
        )
