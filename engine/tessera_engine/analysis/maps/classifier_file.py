"""The file of a classifier: read within limits, and told from other files."""

from __future__ import annotations

from pathlib import Path

from tessera_engine.analysis.maps.classifier import Classifier
from tessera_engine.errors import ModelError
from tessera_engine.files.document import Damaged

SUFFIX = ".model"

MAX_BYTES = 1 << 29
"""A forest of 20,000 labels and 8 classes has 80 MB."""


def read_classifier(path: Path) -> Classifier:
    """Read a file that `map --save` wrote.

    Raises:
        ModelError: it can't be read, is no such file, or was changed.
    """
    return parse_classifier(path, read_content(path))


def parse_classifier(path: Path, content: bytes) -> Classifier:
    """The classifier of the bytes of a file.

    Raises:
        ModelError: it is none, or was changed.
    """
    try:
        return Classifier.of_bytes(content)
    except Damaged as error:
        raise ModelError(
            f"{path} is not a classifier that this engine can use: {error}; save it again with map"
        ) from None


def is_classifier(path: Path) -> bool:
    """Whether a file begins like a saved classifier; False where it can't be read."""
    try:
        with path.open("rb") as file:
            return begins_like_classifier(file.read(9))
    except OSError:
        return False


def begins_like_classifier(content: bytes) -> bool:
    """Whether bytes begin with the length of a header, below 2**24, and the header. No ONNX file has zeros there."""
    return content[3:9] == bytes(5) + b"{"


def read_content(path: Path) -> bytes:
    """The bytes of a classifier's file.

    Raises:
        ModelError: it can't be read, or is larger than any classifier.
    """
    if path.is_dir():
        raise ModelError(
            f"{path} is a folder; give the file of a classifier that map saved, or an ONNX network"
        )
    if not path.is_file():
        raise ModelError(f"no such file: {path}; expected a classifier that map saved, or an ONNX network")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ModelError(f"can't read {path}: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise ModelError(f"{path} has more than {MAX_BYTES:,} bytes, the most that a classifier may have")
    return content
