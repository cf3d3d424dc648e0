"""A tile layout for tests of the registry: a folder with one file, `all.npz`, with the arrays of a d-pixel tile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from made_up import FakeReader


def open_folder(folder: Path) -> FakeReader | None:
    """The scene in a folder; None where there is none."""
    path = folder / "all.npz"
    return FakeReader(dict(np.load(path))) if path.exists() else None
