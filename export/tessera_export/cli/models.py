"""Commands that make model files: `model import`, `model fetch`, `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tessera_engine.cli import console
from tessera_engine.cli.app import app, models
from tessera_engine.cli.embeddings import NOTHING_LEFT
from tessera_engine.cli.models import INCOMPLETE, say_added
from tessera_engine.cli.options import Quiet
from tessera_engine.cli.signals import interruptible
from tessera_export.torch_needed import torch_needed

Statistics = Annotated[
    str | None,
    typer.Option(
        help="For a v1.1 checkpoint, its training data: mpc (Planetary Computer) or aws (Earth Search, OPERA)."
    ),
]


@models.command("import")
@interruptible(INCOMPLETE, INCOMPLETE)
def model_import(
    checkpoint: Annotated[Path, typer.Argument(help="A published checkpoint, like student_nano.pt.")],
    name: Annotated[
        str | None,
        typer.Option(help="Name of the model. Default: its size."),
    ] = None,
    statistics: Statistics = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing model of that name.")
    ] = False,
) -> None:
    """Make model files from a TESSERA checkpoint.

    Makes one file in fp32 and one in int8, which embed finds by the model's name.

    Example: tessera-engine model import student_nano.pt
    """
    with torch_needed("model import"):
        from tessera_export.export import import_checkpoint

    for report in import_checkpoint(checkpoint, name, overwrite, statistics):
        console.say(report.summary())
        console.print_line(report.path)


@models.command("fetch")
@interruptible(INCOMPLETE, INCOMPLETE)
def model_fetch(
    name: Annotated[str, typer.Argument(help="A published model: nano, small, medium or large.")],
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Source instead of Hugging Face: the address of a mirror or of the file, or a local file or folder, "
            "for example on a USB stick. Model files made from the checkpoint also work.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing model of that name.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Download and import a published TESSERA model.

    The download is checked by its sha256. An interrupted download resumes when the command is given again. Only this
    command and kit use the internet.

    Example: tessera-engine model fetch nano
    """
    from tessera_engine.model.carried import add_models, is_carried
    from tessera_engine.model.published import obtain, published

    checkpoint = published(name)
    if source is not None and "://" not in source and is_carried(Path(source), checkpoint):
        say_added(add_models(source, overwrite, checkpoint), quiet)
        return
    # Report a missing PyTorch before the download, not after it
    with torch_needed("model fetch"):
        from tessera_export.export import import_checkpoint, import_targets
    import_targets(name, overwrite)
    with console.progress_bar(f"fetching {name}", quiet, "bytes") as progress:
        file = obtain(checkpoint, source, progress)
    for report in import_checkpoint(file, name, overwrite):
        console.say(report.summary(), quiet)
        console.print_line(report.path)


@app.command()
@interruptible(NOTHING_LEFT)
def export(
    checkpoint: Annotated[
        Path,
        typer.Argument(help="TESSERA checkpoint (.pt), fp32 model file (.onnx), or name of a model."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Model file to write (.onnx).")],
    precision: Annotated[str, typer.Option(help="Precision: fp32, fp16 (for GPUs) or int8.")] = "fp32",
    target: Annotated[
        str,
        typer.Option(
            help="Target of int8: onnx (CPUs), or tensorrt (GPUs: explicit Q/DQ; needs --calibrate)."
        ),
    ] = "onnx",
    calibrate: Annotated[
        list[Path] | None,
        typer.Option(
            help="Scene to calibrate int8 for tensorrt on, similar to the scenes to embed; may be repeated."
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the model in the file. Default: its size, or the model's own name."),
    ] = None,
    statistics: Statistics = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Export a checkpoint to a model file.

    The file is validated against the PyTorch reference before it gets its name.

    Example: tessera-engine export student_nano.pt -o nano.int8.onnx --precision int8

    Example: tessera-engine export demo -o demo.fp16.onnx --precision fp16

    Example: tessera-engine export demo -o demo.qdq.onnx --precision int8 --target tensorrt --calibrate scene_dir
    """
    with torch_needed("export"):
        from tessera_export.export import Description, export_model

    report = export_model(
        checkpoint,
        out,
        precision,
        target=target,
        calibrate=calibrate or (),
        statistics=statistics,
        description=Description(name),
        overwrite=overwrite,
    )
    for line in report.lines():
        console.say(line)
    console.print_line(report.path)
