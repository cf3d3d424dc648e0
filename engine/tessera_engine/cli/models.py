"""The command `model list`. The export package adds `model import` and `model fetch`, which need PyTorch."""

from __future__ import annotations

from tessera_engine.cli.app import Json, models


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
