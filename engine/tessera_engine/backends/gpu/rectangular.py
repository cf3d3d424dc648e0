"""What backends share whose runtimes take rectangular batches on a GPU: two batches in progress, and halving.

The GPU returns float32 embeddings. The same CPU kernel as for every other backend quantises them, so codes don't depend
on the backend, and any prefix can be cut first without a plan of its own. That copies 512 bytes per pixel, and about
3,700 for its tokens.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.base import Backend, Finish, Result
from tessera_engine.backends.gpu.batching import Batch, plan_batches
from tessera_engine.backends.gpu.device import (
    DeviceError,
    OutOfDeviceMemory,
    PlainDevice,
    Runner,
    lost,
    smaller_batches,
)
from tessera_engine.backends.gpu.in_progress import InProgress
from tessera_engine.backends.gpu.slot import Slot
from tessera_engine.backends.rectangles import rectangle
from tessera_engine.model.facts import ModelFacts
from tessera_engine.model.file import OUTPUT_NAME, ModelFile
from tessera_engine.progress import Announce
from tessera_engine.tokens import PackedTokens, sequence

SLOTS = 2
"""Batches in progress at a time."""

SHARE = 0.5
"""Share of the device's memory for batches. The rest is for weights, the runtime, the screen and other programs."""

MOST_TOKENS = 1 << 17
"""Most tokens of a batch: larger batches are no faster once a GPU is busy. Not measured; estimated from published
speeds."""

LEAST_TOKENS = 512
"""Tokens of the longest possible pixel. If not even one such pixel fits, halving the batch can't help."""


class RectangularBackend(Backend):
    """Runs batches of pixels of similar lengths, two at a time: one is copied while the other is computed."""

    overlaps = True

    def __init__(
        self, model: ModelFile, device: PlainDevice, announce: Announce, streams: Sequence[int]
    ) -> None:
        """Take a device.

        Args:
            model: an fp32 file, or one of a precision for GPUs.
            device: the device that runs it.
            announce: called with a line when memory runs out.
            streams: of the device, one for each slot; they may be the same.
        """
        super().__init__(model)
        self._device, self._announce = device, announce
        self._slots = [Slot(device, stream) for stream in streams]
        self._turn = 0
        self._progress = InProgress(SLOTS)
        self._estimate()

    def _estimate(self) -> None:
        """A first guess of how many tokens a batch may have."""
        memory = self._device.memory()
        self._largest = most_tokens(memory.total, self.model.facts)
        self._limit = min(self._largest, most_tokens(memory.free, self.model.facts))

    @abstractmethod
    def _most_pixels(self, s2: int, s1: int) -> int:
        """Most pixels of a batch with these lengths, at least 1. Longer pixels give fewer."""

    @abstractmethod
    def _runner(self, s2: int, s1: int, slot: int) -> Runner:
        """What runs a batch of these lengths in a slot.

        Raises:
            OutOfDeviceMemory: too little memory for it.
        """

    def _get_ready(self, tokens: PackedTokens) -> None:
        """Get ready for pixels of these lengths."""

    def _got_smaller(self, tokens: PackedTokens) -> None:
        """The limit was halved because memory ran out among these pixels. No batch is in progress."""

    def _run(self, tokens: PackedTokens) -> NDArray[np.float32]:
        embedding = self._start(tokens, None)().embedding
        assert embedding is not None
        return embedding

    def _start(self, tokens: PackedTokens, prefix: int | None) -> Finish:
        """Queue all batches but for those that have to wait for a slot; see `Backend.start`."""
        tokens = sequence(tokens, self.model.facts.generation)
        result = Result.room(len(tokens), self.model.facts.dims, None)
        self._get_ready(tokens)
        left, number = np.arange(len(tokens)), 0
        while len(left):
            batches = plan_batches(tokens.s2.lengths[left], tokens.s1.lengths[left], self._most_pixels)
            begun = 0
            try:
                for batch in batches:
                    number = self._begin(tokens, batch, left[batch.pixels], result)
                    begun += 1
            except OutOfDeviceMemory as error:
                self._progress.finish_all()
                for slot in self._slots:
                    slot.drop()
                self._halve(error)
                self._got_smaller(tokens)
            left = np.concatenate([left[:0], *(left[batch.pixels] for batch in batches[begun:])])

        def finish() -> Result:
            self._progress.finish(number)
            return result

        return finish

    def _begin(self, tokens: PackedTokens, batch: Batch, pixels: NDArray[np.int64], result: Result) -> int:
        """Queue a batch, whose embeddings will be written to the rows of its pixels; gives its number."""
        # Before the wait for a slot, while the device is still busy
        inputs = rectangle(tokens.s2, pixels, "s2", round_to=1) | rectangle(
            tokens.s1, pixels, "s1", round_to=1
        )
        self._progress.make_room()
        if not len(self._progress):
            self._turn = 0  # so that one slot is enough where no batch follows another
        runner = self._runner(batch.s2, batch.s1, self._turn)
        found = self._slots[self._turn].begin(runner, inputs, OUTPUT_NAME, self.model.facts.dims)
        self._turn = (self._turn + 1) % SLOTS

        def finish() -> None:
            try:
                result.put(pixels, Result(found()))
            except DeviceError as error:
                raise lost(self.computes_on, error) from error

        return self._progress.add(finish)

    def _halve(self, error: DeviceError) -> None:
        """Make batches half as large."""
        self._limit //= 2
        memory, size = self._device.memory(), f"{self._limit:,} tokens"
        enough = self._limit >= LEAST_TOKENS
        self._announce(smaller_batches(self.computes_on, memory, self.model.label, size, enough, error))


def most_tokens(memory: int, facts: ModelFacts) -> int:
    """A first estimate of how many tokens of a batch fit into so many bytes, a power of two."""
    # Activations that exist at the same time, as float32, and the attention's scores if they aren't fused away
    each = 4 * (8 * facts.d_model + facts.ffn_dim) + 4 * facts.num_heads * 256
    fitting = int(SHARE * memory / SLOTS / each)
    return max(LEAST_TOKENS, min(MOST_TOKENS, 1 << max(0, fitting.bit_length() - 1)))
