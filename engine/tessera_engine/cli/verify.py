"""The command `verify`, of models and of outputs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tessera_engine.backends.registry import backend_names
from tessera_engine.cli.app import Json, Threads, app, export_extra
from tessera_engine.cli.wording import in_options
from tessera_engine.errors import CheckFailed, InputError

if TYPE_CHECKING:
    from tessera_engine.backends.base import Backend


@app.command()
def verify(
    target: Annotated[str, typer.Argument(help="Model name or file, or an output folder.")],
    precision: Annotated[
        str | None,
        typer.Option(help="Of a model: fp32 or int8, when a name is given."),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Of a model: checkpoint (.pt) or fp32 model file. Default: the same model in fp32."
        ),
    ] = None,
    scene: Annotated[
        str | None,
        typer.Option(
            help="For a model: scene to take pixels from, by default a simulated one. For an output: the scene that "
            "it was made from, to embed some places of it again."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Of an output: the model that made it. Default: the one of that name."),
    ] = None,
    backend: Annotated[
        str,
        typer.Option(
            help=f"What runs the model: auto, {', '.join(backend_names())}. For an output, auto is what made it."
        ),
    ] = "auto",
    pixels: Annotated[int, typer.Option(min=2, help="About how many pixels to compare.")] = 1024,
    seed: Annotated[int, typer.Option(min=0, help="Of an output: which random places to embed again.")] = 0,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Check an output's files, or measure a model's drift from the reference; exit 1 when something is wrong.

    An output: every file's sha256, what the rasters say, and with --scene random places embedded again: bit for bit
    where the same engine, backend and instruction set made it, else within the drift that a model may have.

    Example: tessera-engine verify scene_dir.embeddings --scene scene_dir

    Example: tessera-engine verify demo --precision int8
    """
    from tessera_engine.cli import console
    from tessera_engine.cli.pages.info import check_no_mistyped_folder
    from tessera_engine.model.installed import is_model_name

    # A model's name means the model; a folder of the same name is given as ./NAME
    if Path(target).is_dir() and not is_model_name(target):
        if precision is not None or reference is not None:
            raise InputError(f"{target} is an output folder; --precision and --reference are for models")
        from tessera_engine.verify.verify import verify as check

        done = check(
            target,
            scene,
            model=model,
            backend=backend,
            pixels=pixels,
            seed=seed,
            threads=threads,
            announce=console.say,
        )
        result, failure = done.to_dict(), None
        result["not checked"] = [in_options(each) for each in done.skipped]
    else:
        if model is not None:
            raise InputError(f"{target} is not an output folder; --model is for outputs")
        if Path(target).is_dir():
            console.say(f"note: {target} is taken as the model; for the folder give ./{target}")
        check_no_mistyped_folder(target)
        result, failure = _verify_model(target, precision, reference, scene, backend, pixels, threads)
    if json:
        console.print_json(result)
    else:
        console.print_table(list(result.items()))
    if failure:
        raise CheckFailed(failure)


def _verify_model(
    model: str,
    precision: str | None,
    reference: Path | None,
    scene: str | None,
    backend: str,
    pixels: int,
    threads: int | None,
) -> tuple[dict[str, Any], str | None]:
    from tessera_engine import api
    from tessera_engine.cli import console
    from tessera_engine.model.drift import THRESHOLDS, measure
    from tessera_engine.scenes.sampling import sample_tokens

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
    failure = f"{loaded.backend.model.label} drifts beyond the threshold: {'; '.join(failures)}"
    return result, failure if failures else None
