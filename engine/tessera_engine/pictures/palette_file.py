"""Palettes in files, so that pictures of several scenes have the same colours.

JSON: the model by name and sha256, and the arrays of the palette, a list a row. Files come from anywhere, so everything
in them is checked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.pictures.colours import PALETTE
from tessera_engine.pictures.palette import Clusters, Palette, Projection

FORMAT = 1

MAX_BYTES = 1 << 20
"""The largest embeddings take some hundred kilobytes."""


def save_palette(path: Path, palette: Palette, about: Mapping[str, Any]) -> None:
    """Write a palette, in one step.

    Args:
        path: of the file.
        palette: what is written.
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
    unfinished = path.with_name(f"{path.name}.new")
    try:
        unfinished.write_text(json.dumps(written), encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise TesseraError(
            f"can't write {path}: {error.strerror or error}; make room or choose another place"
        ) from None


def load_palette(path: Path, kind: str, about: Mapping[str, Any], dim: int) -> Palette:
    """Read a palette for embeddings of the model that it was fitted to.

    Args:
        path: of the file.
        kind: `pca` or `clusters`.
        about: facts of the embeddings that are to be painted: `model` and `model_sha256`.
        dim: length of the embeddings.

    Raises:
        InputError: it is no palette, or of another kind, model or length.
    """
    said = _read(path)
    if said["kind"] != kind:
        raise InputError(f"{path} is a palette for --quicklook {said['kind'][:40]}, not for {kind}")
    if said["model_sha256"] != about["model_sha256"]:
        raise InputError(
            f"{path} was made with model {said['model'][:40]} ({said['model_sha256'][:12]}), the embeddings with "
            f"{about['model']} ({about['model_sha256'][:12]}): the same colour would mean something else; "
            "use a palette for each model"
        )
    if kind == "pca":
        axes, low, span = (_array(said, name, path) for name in ("axes", "low", "span"))
        whole = axes.ndim == 2 and len(axes) == 3 and low.shape == span.shape == (3,) and not (span < 0).any()
        palette: Palette = Projection(axes.T, low, span)
        there = axes.shape[-1]
    else:
        centres = _array(said, "centres", path)
        whole = centres.ndim == 2 and len(centres) <= len(PALETTE)
        palette, there = Clusters(centres), centres.shape[-1]
    if not whole:
        raise InputError(f"{path} is damaged: its tables aren't those of a palette; make the palette anew")
    if there != dim:
        raise InputError(
            f"{path} is a palette for {there} dimensions, these embeddings have {dim}; "
            "give --dim, or use another palette"
        )
    return palette


def _read(path: Path) -> dict[str, Any]:
    """What the file says; its kind and model are words."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} has {path.stat().st_size:,} bytes, a palette at most {MAX_BYTES:,}")
        said = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"can't read the palette {path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or said.get("tessera-engine palette") != FORMAT:
        raise InputError(
            f"{path} is no palette of 'tessera-engine picture'; give a file that isn't there to make one"
        )
    # They are quoted in messages, so they have to be words
    if not all(
        isinstance(said.get(key), str) and said[key].isprintable()
        for key in ("kind", "model", "model_sha256")
    ):
        raise InputError(f"{path} is damaged: it doesn't say its kind and its model; make the palette anew")
    return said


def _array(said: Mapping[str, Any], name: str, path: Path) -> NDArray[np.float32]:
    """A list, or a table, of finite numbers."""
    try:
        array = np.array(said.get(name), np.float64)
    except (TypeError, ValueError):  # no numbers, or rows of different lengths
        array = np.empty(0)
    # Of squares too, float32 can hold the sums
    if not (array.size and array.ndim and (np.abs(array) < 1e15).all()):
        raise InputError(f"{path} is damaged: '{name}' is no table of numbers; make the palette anew")
    return array.astype(np.float32)
