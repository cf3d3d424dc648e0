"""The reference, against which `bench` and `verify` measure: the backend `torch`, which the export package adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tessera_engine.backends.base import BackendRecord

NAME = "torch"


def find_reference() -> BackendRecord | None:
    """The record of the reference; None if no installed package has it. Its library may be missing even so."""
    from tessera_engine.backends.registry import backend_names, backend_record

    return backend_record(NAME) if NAME in backend_names() else None
