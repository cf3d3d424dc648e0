"""Embeddings can be compared only if one model made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tessera_engine.errors import InputError


class Made(Protocol):
    """Embeddings, or a scene that will be embedded."""

    @property
    def path(self) -> Path:
        """The folder."""
        ...

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Facts by name, as in `Embeddings.provenance`."""
        ...

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        ...


class Stored(Made, Protocol):
    """Embeddings in a form."""

    @property
    def stored_as(self) -> str:
        """`int8` or `float32`."""
        ...


def check_stored_alike(sources: Sequence[Stored]) -> None:
    """Make sure that embeddings are stored in one form, for what works on stored values.

    Raises:
        InputError: they differ, and which.
    """
    first = sources[0]
    for other in sources[1:]:
        if other.stored_as != first.stored_as:
            raise InputError(
                f"{first.path} is stored as {first.stored_as}, {other.path} as {other.stored_as}: convert one of them, "
                "so that vectors can be compared as they are stored"
            )


def check_same_model(one: Made, other: Made) -> None:
    """Make sure that two outputs were made by the same model file and have embeddings of the same length.

    Raises:
        InputError: they differ, or one doesn't record its model.
    """
    for each in (one, other):
        if not each.provenance.get("model_sha256"):
            raise InputError(
                f"{each.path} doesn't record which model made it, so it can't be used together with other embeddings"
            )
    about, other_about = one.provenance, other.provenance
    if about["model_sha256"] != other_about["model_sha256"]:
        raise InputError(
            f"{one.path} was made by model {_named(about)}, {other.path} by {_named(other_about)}: embeddings of "
            "different models can't be compared; embed both with the same model"
        )
    if one.dim != other.dim:
        raise InputError(
            f"{one.path} has {one.dim} dimensions, {other.path} {other.dim}; give dim={min(one.dim, other.dim)}"
        )


def _named(about: Mapping[str, Any]) -> str:
    return f"{about['model']} {about['precision']} ({str(about['model_sha256'])[:12]})"
