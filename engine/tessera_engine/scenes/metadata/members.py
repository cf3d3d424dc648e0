"""The files of products, on disk or inside zip archives, which are read without unpacking."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tessera_engine.errors import reason
from tessera_engine.scenes.products import Asset, Listing, Unusable

_METADATA_LIMIT = 64 * 2**20
"""Largest size of a metadata file, in bytes; real ones have a few MB at most."""

ZIP_ERRORS = (
    OSError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    NotImplementedError,
    RuntimeError,
    LookupError,
    ValueError,
)
"""What reading a damaged zip can raise."""

_ENCRYPTED = 0x1


class Member(NamedTuple):
    """One file, on disk or in a zip."""

    source: Path
    """the file that the user sees: the file itself, or the zip"""
    path: PurePosixPath
    """its path, from the scene folder or within the zip"""
    zipped: bool = False

    @property
    def asset(self) -> Asset:
        """The file as a raster of one band."""
        return Asset(self.source, name=f"/vsizip/{{{self.source}}}/{self.path}" if self.zipped else "")

    def read(self) -> bytes:
        """The content of a metadata file.

        Raises:
            Unusable: it can't be read, or is too large for metadata.
        """
        try:
            if not self.zipped:
                with self.source.open("rb") as file:
                    content = file.read(_METADATA_LIMIT + 1)
            else:
                with zipfile.ZipFile(self.source) as archive, archive.open(str(self.path)) as file:
                    content = file.read(_METADATA_LIMIT + 1)
        except ZIP_ERRORS as error:
            raise Unusable(f"{self.path.name} can't be read ({reason(error)}); copy it again") from None
        if len(content) > _METADATA_LIMIT:
            raise Unusable(
                f"{self.path.name} has more than {_METADATA_LIMIT:,} bytes, too many for a metadata file"
            )
        return content


def on_disk(listing: Listing) -> list[Member]:
    """The files of a scene folder."""
    return [
        Member(path, PurePosixPath(path.relative_to(listing.folder).as_posix())) for path in listing.files
    ]


def in_zip(path: Path) -> list[Member]:
    """The files in a zip, sorted; only its directory is read.

    Raises:
        Unusable: it is damaged or encrypted, or the name of a member leads out of it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
    except ZIP_ERRORS as error:
        raise Unusable(f"can't be read as a zip ({reason(error)}); copy it again") from None
    for info in infos:
        # orig_filename is the name as stored; on some systems zipfile changes `filename`
        parts = info.orig_filename.replace("\\", "/").split("/")
        if ".." in parts or not parts[0] or parts[0].endswith(":"):
            raise Unusable(f"contains a file whose name leads out of the zip ({info.orig_filename!r})")
        if info.flag_bits & _ENCRYPTED:
            raise Unusable("is encrypted; unpack it with its password first")
    return sorted(Member(path, PurePosixPath(info.filename), zipped=True) for info in infos)


def zips(listing: Listing) -> list[Path]:
    """The zip archives of a scene folder."""
    return [path for path in listing.files if path.suffix.lower() == ".zip"]
