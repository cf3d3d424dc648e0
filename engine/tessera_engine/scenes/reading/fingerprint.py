"""The part of a scene's fingerprint that comes from its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

SAMPLE_BYTES = 4096


def add_file(digest: Any, path: Path, name: str, samples: int) -> None:
    """Add a file's name, size and content to a digest.

    Args:
        digest: of hashlib.
        path: the file.
        name: by which the scene knows it.
        samples: how many evenly spaced blocks of `SAMPLE_BYTES` are read, because a scene has gigabytes.
    """
    size = path.stat().st_size
    digest.update(f"{name} {size}\n".encode())
    with path.open("rb") as file:
        for start in np.linspace(0, max(0, size - SAMPLE_BYTES), samples).astype(int):
            file.seek(int(start))
            digest.update(file.read(SAMPLE_BYTES))
