"""Commands about model files: `model list`, `model import`, `model fetch`, `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tessera_engine.cli.app import Json, Quiet, app, export_extra, models

Statistics = Annotated[
    str | None,
    typer.Option(help="Of a v1.1 checkpoint: mpc (Planetary Computer) or aws (Earth Search and OPERA)."),
]


@models.command("list")
def model_list(json: Json = False) -> None:
    """List the models on this machine.

    Example: tessera-engine model list
    """
    from tessera_engine.cli import console
    from tessera_engine.model.file import read_model_file
    from tessera_engine.model.installed import list_models

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
    statistics: Statistics = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model of that name.")] = False,
) -> None:
    """Turn a TESSERA checkpoint into model files (fp32 and int8) that embed finds by name.

    Example: tessera-engine model import student_nano.pt
    """
    from tessera_engine.cli import console

    with export_extra("model import"):
        from tessera_export.export import import_checkpoint

    for report in import_checkpoint(checkpoint, name, overwrite, statistics):
        console.say(report.summary())
        print(report.path)


@models.command("fetch")
def model_fetch(
    name: Annotated[str, typer.Argument(help="A published model: nano, small, medium or large.")],
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Instead of Hugging Face: the address of a mirror of it, or of the file; or the file or its folder, "
            "on a USB stick for example.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model of that name.")] = False,
    quiet: Quiet = False,
) -> None:
    """Download a published TESSERA checkpoint, check its sha256, and import it.

    The only command that uses the network. A stopped download goes on when the command is given again.

    Example: tessera-engine model fetch nano
    """
    from tessera_engine.cli import console
    from tessera_engine.model.published import obtain, published

    checkpoint = published(name)
    # Said before a download, not after it
    with export_extra("model fetch"):
        from tessera_export.export import import_checkpoint, import_targets
    import_targets(name, overwrite)
    try:
        with console.progress_bar(f"fetching {name}", quiet, "bytes") as progress:
            file = obtain(checkpoint, source, progress)
    except KeyboardInterrupt:
        console.say("interrupted: what came is kept; give the same command again to go on")
        raise typer.Exit(130) from None
    for report in import_checkpoint(file, name, overwrite):
        console.say(report.summary(), quiet)
        print(report.path)


@app.command()
def export(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="A TESSERA checkpoint (.pt), an fp32 model file (.onnx), or the name of a model."
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Model file to write (.onnx).")],
    precision: Annotated[str, typer.Option(help="fp32, fp16 (for GPUs) or int8.")] = "fp32",
    target: Annotated[
        str,
        typer.Option(
            help="What int8 is for: onnx (CPUs), or tensorrt (GPUs: explicit Q/DQ, with --calibrate)."
        ),
    ] = "onnx",
    calibrate: Annotated[
        list[Path] | None,
        typer.Option(
            help="A scene to find the scales of int8 for tensorrt on, like those to embed; may be repeated."
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name in the file. Default: its size, or the model's."),
    ] = None,
    statistics: Statistics = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Export a checkpoint to one model file, and validate it against the reference.

    Example: tessera-engine export student_nano.pt -o nano.int8.onnx --precision int8

    Example: tessera-engine export demo -o demo.fp16.onnx --precision fp16

    Example: tessera-engine export demo -o demo.qdq.onnx --precision int8 --target tensorrt --calibrate scene_dir
    """
    from tessera_engine.cli import console

    with export_extra("export"):
        from tessera_export.export import export_model

    report = export_model(
        checkpoint,
        out,
        precision,
        target=target,
        calibrate=calibrate or (),
        statistics=statistics,
        name=name,
        overwrite=overwrite,
    )
    for line in report.lines():
        console.say(line)
    print(report.path)
