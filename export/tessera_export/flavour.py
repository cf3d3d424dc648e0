"""Whose statistics a checkpoint is bound to: v1.1 was trained twice, on data of two providers."""

from __future__ import annotations

from tessera_engine.errors import InputError
from tessera_engine.model.statistics import FLAVOURS
from tessera_export.checkpoint import Checkpoint

SOURCES = {"mpc": "Planetary Computer", "aws": "Earth Search and OPERA (AWS)"}


def flavour_for(checkpoint: Checkpoint, asked: str | None) -> str:
    """Whose statistics the checkpoint is bound to. The file doesn't say, so where there is a choice the user has to.

    Raises:
        InputError: there is no such choice, or none was made.
    """
    generation = checkpoint.config.generation
    known = FLAVOURS[generation]
    if asked is None and len(known) == 1:
        return next(iter(known))
    if asked is not None and asked in known and asked:
        return asked
    if len(known) == 1:
        raise InputError(
            f"--statistics {asked} can't be had: {checkpoint.name} is a {generation} model, which has only one; "
            "leave --statistics out"
        )
    raise InputError(
        f"{checkpoint.name} is a {generation} model, of which there are two, each bound to what it was trained on: "
        f"add --statistics {' or '.join(f'{flavour} ({SOURCES[flavour]})' for flavour in known)}"
        + (f", not '{asked}'" if asked is not None else "")
    )
