"""Numba kernels: arrays in, arrays out. They serve `tessera_engine`; nothing here stays the same between versions."""

from tessera_kernels import cache  # noqa: F401  # before any kernel is imported: it makes a digest of the code
from tessera_kernels.cpu import tell_numba

tell_numba()  # before any kernel is compiled
