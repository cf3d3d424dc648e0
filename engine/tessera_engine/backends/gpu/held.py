"""Named memory of a device and pinned memory of this machine. It grows as needed and never shrinks."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

LEAST_BYTES = 256
"""Smallest allocation, and the alignment of addresses that runtimes need."""


class Allocator(Protocol):
    """What gives memory; see `tessera_engine.backends.gpu.device.Device`."""

    def allocate(self, size: int) -> int: ...  # noqa: D102
    def free(self, address: int) -> None: ...  # noqa: D102
    def pinned(self, size: int) -> NDArray[np.uint8]: ...  # noqa: D102
    def unpin(self, array: NDArray[np.uint8]) -> None: ...  # noqa: D102


class Held:
    """Memory by name."""

    def __init__(self, device: Allocator) -> None:
        self._device = device
        self._pinned: dict[str, NDArray[np.uint8]] = {}
        self._held: dict[str, tuple[int, int]] = {}

    def array(self, name: str, size: int) -> NDArray[np.uint8]:
        """`size` bytes of pinned memory with this name.

        Raises:
            OutOfDeviceMemory: too few are free.
        """
        held = self._pinned.get(name)
        if held is None or len(held) < size:
            if held is not None:
                self._device.unpin(self._pinned.pop(name))
            held = self._pinned[name] = self._device.pinned(max(LEAST_BYTES, size))
        return held[:size]

    def memory(self, name: str, size: int) -> int:
        """Address of at least `size` bytes on the device with this name.

        Raises:
            OutOfDeviceMemory: too few are free.
        """
        address, held = self._held.get(name, (0, 0))
        if held < size:
            if held:
                self._device.free(self._held.pop(name)[0])
            address = self._device.allocate(max(LEAST_BYTES, size))
            self._held[name] = address, max(LEAST_BYTES, size)
        return address

    def drop(self) -> None:
        """Release all of it. No work that uses it may be queued."""
        for address, _ in self._held.values():
            self._device.free(address)
        for array in self._pinned.values():
            self._device.unpin(array)
        self._held, self._pinned = {}, {}
