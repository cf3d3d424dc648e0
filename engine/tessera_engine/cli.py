"""The command line: parses, calls, prints. Whatever is heavy is imported by the command that needs it."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tessera_engine.errors import CheckFailed, InputError, MissingExtra, TesseraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tessera_engine.backends.base import Backend
    from tessera_engine.scene import Scene, Window

DEBUG_VARIABLE = "TESSERA_ENGINE_DEBUG"

app = typer.Typer(
    help="Turn a year of Sentinel-2 and Sentinel-1 over a place into TESSERA embeddings, offline.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models = typer.Typer(help="Models on this machine.", no_args_is_help=True)
app.add_typer(models, name="model")

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and no notes.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads. Default: all.")]


def main() -> None:
    """Entry point: expected errors are one line on stderr and an exit code."""
    try:
        app(prog_name="tessera-engine")
    except TesseraError as error:
        if os.environ.get(DEBUG_VARIABLE):
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _version(show: bool) -> None:
    if show:
        from importlib.metadata import version

        print(f"tessera-engine {version('tessera-engine')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
def embed(
    scene: Annotated[str, typer.Argument(help="Scene folder: a d-pixel tile or a folder of them.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Output folder. Default: SCENE's name + '.embeddings', here."),
    ] = None,
    model: Annotated[str, typer.Option(help="Model name or file; see 'model list'.")] = "demo",
    int8: Annotated[
        bool, typer.Option("--int8", help="Run the network in int8 and store int8 codes with scales.")
    ] = False,
    precision: Annotated[
        str | None,
        typer.Option(help="Of the network alone: fp32 or int8."),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(help="What is stored: int8 or float32."),
    ] = None,
    dim: Annotated[
        int | None,
        typer.Option(help="Keep the first 16, 32, 64 or 128 dimensions. Default: all."),
    ] = None,
    backend: Annotated[
        str, typer.Option(help="What runs the model: auto, fused, onnxruntime or openvino.")
    ] = "auto",
    format: Annotated[str, typer.Option(help="cog (GeoTIFFs) or npy (the published layout).")] = "cog",
    window: Annotated[
        tuple[int, int, int, int] | None,
        typer.Option(help="Only this part, in pixels.", metavar="COL ROW WIDTH HEIGHT"),
    ] = None,
    bbox: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option(help="Only this part, in degrees.", metavar="W S E N"),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(help="Most memory to use, like 2GB. Default: half of what is free, at most 4GB."),
    ] = None,
    threads: Threads = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier output.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Make warnings about the scene errors.")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Embed a scene: GeoTIFFs, a quicklook and a STAC item in one folder.

    Example: tessera-engine embed scene_dir/ --int8
    """
    from tessera_engine import api, console
    from tessera_engine.memory import parse_size
    from tessera_engine.scenes import open_scene

    if int8 and precision not in (None, "int8"):
        raise InputError("--int8 and --precision fp32 contradict each other; use --precision and --store")
    wanted = "int8" if int8 else precision
    opened = open_scene(scene)
    _warn(opened, strict, quiet)
    loaded = api.load_model(model, wanted, backend, threads, lambda text: console.say(text, quiet))
    facts = loaded.facts
    if facts.name == "demo":
        console.say(
            "note: the demo model shows how the engine works; it is not a published TESSERA model "
            "('tessera-engine model import' brings one)",
            quiet,
        )
    region = _region(opened, window, bbox)
    console.say(
        f"{opened.name}: {region.width} x {region.height} px, model {facts.name} {facts.precision}, "
        f"{loaded.backend.description}, {loaded.threads} threads",
        quiet,
    )
    with _interruptible(), console.progress_bar("embedding", quiet, "px") as progress:
        done = api.embed(
            opened,
            loaded,
            out,
            window=region,
            dim=dim,
            store="int8" if int8 and store is None else store,
            format=format,
            memory=parse_size(memory) if memory else None,
            overwrite=overwrite,
            progress=progress,
        )
    total = sum(done.seconds.values())
    if json:
        console.print_json(
            {
                "out": str(done.out),
                "pixels": done.pixels,
                "with_data": done.with_data,
                "seconds": {stage: round(seconds, 3) for stage, seconds in done.seconds.items()},
                "warnings": list(opened.reader.warnings),
            }
        )
    else:
        print(done.out)
    console.say(
        f"{done.with_data:,} of {done.pixels:,} px embedded in {total:.1f} s; "
        f"look at {done.out / 'quicklook.png'}",
        quiet,
    )


@app.command()
def info(
    target: Annotated[str, typer.Argument(help="Scene folder, output folder, model name or model file.")],
    json: Json = False,
) -> None:
    """Show what is in a scene, a model or an output.

    Example: tessera-engine info scene_dir/
    """
    from tessera_engine import console
    from tessera_engine.info import describe

    described = describe(target)
    if json:
        console.print_json(described)
        return
    console.print_table(list(described.items()))


@models.command("list")
def model_list(json: Json = False) -> None:
    """List the models on this machine.

    Example: tessera-engine model list
    """
    from tessera_engine import console
    from tessera_engine.model_file import read_model_file
    from tessera_engine.model_store import list_models

    opened = [read_model_file(path) for path in list_models()]
    if json:
        console.print_json(
            [
                {
                    "name": m.facts.name,
                    "precision": m.facts.precision,
                    "size": m.facts.size,
                    "file": str(m.path),
                }
                for m in opened
            ]
        )
        return
    rows = [
        (
            m.facts.name,
            m.facts.precision,
            m.facts.size,
            f"{m.path.stat().st_size / 1e6:.1f} MB",
            m.facts.licence,
            str(m.path),
        )
        for m in opened
    ]
    console.print_table(rows, ("name", "precision", "size", "file size", "licence", "file"))


@models.command("import")
def model_import(
    checkpoint: Annotated[Path, typer.Argument(help="A published checkpoint, like student_nano.pt.")],
    name: Annotated[
        str | None,
        typer.Option(help="Name to use it by. Default: its size."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model of that name.")] = False,
) -> None:
    """Turn a TESSERA checkpoint into model files (fp32 and int8) that embed finds by name.

    Example: tessera-engine model import student_nano.pt
    """
    from tessera_engine import console

    with _export_extra("model import"):
        from tessera_export.export import import_checkpoint

    for report in import_checkpoint(checkpoint, name, overwrite):
        console.say(report.summary())
        print(report.path)


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="A TESSERA checkpoint (.pt).")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Model file to write (.onnx).")],
    precision: Annotated[str, typer.Option(help="fp32 or int8.")] = "fp32",
    name: Annotated[
        str | None,
        typer.Option(help="Name in the file. Default: its size."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Export a checkpoint to one model file, and validate it against the reference.

    Example: tessera-engine export student_nano.pt -o nano.int8.onnx --precision int8
    """
    from tessera_engine import console

    with _export_extra("export"):
        from tessera_export.export import export_model

    report = export_model(checkpoint, out, precision, name=name, overwrite=overwrite)
    console.say(report.summary())
    print(report.path)


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
        with _export_extra("verify --reference CHECKPOINT"):
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
    from tessera_engine.backends import BACKENDS
    from tessera_engine.bench import compare, stage_shares
    from tessera_engine.model_store import precisions
    from tessera_engine.sampling import sample_tokens

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
        f"{len(tokens.s1.values) / len(tokens):.0f} tokens each, {first.threads} threads, median of {rounds} "
        f"alternating rounds; baseline: {' or '.join(baselines)}, whichever was faster",
        quiet,
    )
    listed = ", ".join(f"{stage} {share:.1%}" for stage, share in shares.items())
    console.say(f"wall time of embed in {precisions(model)[-1]}: {listed}", quiet)


@app.command()
def doctor(json: Json = False) -> None:
    """Show what this machine has: instruction sets, backends, drivers, models.

    Example: tessera-engine doctor
    """
    from tessera_engine import console
    from tessera_engine.doctor import examine

    found = examine()
    if json:
        console.print_json(found)
    else:
        console.print_table(list(found.items()))


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(help="Folder to make.")],
    size: Annotated[int, typer.Option(min=1, help="Pixels a side.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same scene.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Make up a scene, as a d-pixel tile: fields, forest, water, clouds, both orbits, and the true cover.

    Example: tessera-engine simulate scene_dir --size 256
    """
    from tessera_engine import console
    from tessera_engine.simulate import simulate as make

    with _interruptible(), console.progress_bar("simulating", quiet, "dates") as progress:
        make(folder, size, seed, progress)
    print(folder)


def _warn(scene: Scene, strict: bool, quiet: bool) -> None:
    from tessera_engine import console

    warnings = scene.reader.warnings
    if strict and warnings:
        raise InputError(f"{scene.path}: {'; '.join(warnings)} (an error because of --strict)")
    for warning in warnings:
        console.say(f"warning: {warning}", quiet)


def _region(scene: Scene, window: Any, bbox: Any) -> Window:
    from tessera_engine.region import check_window, window_of_bbox
    from tessera_engine.scene import Window

    if window and bbox:
        raise InputError("--window and --bbox can't both be given")
    if bbox:
        return window_of_bbox(scene.grid, bbox)
    return check_window(scene.grid, Window(*window)) if window else scene.grid.window


@contextmanager
def _interruptible() -> Iterator[None]:
    """Say what Ctrl-C has left: nothing."""
    try:
        yield
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        raise typer.Exit(130) from None


@contextmanager
def _export_extra(purpose: str) -> Iterator[None]:
    """The command line sits above all rooms; the engine below it never imports the export room."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtra("torch", "export", purpose) from None
