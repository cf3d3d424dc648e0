"""The command `verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tessera_engine.cli.app import Json, Threads, app, export_extra
from tessera_engine.errors import CheckFailed, InputError

if TYPE_CHECKING:
    from tessera_engine.backends.base import Backend


@app.command()
def verify(
    model: Annotated[str, typer.Argument(help="Model name or file.")],
    precision: Annotated[
        str | None,
        typer.Option(help="fp32 or int8, when a name is given."),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="Checkpoint (.pt) or fp32 model file. Default: the same model in fp32."),
    ] = None,
    scene: Annotated[
        str | None,
        typer.Option(help="Scene to take pixels from. Default: a simulated one."),
    ] = None,
    backend: Annotated[
        str, typer.Option(help="What runs the model: auto, fused, onnxruntime or openvino.")
    ] = "auto",
    pixels: Annotated[int, typer.Option(min=2, help="About how many pixels to compare.")] = 1024,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Measure a model's drift from the reference; exit 1 when beyond the threshold.

    Example: tessera-engine verify demo --precision int8
    """
    from tessera_engine import api, console
    from tessera_engine.drift import THRESHOLDS, measure
    from tessera_engine.sampling import sample_tokens

    loaded = api.load_model(model, precision, backend, threads, console.say)
    if reference is not None and reference.suffix != ".onnx":
        with export_extra("verify --reference CHECKPOINT"):
            from tessera_export.torch_backend import open_reference
        truth: Backend = open_reference(reference, loaded.backend.model)
    elif reference is not None or loaded.facts.precision != "fp32":
        truth = api.load_model(str(reference or loaded.facts.name), "fp32", "onnxruntime", threads).backend
    else:
        raise InputError(f"{model} is fp32 itself; give --reference CHECKPOINT to compare it with")
    tokens = sample_tokens(scene, loaded.facts, pixels)
    drift = measure(truth.run(tokens), loaded.backend.run(tokens))
    failures = THRESHOLDS[loaded.facts.precision].failures(drift)
    result = {
        "model": loaded.backend.model.label,
        "backend": loaded.backend.description,
        "reference": truth.description,
        "scene": scene or "simulated",
        **drift.to_dict(),
        "passed": not failures,
    }
    if json:
        console.print_json(result)
    else:
        console.print_table(list(result.items()))
    if failures:
        raise CheckFailed(f"{loaded.backend.model.label} drifts beyond the threshold: {'; '.join(failures)}")
