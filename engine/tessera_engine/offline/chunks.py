"""Chunks of Zarr arrays are looked at before a C library decodes them.

numcodecs believes what a chunk says. A damaged chunk makes Blosc read beyond its end, which can end the process.
12 bytes that claim to be many texts take gigabytes and minutes. 1.5 MB of zlib can decode to 1.5 GB, though the array
has chunks of some kilobytes.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from typing import Any

LARGEST_CHUNK = 2**28
"""Bytes of a chunk at most when decoded: a chunk is read as a whole. One date of a Sentinel-2 tile has 241 million."""

_MORE = 2**24
"""Bytes that a chunk may have beyond those of its array, for example for checksums."""

_most: ContextVar[int] = ContextVar("_most", default=LARGEST_CHUNK)
"""zarr decodes in other threads, with a copy of the context of whoever reads."""

_BLOSC_HEADER = 16
"""Bytes: versions, flags, size of a value; then the sizes of the values, of a block and of the chunk, 4 bytes each.
https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst"""

_ZSTD_FRAME, _ZSTD_SKIPPED = b"\x28\xb5\x2f\xfd", 0x184D2A50
_ZSTD_BLOCK = 2**17
"""Bytes of a block at most when decoded; https://www.rfc-editor.org/rfc/rfc8878 section 3.1.1.2.4."""


@contextmanager
def decoded_chunks_of(expected: int) -> Iterator[None]:
    """Within the block, chunks that decode to clearly more than the expected bytes raise a ValueError."""
    token = _most.set(min(expected + _MORE, LARGEST_CHUNK))
    try:
        yield
    finally:
        _most.reset(token)


@cache
def guard_chunks() -> None:
    """Let numcodecs raise a ValueError for such chunks, in this process. Whatever is valid is decoded as before.

    Without `decoded_chunks_of`, a chunk may decode to `LARGEST_CHUNK` bytes.
    """
    from numcodecs import BZ2, LZ4, LZMA, Blosc, GZip, VLenArray, VLenBytes, VLenUTF8, Zlib, Zstd

    _check_before(Blosc, _check_blosc)
    _check_before(LZ4, lambda chunk: _check_size(struct.unpack_from("<I", chunk)[0] if len(chunk) > 4 else 0))
    _check_before(Zstd, lambda chunk: _check_size(zstd_size(chunk)))
    for texts in (VLenArray, VLenBytes, VLenUTF8):
        _check_before(texts, _check_texts)
    for codec, decode in ((Zlib, _zlib), (GZip, _gzip), (BZ2, _bz2), (LZMA, _lzma)):
        _replace(codec, decode)


def _check_before(codec: Any, check: Callable[[memoryview], None]) -> None:
    decode = codec.decode

    @wraps(decode)
    def checked(self: Any, buf: Any, out: Any = None) -> Any:
        check(_bytes(buf))
        return decode(self, buf, out)

    codec.decode = checked


def _replace(codec: Any, decode: Callable[[Any, memoryview, int], bytes]) -> None:
    """Decode by a function that stops after some bytes: these formats don't say how many there will be."""
    from numcodecs.compat import ensure_contiguous_ndarray, ndarray_copy

    @wraps(codec.decode)
    def bounded(self: Any, buf: Any, out: Any = None) -> Any:
        most = _most.get()
        values = decode(self, _bytes(buf), most + 1)
        _check_size(len(values))
        return ndarray_copy(values, None if out is None else ensure_contiguous_ndarray(out))

    codec.decode = bounded


def _bytes(buf: Any) -> memoryview:
    from numcodecs.compat import ensure_contiguous_ndarray

    return memoryview(ensure_contiguous_ndarray(buf).reshape(-1).view("u1"))


def _zlib(_: Any, chunk: memoryview, most: int) -> bytes:
    decoder = zlib.decompressobj()
    values = decoder.decompress(chunk, most)
    if not decoder.eof and len(values) < most:
        raise zlib.error("incomplete or truncated stream")
    return values


def _gzip(_: Any, chunk: memoryview, most: int) -> bytes:
    return gzip.GzipFile(fileobj=io.BytesIO(chunk)).read(most)


def _bz2(_: Any, chunk: memoryview, most: int) -> bytes:
    return bz2.BZ2File(io.BytesIO(chunk)).read(most)


def _lzma(codec: Any, chunk: memoryview, most: int) -> bytes:
    return lzma.LZMAFile(io.BytesIO(chunk), format=codec.format, filters=codec.filters).read(most)


def _check_size(decoded: int) -> None:
    most = _most.get()
    if decoded > most:
        raise ValueError(f"corrupt buffer, a chunk decodes to more than {most / 1e6:,.0f} MB")


def _check_blosc(chunk: memoryview) -> None:
    if len(chunk) < _BLOSC_HEADER or struct.unpack_from("<I", chunk, 12)[0] != len(chunk):
        raise ValueError("corrupt buffer, its length is not the one that it says")
    _check_size(struct.unpack_from("<I", chunk, 4)[0])


def _check_texts(chunk: memoryview) -> None:
    # Each text has its length before it, in 4 bytes
    if len(chunk) < 4 or struct.unpack_from("<I", chunk)[0] > (len(chunk) - 4) // 4:
        raise ValueError("corrupt buffer, it is too short for as many texts as it says")


def zstd_size(chunk: memoryview) -> int:
    """Bytes to which a chunk of Zstandard decodes at most; 0 where it isn't one. https://www.rfc-editor.org/rfc/rfc8878."""
    size = at = 0
    try:
        while at < len(chunk):
            (magic,) = struct.unpack_from("<I", chunk, at)
            if magic & ~0xF == _ZSTD_SKIPPED:
                at += 8 + struct.unpack_from("<I", chunk, at + 4)[0]
                continue
            if chunk[at : at + 4] != _ZSTD_FRAME:
                break
            of_frame, at = _zstd_frame(chunk, at + 4)
            size += of_frame
    except (struct.error, IndexError):  # it is cut off, which its decoder finds
        pass
    return size


def _zstd_frame(chunk: memoryview, at: int) -> tuple[int, int]:
    """The decoded bytes of a frame, exactly or at most, and where it ends. `at` is behind its magic number."""
    descriptor = chunk[at]
    single, checksum = bool(descriptor & 0x20), bool(descriptor & 0x04)
    at += 1 + (not single) + (0, 1, 2, 4)[descriptor & 3]
    length = (1 if single else 0, 2, 4, 8)[descriptor >> 6]
    said = int.from_bytes(chunk[at : at + length], "little") + (256 if length == 2 else 0)
    at, found, last = at + length, 0, False
    while not last:
        header = int.from_bytes(bytes((chunk[at], chunk[at + 1], chunk[at + 2])), "little")
        last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
        at += 3 + (1 if kind == 1 else size)
        found += size if kind < 2 else _ZSTD_BLOCK
    return said if length else found, at + 4 * checksum
