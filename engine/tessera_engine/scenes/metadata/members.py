"""The files of products, on disk or inside zip archives, which are read without unpacking."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tessera_engine.errors import reason
from tessera_engine.scenes.metadata.kinds import is_unfinished
from tessera_engine.scenes.metadata.listing import is_of_system
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
_MAGIC = b"PK\x03\x04"
_MAYBE_ZIP = re.compile(r"^[^.]*$|\.safe$|\.zip(?![a-z])|^S[12][A-D]_\w+_\d{8}T\d{6}_", re.I)
"""Names of downloads that browsers and tools renamed: the product's name, `X.SAFE`, `X.zip.1`, `X.zip (1)`."""

_READ_BY_GDAL = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, 9)
"""Methods of compression; 9 is Deflate64, which Windows uses for large files."""

_OTHER_METHODS = {zipfile.ZIP_BZIP2: "bzip2", zipfile.ZIP_LZMA: "lzma", 93: "Zstandard", 95: "xz"}


class Member(NamedTuple):
    """One file, on disk or in a zip."""

    source: Path
    """the file that the user sees: the file itself, or the zip"""
    path: PurePosixPath
    """its path, from the scene folder or within the zip"""
    zipped: bool = False
    stored: str = ""
    """the name that the zip has for it: some tools of Windows write backslashes"""

    @property
    def asset(self) -> Asset:
        """The file as a raster of one band."""
        if not self.zipped:
            return Asset(self.source)
        # GDAL counts braces; where the path has an odd one, it looks for `.zip` instead
        zipped = f"{{{self.source}}}" if _braces_match(str(self.source)) else str(self.source)
        return Asset(self.source, name=f"/vsizip/{zipped}/{self.path}")

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
                with (
                    zipfile.ZipFile(self.source) as archive,
                    archive.open(self.stored or str(self.path)) as file,
                ):
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
    """The files in a zip, sorted, without those that operating systems add; only its directory is read.

    Raises:
        Unusable: it is damaged or encrypted, or the name of a member leads out of it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except ZIP_ERRORS as error:
        raise Unusable(f"can't be read as a zip ({reason(error)}); copy it again") from None
    members = []
    for info in infos:
        # orig_filename is the name as stored; on some systems zipfile changes `filename`
        parts = info.orig_filename.replace("\\", "/").split("/")
        if ".." in parts or not parts[0] or parts[0].endswith(":"):
            raise Unusable(f"contains a file whose name leads out of the zip ({info.orig_filename!r})")
        if info.flag_bits & _ENCRYPTED:
            raise Unusable("is encrypted; unpack it with its password first")
        if info.compress_type not in _READ_BY_GDAL:
            method = _OTHER_METHODS.get(info.compress_type, f"method {info.compress_type}")
            raise Unusable(
                f"is compressed with {method}, expected deflate; unpack it, or zip it with deflate"
            )
        name = info.filename.replace("\\", "/")
        if not name.endswith("/") and not any(map(is_of_system, filter(_is_name, parts))):
            members.append(Member(path, PurePosixPath(name), zipped=True, stored=info.filename))
    return sorted(members)


def zips(listing: Listing) -> list[Path]:
    """The zip archives of a scene folder, whatever they are called; without zipped Zarr stores."""
    return [path for path in listing.files if is_zip(path) and not path.stem.lower().endswith(".zarr")]


def is_zip(path: Path) -> bool:
    """Whether a file is a zip: by its suffix, or by its first bytes where its name may be that of a download."""
    if path.suffix.lower() == ".zip":
        return True
    if is_unfinished(path.name) or _MAYBE_ZIP.search(path.name) is None:
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _is_name(part: str) -> bool:
    """Whether a part of a path is a name: some tools begin the paths in a zip with `./`."""
    return part != "."


def _braces_match(text: str) -> bool:
    depth = 0
    for each in text:
        depth += (each == "{") - (each == "}")
        if depth < 0:
            return False
    return depth == 0
