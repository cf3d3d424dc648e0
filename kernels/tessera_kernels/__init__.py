"""Numba kernels: arrays in, arrays out."""

from tessera_kernels.cache import place_cache

place_cache()  # before any kernel is decorated: that is when numba looks where it may write
