"""Arrays and facts in one file, without pickle and without compression: the layout of safetensors.

    8 bytes             length of the header, little-endian
    header              JSON: name -> dtype, shape, place; `__metadata__` -> format, facts (JSON as text), sha256
    data                the arrays one after the other, without gaps

Nothing in such a file is run, and nothing in it makes a reader take more memory than it has. The checksum is of the
facts, the table of arrays and the data.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tessera_engine.files.document import Damaged, checked, parse

_DTYPES = {"F32": "float32", "F64": "float64", "I32": "int32", "I64": "int64", "U8": "uint8"}
METADATA = "__metadata__"

MOST_HEADER = 1 << 23
"""Bytes of a header: 254 classes with their confusions take less than one megabyte."""


class _Place(msgspec.Struct, forbid_unknown_fields=True):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


class _Metadata(msgspec.Struct, forbid_unknown_fields=True):
    format: str
    facts: str
    sha256: str


def pack(format: str, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of a file; the same for the same facts and arrays.

    Args:
        format: what the file is, with a version.
        facts: plain values.
        arrays: by name, of a dtype in `_DTYPES`.
    """
    named = {name: dtype for dtype, name in _DTYPES.items()}
    table, parts, end = {}, [], 0
    # The widest first, so that each array is aligned
    for name, array in sorted(arrays.items(), key=lambda each: (-each[1].itemsize, each[0])):
        content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        table[name] = {
            "dtype": named[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [end, end + len(content)],
        }
        end += len(content)
        parts.append(content)
    data, text = b"".join(parts), json.dumps(facts, ensure_ascii=False, allow_nan=False)
    metadata = {"format": format, "facts": text, "sha256": _sum(format, text, table, data)}
    header = json.dumps({METADATA: metadata, **table}, ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data


def unpack(format: str, content: bytes) -> tuple[Any, dict[str, NDArray[Any]]]:
    """The facts and the arrays of a file.

    Args:
        format: what the file must be.
        content: its bytes.

    Raises:
        Damaged: it is no such file, of another format, or not as it was written.
    """
    size = int.from_bytes(content[:8], "little")
    if len(content) < 8 or not 2 <= size <= min(MOST_HEADER, len(content) - 8) or content[8:9] != b"{":
        raise Damaged("not a file of this kind")
    table, data = parse(content[8 : 8 + size]), content[8 + size :]
    metadata = checked(table.pop(METADATA, None) if isinstance(table, dict) else None, _Metadata)
    if metadata.format != format:
        raise Damaged(f"the format is {metadata.format[:60]!r}, expected {format!r}")
    places = checked(table, dict[str, _Place])
    arrays, end = {}, 0
    for name, place in sorted(places.items(), key=lambda each: each[1].data_offsets):
        if place.dtype not in _DTYPES:
            raise Damaged(f"an array has the type {place.dtype[:20]!r}, expected {', '.join(_DTYPES)}")
        dtype = np.dtype(_DTYPES[place.dtype]).newbyteorder("<")
        start, stop = place.data_offsets
        if (
            start != end
            or len(place.shape) > 8
            or any(not 0 <= axis <= len(data) for axis in place.shape)
            or math.prod(place.shape) * dtype.itemsize != stop - start
            or stop > len(data)
        ):
            raise Damaged("the arrays don't lie one after the other, each as large as its shape")
        arrays[name] = (
            np.frombuffer(data[start:stop], dtype).reshape(place.shape).astype(_DTYPES[place.dtype])
        )
        end = stop
    if end != len(data):
        raise Damaged(f"{len(data) - end} bytes belong to no array")
    if metadata.sha256 != _sum(format, metadata.facts, table, data):
        raise Damaged("its checksum is another; it was changed or cut")
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise Damaged(f"'{name[:60]}' has values that aren't finite")
    return parse(metadata.facts), arrays


def _sum(format: str, facts: str, table: Mapping[str, Any], data: bytes) -> str:
    head = json.dumps([format, facts, table], sort_keys=True).encode("utf-8", "surrogatepass")
    return hashlib.sha256(head + b"\0" + data).hexdigest()
