"""The name of a result where none was given."""

from __future__ import annotations

from pathlib import Path


def default_out(path: Path, ending: str) -> Path:
    """`<name>.<ending>` in the current folder, where `<name>.embeddings` or `<name>` is the folder of embeddings."""
    return Path(f"{path.absolute().name.removesuffix('.embeddings')}.{ending}")
