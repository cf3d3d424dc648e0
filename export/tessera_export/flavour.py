"""Which statistics a checkpoint needs: v1.1 was trained twice, on the data of two providers."""

from __future__ import annotations

from tessera_engine.errors import InputError
from tessera_engine.model.statistics import FLAVOURS
from tessera_export.checkpoint import Checkpoint

SOURCES = {"mpc": "Planetary Computer", "aws": "Earth Search and OPERA (AWS)"}


def flavour_for(checkpoint: Checkpoint, asked: str | None) -> str:
    """The flavour of a checkpoint. The file doesn't record it, so the user has to say it if there are several.

    Args:
        checkpoint: the checkpoint.
        asked: the flavour that the user gave, if any.

    Returns:
        A key of `FLAVOURS[generation]`.

    Raises:
        InputError: the generation has no such flavour, or it has several and none was given.
    """
    generation = checkpoint.config.generation
    known = FLAVOURS[generation]
    if asked is None and len(known) == 1:
        return next(iter(known))
    if asked is not None and asked in known and asked:
        return asked
    if len(known) == 1:
        raise InputError(
            f"statistics={asked} is not available: {checkpoint.name} is a {generation} model, which has only one kind; "
            "omit statistics="
        )
    raise InputError(
        f"{checkpoint.name} is a {generation} model, of which there are two, each for the data it was trained on: "
        f"give {' or '.join(f'statistics={flavour} ({SOURCES[flavour]})' for flavour in known)}"
        + (f", not '{asked}'" if asked is not None else "")
    )
