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
    model: Annotated[str, typer.Argument(help="Model name.")] = "demo",
    scene: Annotated[
        str | None,
        typer.Option(help="Scene to take pixels from. Default: a simulated one."),
    ] = None,
    pixels: Annotated[int, typer.Option(min=16, help="About how many pixels a run has.")] = 512,
    rounds: Annotated[int, typer.Option(min=1, help="Alternating rounds.")] = 7,
    device: Device = "auto",
    threads: Threads = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Measure speed and drift of each way to run a model, beside PyTorch where it is installed.

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
    contenders, baselines = (_on_gpu if device == "cuda" else _on_cpu)(files, threads)
    observations = sample_observations(scene, files["fp32"].facts, pixels)
    with ExitStack() as stack:
        runners = {}
        with console.progress_bar("starting", quiet, "runtimes") as progress:
            for i, (name, make) in enumerate(contenders.items()):
                try:
                    runners[name] = stack.enter_context(Runner(make, observations, threads))
                except InputError as missing:
                    # On a GPU every runtime may be the one that isn't there
                    if device != "cuda" and not isinstance(missing, MissingExtra):
                        raise
                    console.say(f"note: {missing}", quiet)
                progress(i + 1, len(contenders))
        if not runners:
            raise InputError("nothing of this can be measured here; see 'tessera-engine doctor'")
        baselines = [name for name in baselines if name in runners]
        if not baselines:
            baselines = ["onnxruntime fp32" if "onnxruntime fp32" in runners else next(iter(runners))]
            console.say(f"note: there is no PyTorch for this, so the baseline is {baselines[0]}", quiet)
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
        f"baseline: {' or '.join(baselines)}, whichever was faster",
        quiet,
    )
    listed = ", ".join(f"{stage} {share:.1%}" for stage, share in shares.items())
    console.say(f"wall time of embed in {precision}: {listed}", quiet)


def _on_cpu(files: dict[str, ModelFile], threads: int) -> tuple[dict[str, MakeBackend], list[str]]:
    """Ways to run a model on the CPU, PyTorch's first, and the names of those."""
    from tessera_engine.backends.choosing import make_backend
    from tessera_engine.model.facts import GPU_PRECISIONS

    contenders: dict[str, MakeBackend] = {}
    try:
        from tessera_export.torch_backend import EAGER_BATCHES, eager_baseline
    except ModuleNotFoundError:
        pass
    else:
        for size in EAGER_BATCHES:
            contenders[f"torch eager, batch {size}"] = partial(eager_baseline, files["fp32"], threads, size)
    baselines = list(contenders)
    for backend in ("fused", "onnxruntime", "openvino"):
        for precision, file in files.items():
            if precision not in GPU_PRECISIONS:
                contenders[f"{backend} {precision}"] = partial(make_backend, file, backend, threads, "cpu")
    return contenders, baselines


def _on_gpu(files: dict[str, ModelFile], threads: int) -> tuple[dict[str, MakeBackend], list[str]]:
    """The same on the GPU."""
    from tessera_engine.backends.choosing import make_backend

    contenders: dict[str, MakeBackend] = {}
    try:
        from tessera_export.torch_backend import gpu_baselines
    except ModuleNotFoundError:
        pass
    else:
        contenders |= gpu_baselines(files["fp32"])
    baselines = list(contenders)
    for backend in ("onnxruntime", "tensorrt"):
        for precision, file in files.items():
            if precision != "int8":
                contenders[f"{backend} {precision}"] = partial(make_backend, file, backend, threads, "cuda")
    return contenders, baselines
