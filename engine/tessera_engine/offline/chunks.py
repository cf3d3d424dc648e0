"""Chunks of Zarr arrays are looked at before a C library decodes them.

numcodecs believes what the first bytes of a chunk say. A damaged chunk makes Blosc read beyond its end, which can end
the process, and 12 bytes that claim to be many texts take gigabytes and minutes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

_BLOSC_HEADER = 16
"""Bytes: versions, flags, size of a value; then the sizes of the values, of a block and of the chunk, 4 bytes each.
https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst"""


@cache
def guard_chunks() -> None:
    """Let numcodecs raise a ValueError for such chunks, in this process. Whatever is valid is decoded as before."""
    from numcodecs import Blosc, VLenArray, VLenBytes, VLenUTF8

    _check_before(Blosc, _check_blosc)
    for texts in (VLenArray, VLenBytes, VLenUTF8):
        _check_before(texts, _check_texts)


def _check_before(codec: Any, check: Callable[[bytes, int], None]) -> None:
    from numcodecs.compat import ensure_contiguous_ndarray

    decode = codec.decode

    @wraps(decode)
    def checked(self: Any, buf: Any, out: Any = None) -> Any:
        content = ensure_contiguous_ndarray(buf).reshape(-1).view("u1")
        check(content[:_BLOSC_HEADER].tobytes(), content.nbytes)
        return decode(self, buf, out)

    codec.decode = checked


def _check_blosc(start: bytes, size: int) -> None:
    if len(start) < _BLOSC_HEADER or struct.unpack_from("<I", start, 12)[0] != size:
        raise ValueError("corrupt buffer, its length is not the one that it says")


def _check_texts(start: bytes, size: int) -> None:
    # Each text has its length before it, in 4 bytes
    if len(start) < 4 or struct.unpack_from("<I", start)[0] > (size - 4) // 4:
        raise ValueError("corrupt buffer, it is too short for as many texts as it says")
