"""The command `bench`."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from typing import Annotated

import typer

from tessera_engine.cli.app import Json, Quiet, Threads, app
from tessera_engine.errors import MissingExtra


@app.command()
def bench(
    model: Annotated[str, typer.Argument(help="Model name.")] = "demo",
    scene: Annotated[
        str | None,
        typer.Option(help="Scene to take pixels from. Default: a simulated one."),
    ] = None,
    pixels: Annotated[int, typer.Option(min=16, help="About how many pixels a run has.")] = 512,
    rounds: Annotated[int, typer.Option(min=1, help="Alternating rounds.")] = 7,
    threads: Threads = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Measure speed and drift of each way to run a model, beside PyTorch where it is installed.

    Example: tessera-engine bench demo
    """
    from tessera_engine import api, console
    from tessera_engine.backends import BACKENDS, make_backend
    from tessera_engine.bench import MakeBackend, Runner, compare, stage_shares
    from tessera_engine.model_layout import GPU_PRECISIONS
    from tessera_engine.model_store import open_model, precisions
    from tessera_engine.sampling import sample_observations

    threads = api.check_threads(threads)
    files = {
        precision: open_model(model, precision)
        for precision in precisions(model)
        if precision not in GPU_PRECISIONS
    }
    contenders: dict[str, MakeBackend] = {}
    try:
        from tessera_export.torch_backend import EAGER_BATCHES, eager_baseline
    except ModuleNotFoundError:
        console.say("note: PyTorch is not installed, so the baseline is ONNX Runtime in fp32", quiet)
        baselines = ["onnxruntime fp32"]
    else:
        for size in EAGER_BATCHES:
            contenders[f"torch eager, batch {size}"] = partial(eager_baseline, files["fp32"], threads, size)
        baselines = list(contenders)
    for backend in BACKENDS[1:]:
        for precision, file in files.items():
            contenders[f"{backend} {precision}"] = partial(make_backend, file, backend, threads)
    observations = sample_observations(scene, files["fp32"].facts, pixels)
    with ExitStack() as stack:
        runners = {}
        with console.progress_bar("starting", quiet, "runtimes") as progress:
            for i, (name, make) in enumerate(contenders.items()):
                try:
                    runners[name] = stack.enter_context(Runner(make, observations, threads))
                except MissingExtra as missing:
                    console.say(f"note: {missing}", quiet)
                progress(i + 1, len(contenders))
        with console.progress_bar("measuring", quiet, "runs") as progress:
            rows = compare(runners, baselines, rounds, progress)
    precision, file = list(files.items())[-1]
    shares = stage_shares(scene, make_backend(file, "auto", threads))
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
