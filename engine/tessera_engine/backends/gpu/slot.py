"""A slot holds one batch in progress. With two, one batch is computed while the other is filled and copied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.gpu.device import PlainDevice, Runner
from tessera_engine.backends.gpu.held import LEAST_BYTES, Held


class Slot:
    """A stream with pinned memory of this machine and memory of the device, for one batch at a time."""

    def __init__(self, device: PlainDevice, stream: int) -> None:
        """Args: the device; a stream of it, which slots may share."""
        self._device, self._stream = device, stream
        self._held = Held(device)

    def begin(
        self, runner: Runner, inputs: Mapping[str, NDArray[Any]], output: str, dims: int
    ) -> Callable[[], NDArray[np.float32]]:
        """Start to copy a batch to the device, compute it and copy the result back. This call doesn't wait for it.

        Args:
            runner: a runner for this slot's stream.
            inputs: arrays of shape (B, T, ...), by name.
            output: name of the (B, dims) float32 output.
            dims: length of an embedding.

        Returns:
            What waits for the batch and gives its embeddings, (B, dims) float32, as they lie in the slot: the next
            batch overwrites them. It raises DeviceError if the batch failed.

        Raises:
            OutOfDeviceMemory: the batch is too large. Only `drop` may follow.
            DeviceError: the runtime reports another error.
        """
        pixels = len(next(iter(inputs.values())))
        size = 4 * pixels * dims
        result = self._held.array(output, size).view(np.float32).reshape(pixels, dims)
        addresses = {output: self._held.memory(output, size)}
        copies = {}
        for name, array in inputs.items():
            copies[name] = self._held.array(name, array.nbytes).view(array.dtype).reshape(array.shape)
            copies[name][...] = array
            addresses[name] = self._held.memory(name, array.nbytes)
        work_bytes = max(LEAST_BYTES, runner.fit({name: array.shape for name, array in inputs.items()}))
        work = self._held.memory("work", work_bytes)
        # From here on the stream may use the memory, even after an error; `drop` and what is returned wait for it
        for name, copy in copies.items():
            self._device.copy_in(addresses[name], copy, self._stream)
        runner.enqueue(addresses, work, work_bytes, self._stream)
        self._device.copy_out(result, addresses[output], self._stream)

        def finish() -> NDArray[np.float32]:
            self._device.synchronise(self._stream)
            return result

        return finish

    def drop(self) -> None:
        """Discard the batch in progress, if there is one, and release all memory."""
        self._device.synchronise(self._stream)
        self._held.drop()
