"""Palettes in files, so that pictures of several scenes have the same colours.

JSON: the model by name and sha256, and the arrays of the palette, a list a row. Files come from anywhere, so everything
in them is checked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError, TesseraError, reason
from tessera_engine.files import document
from tessera_engine.files.result import result_file
from tessera_engine.files.text import write_text
from tessera_engine.pictures.colours import PALETTE
from tessera_engine.pictures.palette import Clusters, Palette, Projection

FORMAT = 1

MAX_BYTES = 1 << 20
"""Size limit of a palette file. The palette of the longest embeddings takes some hundred kilobytes."""


def save_palette(path: Path, palette: Palette, about: Mapping[str, Any]) -> None:
    """Write a palette, in one step.

    Args:
        path: of the file.
        palette: the palette to write.
        about: facts of the embeddings that it was fitted to: `model` and `model_sha256`.

    Raises:
        TesseraError: it couldn't be written; nothing of it is left.
    """
    written: dict[str, Any] = {"tessera-engine palette": FORMAT}
    written |= {key: about[key] for key in ("model", "model_sha256")}
    if isinstance(palette, Projection):
        arrays = {"axes": palette.axes.T, "low": palette.low, "span": palette.span}
        written["kind"] = "pca"
    else:
        assert isinstance(palette, Clusters)
        arrays = {"centres": palette.centres}
        written["kind"] = "clusters"
    written |= {name: array.tolist() for name, array in arrays.items()}
    try:
        with result_file(path, overwrite=False, identity=None) as made:
            write_text(made, json.dumps(written))
    except OSError as error:
        raise TesseraError(
            f"can't write {path}: {error.strerror or error}; free some disk space or choose another palette="
        ) from None


def load_palette(path: Path, kind: str, about: Mapping[str, Any], dim: int) -> Palette:
    """Read a palette for embeddings of the model that it was fitted to.

    Args:
        path: of the file.
        kind: `pca` or `clusters`.
        about: facts of the embeddings to paint: `model` and `model_sha256`.
        dim: length of the embeddings.

    Raises:
        InputError: the file is not a palette, or is one of another kind, model or length.
    """
    said = _read(path)
    if said["kind"] != kind:
        raise InputError(f"{path} is a palette for quicklook={said['kind'][:40]}, not for {kind}")
    if said["model_sha256"] != about["model_sha256"]:
        raise InputError(
            f"{path} was made with model {said['model'][:40]} ({said['model_sha256'][:12]}), the embeddings with "
            f"{about['model']} ({about['model_sha256'][:12]}): the same colour would have another meaning; "
            "use one palette for each model"
        )
    if kind == "pca":
        axes = _array(said, "axes", path, list[list[float]])
        low, span = (_array(said, name, path, list[float]) for name in ("low", "span"))
        whole = axes.ndim == 2 and len(axes) == 3 and low.shape == span.shape == (3,) and not (span < 0).any()
        palette: Palette = Projection(axes.T, low, span)
        there = axes.shape[-1]
    else:
        centres = _array(said, "centres", path, list[list[float]])
        whole = centres.ndim == 2 and len(centres) <= len(PALETTE)
        palette, there = Clusters(centres), centres.shape[-1]
    if not whole:
        raise _damaged(path, "its tables don't fit together")
    if there != dim:
        raise InputError(
            f"{path} is a palette for {there} dimensions, these embeddings have {dim}; "
            f"give dim={there}, or use another palette"
        )
    return palette


def _read(path: Path) -> dict[str, Any]:
    """The content of the file; its kind and model are texts."""
    try:
        said = document.checked(document.read(path, MAX_BYTES), dict[str, Any])
        document.check_fields(said, {"tessera-engine palette": Literal[1]})
    except OSError as error:
        raise InputError(f"can't read the palette {path}: {error.strerror}") from None
    except document.Damaged as error:
        raise InputError(
            f"{path} is not a palette of 'tessera-engine picture' ({error}); give a new file name to make one"
        ) from None
    try:
        document.check_fields(said, dict.fromkeys(("kind", "model", "model_sha256"), str))
    except document.Damaged as error:
        raise _damaged(path, str(error)) from None
    return said


def _array(said: Mapping[str, Any], name: str, path: Path, kind: type[list[Any]]) -> NDArray[np.float32]:
    """A list or a table of finite numbers."""
    try:
        array = np.array(document.checked(said.get(name), kind), np.float64)
    except ValueError as error:  # no numbers, or rows of different lengths
        raise _damaged(path, f"'{name}' is not a table of numbers ({reason(error)})") from None
    # So that float32 can hold sums of squares too
    if not (array.size and (np.abs(array) < 1e15).all()):
        raise _damaged(path, f"'{name}' is not a table of numbers")
    return array.astype(np.float32)


def _damaged(path: Path, what: str) -> InputError:
    return InputError(f"{path} is damaged: {what}; delete the file and make it again")
