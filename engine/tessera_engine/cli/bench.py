"""The command `bench`."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from tessera_engine.cli.app import Device, Json, Quiet, Threads, app
from tessera_engine.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from tessera_engine.cli.pages.bench import MakeBackend
    from tessera_engine.model.file import ModelFile


@app.command()
def bench(
    model: Annotated[str, typer.Argument(help="Name of the model.")] = "demo",
    scene: Annotated[
        str | None,
        typer.Option(help="Scene to take pixels from. Default: a simulated scene."),
    ] = None,
    pixels: Annotated[int, typer.Option(min=16, help="Approximate number of pixels per run.")] = 512,
    rounds: Annotated[
        int,
        typer.Option(
            min=1, help="Number of rounds. In each round every way to run the model takes its turn."
        ),
    ] = 7,
    device: Device = "auto",
    threads: Threads = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Measure the speed and drift of each way to run a model.

    The results are compared with PyTorch if it is installed.

    Example: tessera-engine bench demo

    Example: tessera-engine bench demo --device cuda --pixels 16384
    """
    from tessera_engine.backends.choosing import choose, make_backend
    from tessera_engine.cli import console
    from tessera_engine.cli.pages.bench import Runner, compare, stage_shares
    from tessera_engine.machine import check_threads
    from tessera_engine.model.installed import open_model, precisions
    from tessera_engine.scenes.sampling import sample_observations

    threads = check_threads(threads)
    device = choose("auto", device).device
    files = {precision: open_model(model, precision) for precision in precisions(model)}
    ways, baselines = _ways_to_run(files, threads, device)
    observations = sample_observations(scene, files["fp32"].facts, pixels)
    with ExitStack() as stack:
        runners = {}
        with console.progress_bar("starting", quiet, "runtimes") as progress:
            for i, (name, make) in enumerate(ways.items()):
                try:
                    runners[name] = stack.enter_context(Runner(make, observations, threads))
                except InputError as missing:
                    # On a GPU, any of the runtimes may be missing
                    if device != "cuda" and not isinstance(missing, MissingExtra):
                        raise
                    console.say(f"note: {missing}", quiet)
                progress(i + 1, len(ways))
        if not runners:
            raise InputError(
                "no backend can run this model here; 'tessera-engine doctor' shows what is missing"
            )
        baselines = [name for name in baselines if name in runners]
        if not baselines:
            baselines = ["onnxruntime fp32" if "onnxruntime fp32" in runners else next(iter(runners))]
            console.say(f"note: PyTorch is not available for this, so the baseline is {baselines[0]}", quiet)
        with console.progress_bar("measuring", quiet, "runs") as progress:
            rows = compare(runners, baselines, rounds, progress)
    precision = "fp32" if device == "cuda" or "int8" not in files else "int8"
    shares = stage_shares(scene, make_backend(files[precision], "auto", threads, device))
    if json:
        console.print_json({"rows": [asdict(row) for row in rows], "stages": shares})
        return
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
    console.say(
        f"{model}: {rows[0].drift.pixels} px, {threads} thread(s), median of {rounds} alternating rounds; "
        f"baseline: the fastest of {', '.join(baselines)} in each round",
        quiet,
    )
    listed = ", ".join(f"{stage} {share:.1%}" for stage, share in shares.items())
    console.say(f"share of embed's wall time in {precision}: {listed}", quiet)


def _ways_to_run(
    files: dict[str, ModelFile], threads: int, device: str
) -> tuple[dict[str, MakeBackend], list[str]]:
    """All ways to run a model on a device, by name, the reference's first; and the names of the reference's."""
    from tessera_engine.backends.choosing import make_backend
    from tessera_engine.backends.registry import backend_names, backend_record
    from tessera_engine.cli.reference import find_reference
    from tessera_engine.model.facts import GPU_PRECISIONS

    ways: dict[str, MakeBackend] = {}
    reference = find_reference()
    if reference is not None and reference.baselines is not None and reference.find(device).version:
        ways |= reference.baselines(files["fp32"], threads, device)
    baselines = list(ways)
    for name in backend_names():
        record = backend_record(name)
        if record.baselines is not None:
            continue
        for precision, file in files.items():
            for_gpus = device == "cpu" and precision in GPU_PRECISIONS
            if precision in record.runs.get(device, ()) and not for_gpus:
                ways[f"{name} {precision}"] = partial(make_backend, file, name, threads, device)
    return ways, baselines
