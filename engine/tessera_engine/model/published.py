"""The published TESSERA checkpoints: their addresses and their sha256."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tessera_engine.errors import InputError, ModelError
from tessera_engine.files.checksums import file_sha256
from tessera_engine.files.nearby import nearest
from tessera_engine.files.user_folders import data_folder
from tessera_engine.progress import Progress

HOST = "https://huggingface.co"


@dataclass(frozen=True)
class Published:
    """One published checkpoint.

    Attributes:
        name: `nano`, `small`, ...
        repository: on Hugging Face.
        revision: the commit there, whose content never changes.
        bytes: size of the file.
        sha256: of the file, hex.
    """

    name: str
    repository: str
    revision: str
    bytes: int
    sha256: str

    @property
    def file_name(self) -> str:
        """Its published file name."""
        return f"student_{self.name}.pt"

    def url(self, base: str = HOST) -> str:
        """Its address on Hugging Face, or on a mirror with the same paths."""
        return f"{base.rstrip('/')}/{self.repository}/resolve/{self.revision}/ckpt/{self.file_name}"


PUBLISHED = {
    name: Published(name, f"geotessera/TESSERA-V-2.0-2B-{name[0].upper()}", revision, size, sha256)
    for name, size, revision, sha256 in (
        (
            "nano",
            4_288_221,
            "9645033fdcd5c0686bab00720e5553ce307629cf",
            "bc9929e3643dfab2744c2ce14e7c14f698703a94e9562e4e0982f9d6540b0691",
        ),
        (
            "small",
            28_488_531,
            "21760b27ff16ca7aab01986b7b3460e3027b19c6",
            "92619d4ffc2936895f145fdcf710140b58c23c860e02f01873828b10c6958d95",
        ),
        (
            "medium",
            84_163_403,
            "41db8ee5ddfcf6867f965526c2097d70c3c55c31",
            "3823be7db9d9cfc93f3c2a47c7699be82821ab4e1117d4d2befdb746941ee96e",
        ),
        (
            "large",
            175_363_923,
            "b45f24463acf3fcfe030f94735d3e817b24100d0",
            "b5f20239dbb1849c01a3e407b095aafe39b0bf764300206af78cb9b85f9ec1e1",
        ),
    )
}
"""Name -> checkpoint of the v2 students."""


def published(name: str) -> Published:
    """The published checkpoint with this name.

    Raises:
        InputError: there is none.
    """
    if name not in PUBLISHED:
        meant = nearest(name, PUBLISHED)
        hint = f"did you mean '{meant}'? Published are" if meant else "choose one of"
        raise InputError(f"no published model '{name}'; {hint} {', '.join(PUBLISHED)}")
    return PUBLISHED[name]


def published_name(sha256: str) -> str | None:
    """The name of the published checkpoint with this sha256; None if there is none."""
    return next((each.name for each in PUBLISHED.values() if each.sha256 == sha256), None)


def obtain(checkpoint: Published, source: str | None, progress: Progress | None = None) -> Path:
    """Get a checkpoint as a file on this machine, and check its sha256.

    Args:
        checkpoint: which one.
        source: None: Hugging Face. An address that ends in .pt: that file. Another address: a mirror with the same
            paths as Hugging Face. Else a file, or a folder that contains it under its published name.
        progress: called with the bytes done and the bytes in total.

    Raises:
        InputError: no such source.
        ModelError: the file is not the published one.
        TesseraError: see `download`.
    """
    if source is not None and "://" not in source:
        return _from_disk(checkpoint, Path(source))
    kept = data_folder("checkpoints") / checkpoint.file_name
    if kept.is_file() and _is(checkpoint, kept):
        return kept
    if source is None or not source.endswith(".pt"):
        source = checkpoint.url(source or HOST)
    # Only this needs a connection; models are listed and opened without its libraries
    from tessera_engine.model.download import download

    download(source, kept, checkpoint.bytes, checkpoint.sha256, progress)
    return kept


def _from_disk(checkpoint: Published, path: Path) -> Path:
    if path.is_dir():
        path = path / checkpoint.file_name
    if not path.is_file():
        raise InputError(
            f"no file {path}; give the file {checkpoint.file_name}, the folder that contains it, or an address"
        )
    if not _is(checkpoint, path):
        raise ModelError(
            f"{path} is not the published checkpoint {checkpoint.name} ({checkpoint.bytes:,} bytes, sha256 "
            f"{checkpoint.sha256[:12]}...): it is another file or a damaged one; import a checkpoint of your own with "
            "'tessera-engine model import'"
        )
    return path


def _is(checkpoint: Published, path: Path) -> bool:
    return path.stat().st_size == checkpoint.bytes and file_sha256(path) == checkpoint.sha256
