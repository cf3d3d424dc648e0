"""Numba kernels: arrays in, arrays out."""

from tessera_kernels.cache import place_cache
from tessera_kernels.cpu import tell_numba

place_cache()  # before any kernel is decorated, which is when numba checks where it may write
tell_numba()  # before any kernel is compiled
