"""The command that measures models: `bench`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from tessera_engine.cli.app import Json, Quiet, app
from tessera_engine.errors import MissingExtra


@app.command()
def bench(
    model: Annotated[str, typer.Argument(help="Model name.")] = "demo",
    scene: Annotated[
        str | None,
        typer.Option(help="Scene to take pixels from. Default: a simulated one."),
    ] = None,
    pixels: Annotated[int, typer.Option(min=16, help="About how many pixels a run has.")] = 128,
    rounds: Annotated[int, typer.Option(min=1, help="Alternating rounds.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each.")] = 1,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Measure speed and drift of each way to run a model, beside PyTorch where it is installed.

    Example: tessera-engine bench demo
    """
    from tessera_engine import api, console
    from tessera_engine.backends import BACKENDS
    from tessera_engine.bench import compare, stage_shares
    from tessera_engine.model_store import precisions
    from tessera_engine.sampling import sample_tokens

    if threads > 1:
        # Seen: PyTorch at a fiftieth of its speed, because the other runtimes' idle threads spin on its cores
        console.say(
            "warning: with several threads the runtimes disturb one another in one process; "
            "don't trust ratios beyond --threads 1"
        )
    loaded = {}
    for backend in BACKENDS[1:]:
        for precision in precisions(model):
            try:
                each = api.load_model(model, precision, backend, threads, console.say)
            except MissingExtra as missing:
                console.say(f"note: {missing}", quiet)
                break
            loaded[f"{backend} {precision}"] = each
    first = next(iter(loaded.values()))
    backends = {name: each.backend for name, each in loaded.items()}
    baselines: tuple[str, ...] = ("onnxruntime fp32",)
    try:
        from tessera_export.torch_backend import eager_baselines
    except ModuleNotFoundError:
        console.say("note: PyTorch is not installed, so the baseline is ONNX Runtime in fp32", quiet)
    else:
        eager = eager_baselines(first.backend.model, first.threads)
        backends, baselines = eager | backends, tuple(eager)
    tokens = sample_tokens(scene, first.facts, pixels)
    with console.progress_bar("benchmark", quiet, "runs") as progress:
        rows = compare(backends, baselines, tokens, rounds, progress)
    shares = stage_shares(scene, api.load_model(model, precisions(model)[-1], "auto", threads).backend)
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
        f"{model}: {len(tokens)} px, {len(tokens.s2.values) / len(tokens):.0f} + "
        f"{len(tokens.s1.values) / len(tokens):.0f} tokens each, {first.threads} thread(s), median of {rounds} "
        f"alternating rounds; baseline: {' or '.join(baselines)}, whichever was faster",
        quiet,
    )
    listed = ", ".join(f"{stage} {share:.1%}" for stage, share in shares.items())
    console.say(f"wall time of embed in {precisions(model)[-1]}: {listed}", quiet)
