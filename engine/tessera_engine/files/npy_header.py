"""The header of an .npy file, read strictly.

NumPy's own reader accepts old forms of headers and structured types, evaluates more than is needed here, and raises
many kinds of exceptions; its shapes may overflow when multiplied as 64-bit integers.
"""

from __future__ import annotations

import ast
import math
from typing import Any, BinaryIO

import numpy as np

LONGEST = 10_000
"""Bytes of a header at most; NumPy writes 128."""

KINDS = "biuf"
"""Accepted kinds of dtypes: bool, whole numbers, floats. Never objects."""


def read_npy_header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Read the header of a C-ordered array of plain numbers.

    Args:
        file: opened at its beginning; afterwards it is at the start of the data.

    Returns:
        Shape, dtype, and the position of the data.

    Raises:
        ValueError: it is not such a header; the message is one line.
    """
    start = file.read(8)
    length_bytes = {b"\x93NUMPY\x01\x00": 2, b"\x93NUMPY\x02\x00": 4}.get(start)
    if length_bytes is None:
        raise ValueError("not an .npy file of version 1 or 2")
    length = int.from_bytes(file.read(length_bytes), "little")
    text = file.read(min(length, LONGEST))
    if len(text) != length:
        raise ValueError("header cut short, or too long")
    try:
        header = ast.literal_eval(text.decode("latin-1").strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ValueError("a header that can't be read") from None
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise ValueError("header without descr, fortran_order and shape")
    shape, descr, fortran_order = header["shape"], header["descr"], header["fortran_order"]
    if not isinstance(shape, tuple) or not all(type(size) is int and 0 <= size < 1 << 48 for size in shape):
        raise ValueError("an invalid shape")
    if not isinstance(descr, str) or type(fortran_order) is not bool:
        raise ValueError("values that are not plain numbers")
    try:
        dtype = np.dtype(descr)
    except (TypeError, ValueError, SyntaxError):
        raise ValueError("an invalid dtype") from None
    if dtype.hasobject:
        raise ValueError("Python objects, which are never loaded")
    if dtype.kind not in KINDS:
        raise ValueError(f"values of dtype {dtype}, which are not plain numbers")
    if fortran_order and sum(size > 1 for size in shape) > 1:
        raise ValueError("Fortran order, use numpy.ascontiguousarray first")
    return shape, dtype, 8 + length_bytes + length


def bytes_of(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Bytes that an array takes, as a Python int that can't overflow."""
    return dtype.itemsize * math.prod(shape)
