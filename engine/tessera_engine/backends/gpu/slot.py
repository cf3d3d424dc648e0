"""A slot holds one batch in progress. With two, one batch is computed while the other is filled and copied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.gpu.device import Device, Runner
from tessera_engine.backends.gpu.held import LEAST_BYTES, Held


class Slot:
    """A stream with pinned memory of this machine, memory of the device, and perhaps a batch in progress.

    Attributes:
        pixels: pixel numbers of the batch in progress; None: the slot is idle.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._stream = device.make_stream()
        self._held = Held(device)
        self._result: NDArray[np.float32] | None = None
        self.pixels: NDArray[np.int64] | None = None

    def begin(
        self,
        runner: Runner,
        inputs: Mapping[str, NDArray[Any]],
        output: str,
        dims: int,
        pixels: NDArray[np.int64],
    ) -> None:
        """Start to copy a batch to the device, compute it and copy the result back. This call doesn't wait for it.

        Args:
            runner: this slot's own runner.
            inputs: arrays of shape (B, T, ...), by name.
            output: name of the (B, dims) float32 output.
            dims: length of an embedding.
            pixels: (B,) pixel numbers, kept for `finish`.

        Raises:
            OutOfDeviceMemory: the batch is too large; the slot is then idle.
            DeviceError: the runtime reports another error.
        """
        size = 4 * len(pixels) * dims
        result = self._held.array(output, size).view(np.float32).reshape(len(pixels), dims)
        addresses = {output: self._held.memory(output, size)}
        copies = {}
        for name, array in inputs.items():
            copies[name] = self._held.array(name, array.nbytes).view(array.dtype).reshape(array.shape)
            copies[name][...] = array
            addresses[name] = self._held.memory(name, array.nbytes)
        work_bytes = max(LEAST_BYTES, runner.fit({name: array.shape for name, array in inputs.items()}))
        work = self._held.memory("work", work_bytes)
        # From here on the stream may use the memory, even after an error; `drop` and `finish` wait for it
        self.pixels, self._result = pixels, result
        for name, copy in copies.items():
            self._device.copy_in(addresses[name], copy, self._stream)
        runner.enqueue(addresses, work, work_bytes, self._stream)
        self._device.copy_out(result, addresses[output], self._stream)

    def finish(self, embedding: NDArray[np.float32], done: NDArray[np.bool_]) -> None:
        """Wait for the batch in progress, if there is one, and write its embeddings.

        Args:
            embedding: (N, dims) float32; the rows of the batch's pixels are written.
            done: (N,) bool; set to True for the batch's pixels.

        Raises:
            DeviceError: the batch failed.
        """
        if self.pixels is None or self._result is None:
            return
        self._device.synchronise(self._stream)
        embedding[self.pixels] = self._result
        done[self.pixels] = True
        self.pixels = self._result = None

    def drop(self) -> None:
        """Discard the batch in progress and release all memory."""
        self._device.synchronise(self._stream)
        self.pixels = self._result = None
        self._held.drop()
