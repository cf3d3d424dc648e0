"""The command `verify`, for models and for outputs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tessera_engine.backends.registry import backend_names
from tessera_engine.cli import console
from tessera_engine.cli.app import app
from tessera_engine.cli.options import Json, Threads
from tessera_engine.cli.wording import in_options
from tessera_engine.errors import CheckFailed, InputError, MissingExtra
from tessera_engine.files.nearby import unknown

if TYPE_CHECKING:
    from tessera_engine.backends.base import Backend
    from tessera_engine.running.loading import Model


@app.command()
def verify(
    target: Annotated[str, typer.Argument(help="Model name or file, or an output folder.")],
    precision: Annotated[
        str | None,
        typer.Option(help="For a model given by name: its precision, fp32 or int8."),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="For a model: checkpoint (.pt) or fp32 model file. Default: the same model in fp32."
        ),
    ] = None,
    scene: Annotated[
        str | None,
        typer.Option(
            help="For a model: scene to take pixels from. Default: a simulated scene. For an output: the scene "
            "that it was made from, to embed some places again."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="For an output: the model that made it. Default: the model named in its item.json."
        ),
    ] = None,
    backend: Annotated[
        str,
        typer.Option(
            help=f"Backend that runs the model: auto, {', '.join(backend_names())}. For outputs, auto uses the backend "
            "that produced them."
        ),
    ] = "auto",
    pixels: Annotated[
        int,
        typer.Option(
            min=2,
            help="Approximate number of pixels to compare. With as many as an output has, all are compared.",
        ),
    ] = 1024,
    seed: Annotated[
        int, typer.Option(min=0, help="For an output: random seed of the places to embed again.")
    ] = 0,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Check an output's files, or measure the drift of a model.

    For an output, it checks the sha256 and the contents of every file. With --scene it embeds random places again:
    they must be equal bit for bit if engine, backend and instruction set are the same, and otherwise within the drift
    that is allowed for the model. For a model, it measures the drift from the reference. If a check fails, the exit
    code is 1.

    Example: tessera-engine verify scene_dir.embeddings --scene scene_dir

    Example: tessera-engine verify demo --precision int8
    """
    from tessera_engine.cli.pages.info import check_no_mistyped_folder
    from tessera_engine.files.partial import finish_or_undo
    from tessera_engine.machine import check_threads
    from tessera_engine.model.installed import is_model_name

    threads = check_threads(threads)
    if backend != "auto" and backend not in backend_names():
        raise unknown("backend", backend, ("auto", *backend_names()))
    finish_or_undo(Path(target))
    # A model's name means the model; a folder of the same name is given as ./NAME
    if Path(target).is_dir() and not is_model_name(target):
        if precision is not None or reference is not None:
            raise InputError(f"{target} is an output folder; --precision and --reference are for models")
        from tessera_engine.verification.verify import verify as check

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
    threads: int,
) -> tuple[dict[str, Any], str | None]:
    from tessera_engine.model.drift import measure, threshold_for
    from tessera_engine.model.installed import open_model
    from tessera_engine.running import loading
    from tessera_engine.scenes.sampling import sample_tokens

    if reference is None and open_model(model, precision).facts.precision == "fp32":
        raise InputError(f"{model} is fp32 itself; give --reference CHECKPOINT to compare it with")
    loaded = loading.load_model(model, precision, backend, threads, console.say)
    if reference is not None and reference.suffix != ".onnx":
        truth = _open_checkpoint(reference, loaded)
    else:
        truth = loading.load_model(
            str(reference or loaded.facts.name), "fp32", "onnxruntime", threads
        ).backend
    tokens = sample_tokens(scene, loaded.facts, pixels)
    drift = measure(truth.run(tokens), loaded.backend.run(tokens))
    failures = threshold_for(loaded.facts.precision, loaded.backend.computes_on).failures(drift)
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


def _open_checkpoint(checkpoint: Path, compared: Model) -> Backend:
    from tessera_engine.cli.reference import find_reference

    reference = find_reference()
    if reference is None or reference.open_checkpoint is None:
        raise MissingExtra("torch", "export", "verify --reference CHECKPOINT")
    return reference.open_checkpoint(checkpoint, compared.backend.model)
