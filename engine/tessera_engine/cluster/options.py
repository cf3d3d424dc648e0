"""What a user may ask of a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tessera_engine.errors import InputError
from tessera_engine.formats.registry import FORMATS


@dataclass(frozen=True)
class Runs:
    """What runs the model on every worker.

    Attributes:
        backend: its name.
        device: see `tessera_engine.backends.choosing.DEVICES`.
        threads: of a worker; None: as many as Dask gave it.
    """

    backend: str
    device: str = "auto"
    threads: int | None = None


def for_cells(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of `embed` for a cluster, which decides what wasn't given.

    Raises:
        InputError: an option that doesn't go with several machines.
    """
    fitting = [name for name, each in FORMATS.items() if each.in_cells is not None]
    format = options.get("format") or fitting[0]
    if format in FORMATS and format not in fitting:
        raise InputError(
            f"format={format} has files with pixels of the whole scene, which several machines can't write at the same "
            f"time; use format={' or '.join(fitting)}, and convert the output"
        )
    if options.get("append"):
        raise InputError(
            "append=True adds a scene to a store on one machine; give the scene an output of its own, or leave out "
            "cluster="
        )
    stored_as = options.get("stored_as") or "int8"
    return {**options, "format": format, "stored_as": stored_as}
