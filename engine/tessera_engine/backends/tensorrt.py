"""TensorRT: native plans, built for this GPU and the lengths of the scene's own pixels.

Embeddings come back as float32 and are made codes on this machine, by the one kernel that makes them for every backend:
codes don't depend on what computed the embedding, and any prefix can be cut first without a plan of its own. It costs
512 bytes a pixel to copy, beside some 3,700 for its tokens.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.base import Backend
from tessera_engine.backends.gpu.batching import Shape, choose_profiles, plan_batches
from tessera_engine.backends.gpu.device import Device, DeviceError, OutOfDeviceMemory, Plan, Runner
from tessera_engine.backends.gpu.plans import Announce, Plans
from tessera_engine.backends.gpu.slot import Slot
from tessera_engine.backends.rectangles import rectangle
from tessera_engine.errors import InputError, TesseraError
from tessera_engine.model.facts import ModelFacts
from tessera_engine.model.file import OUTPUT_NAME, ModelFile
from tessera_engine.tokens import PackedTokens, sequence

SLOTS = 2

SHARE = 0.5
"""Of the device's memory, for batches; the rest is for weights, the runtime, the screen and others."""

MOST_TOKENS = 1 << 17
"""Of a batch. Where a GPU is busy with one, more gain nothing. Not measured: reckoned from published speeds."""

PATIENCE = 4
"""How many times smaller than its plan's largest a batch may get. Some versions of TensorRT take as much memory for any
batch as for the largest, and then only a smaller plan helps."""

LEAST_TOKENS = 512
"""One pixel of the longest kind. Where not even it fits, there is nothing to be halved."""


class TensorRtBackend(Backend):
    """Batches of pixels of like lengths, two at a time: one is copied while the other is computed."""

    name = "tensorrt"
    follows_lengths = True

    def __init__(self, model: ModelFile, device: Device, tell: Announce, folder: Path | None = None) -> None:
        """Take a device; plans are built when the first pixels are there.

        Args:
            model: fp32, or one of the precisions for GPUs.
            device: what runs it.
            tell: told when a plan is built, and why, and when memory runs out.
            folder: where plans are kept; None: the user's cache folder.

        Raises:
            InputError: an int8 file for CPUs.
        """
        super().__init__(model)
        if model.facts.precision == "int8":
            raise InputError(
                f"model {model.label} has the int8 form for CPUs, which TensorRT can't run; give another --precision "
                "(see 'model list'), or a file that was exported for GPUs"
            )
        self._device, self._tell = device, tell
        self._plans = Plans(device, model, tell, folder)
        self._loaded: dict[Shape, tuple[Plan, list[Runner]]] = {}
        self._profiles: list[Shape] = []
        self._slots = [Slot(device) for _ in range(SLOTS)]
        memory = device.memory()
        self._largest = most_tokens(memory.total, model.facts)
        self._limit = min(self._largest, most_tokens(memory.free, model.facts))

    @property
    def version(self) -> str:
        """Of TensorRT."""
        return self._device.facts.runtime.split()[-1]

    @property
    def computes_on(self) -> str:
        """The GPU."""
        return self._device.facts.name

    def prepare(self, tokens: PackedTokens) -> None:
        """Build or load the plans that pixels of such lengths want."""
        tokens = sequence(tokens, self.model.facts.generation)
        while True:
            self._profiles = choose_profiles(tokens.s2.lengths, tokens.s1.lengths, self._largest)
            try:
                for profile in self._profiles:
                    self._runner(profile, 0)
            except OutOfDeviceMemory as error:
                self._loaded.clear()
                self._halve(error)
                self._largest = min(self._largest, self._limit)
                continue
            return

    def _run(self, tokens: PackedTokens) -> NDArray[np.float32]:
        tokens = sequence(tokens, self.model.facts.generation)
        embedding = np.empty((len(tokens), self.model.facts.dims), np.float32)
        done = np.zeros(len(tokens), np.bool_)
        longest = int(tokens.s2.lengths.max()), int(tokens.s1.lengths.max())
        if not any(profile.holds(*longest) for profile in self._profiles):
            if self._profiles:
                self._tell(
                    f"pixels of {longest[0]} + {longest[1]} tokens are longer than the scene's sample had"
                )
            self.prepare(tokens)
        while not done.all():
            try:
                self._compute(tokens, np.flatnonzero(~done), embedding, done)
            except OutOfDeviceMemory as error:
                for slot in self._slots:
                    slot.drop()
                self._halve(error)
                if self._limit * PATIENCE <= self._largest:
                    self._largest = self._limit
                    self._loaded.clear()
                    self.prepare(tokens)
        return embedding

    def _compute(
        self,
        tokens: PackedTokens,
        pixels: NDArray[np.int64],
        embedding: NDArray[np.float32],
        done: NDArray[np.bool_],
    ) -> None:
        """Embed pixels of the packed ones, and mark what is done."""
        s2, s1 = tokens.s2.lengths[pixels], tokens.s1.lengths[pixels]
        for turn, batch in enumerate(plan_batches(s2, s1, self._most_pixels)):
            slot = self._slots[turn % SLOTS]
            slot.finish(embedding, done)
            runner = self._runner(self._profile(batch.s2, batch.s1), turn % SLOTS)
            own = pixels[batch.pixels]
            inputs = rectangle(tokens.s2, own, "s2", round_to=1) | rectangle(tokens.s1, own, "s1", round_to=1)
            slot.begin(runner, inputs, OUTPUT_NAME, self.model.facts.dims, own)
        for slot in self._slots:
            slot.finish(embedding, done)

    def _profile(self, s2: int, s1: int) -> Shape:
        """The smallest profile that holds pixels of these lengths."""
        return next(profile for profile in self._profiles if profile.holds(s2, s1))

    def _most_pixels(self, s2: int, s1: int) -> int:
        return max(1, min(self._profile(s2, s1).pixels, self._limit // (s2 + s1)))

    def _runner(self, profile: Shape, slot: int) -> Runner:
        """A slot's own runner of a profile's plan."""
        if profile not in self._loaded:
            self._loaded[profile] = self._plans.get(profile), []
        plan, runners = self._loaded[profile]
        while len(runners) <= slot:
            runners.append(plan.make_runner())
        return runners[slot]

    def _halve(self, error: DeviceError) -> None:
        """Make batches half as large."""
        self._limit //= 2
        memory = self._device.memory()
        if self._limit < LEAST_TOKENS:
            raise TesseraError(
                f"{self.computes_on} has {memory.free / 1e6:,.0f} of {memory.total / 1e6:,.0f} MB free, too little "
                f"for one pixel of model {self.model.label}: {error}; end what else uses it, or give --device cpu"
            ) from error
        self._tell(
            f"{self.computes_on} is out of memory ({memory.free / 1e6:,.0f} MB free): going on with batches of "
            f"{self._limit:,} tokens"
        )


def most_tokens(memory: int, facts: ModelFacts) -> int:
    """Tokens of a batch that so many bytes should hold, a power of two: to begin with, the device has the last word."""
    # Activations that live at once, as float32, and the attention's scores where they aren't fused away
    each = 4 * (8 * facts.d_model + facts.ffn_dim) + 4 * facts.num_heads * 256
    fitting = int(SHARE * memory / SLOTS / each)
    return max(LEAST_TOKENS, min(MOST_TOKENS, 1 << max(0, fitting.bit_length() - 1)))
