"""TensorRT: native plans, built for this GPU and for the token lengths of the scene's pixels.

The GPU returns float32 embeddings. The same CPU kernel as for every other backend quantises them, so codes don't depend
on the backend, and any prefix can be cut first without a plan of its own. That copies 512 bytes per pixel, and about
3,700 for its tokens.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.base import Backend, BackendRecord, Part
from tessera_engine.backends.gpu.batching import Shape, choose_profiles, plan_batches
from tessera_engine.backends.gpu.device import Device, DeviceError, OutOfDeviceMemory, Plan, Runner
from tessera_engine.backends.gpu.install import how_to_install
from tessera_engine.backends.gpu.plans import Plans
from tessera_engine.backends.gpu.slot import Slot
from tessera_engine.backends.rectangles import rectangle
from tessera_engine.errors import TesseraError
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

PATIENCE = 4
"""How many times smaller than the plan's largest batch a batch may get before a smaller plan is built. Some versions of
TensorRT take as much memory for any batch as for the largest; then only a smaller plan helps."""

LEAST_TOKENS = 512
"""Tokens of the longest possible pixel. If not even one such pixel fits, halving the batch can't help."""


class TensorRtBackend(Backend):
    """Runs batches of pixels of similar lengths, two at a time: one is copied while the other is computed."""

    name = "tensorrt"
    follows_lengths = True

    def __init__(
        self, model: ModelFile, device: Device, announce: Announce, folder: Path | None = None
    ) -> None:
        """Take a device. Plans are built once the first pixels are known.

        Args:
            model: an fp32 file, or one of a precision for GPUs.
            device: the device that runs it.
            announce: called with a line when a plan is built, and why, and when memory runs out.
            folder: where plans are kept; None: the user's cache folder.
        """
        super().__init__(model)
        self._device, self._announce = device, announce
        self._plans = Plans(device, model, announce, folder)
        self._loaded: dict[Shape, tuple[Plan, list[Runner]]] = {}
        self._profiles: list[Shape] = []
        self._slots = [Slot(device) for _ in range(SLOTS)]
        self._estimate()

    def _estimate(self) -> None:
        """A first guess of how many tokens a batch may have."""
        memory = self._device.memory()
        self._largest = most_tokens(memory.total, self.model.facts)
        self._limit = min(self._largest, most_tokens(memory.free, self.model.facts))

    def limit_device_memory(self, size: int) -> None:
        """See `Backend.limit_device_memory`. The runtime's own memory, for weights, comes on top."""
        self._device.limit(size)
        self._estimate()

    @property
    def version(self) -> str:
        """Version of TensorRT."""
        return self._device.facts.runtime.split()[-1]

    @property
    def computes_on(self) -> str:
        """Name of the GPU."""
        return self._device.facts.name

    def prepare(self, tokens: PackedTokens) -> None:
        """Build or load the plans that pixels of these lengths need."""
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
                self._announce(
                    f"pixels with {longest[0]} + {longest[1]} tokens are longer than those of the scene's sample"
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
        """Embed some of the packed pixels, and mark those that are done."""
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
        """The smallest profile that can hold pixels of these lengths."""
        return next(profile for profile in self._profiles if profile.holds(s2, s1))

    def _most_pixels(self, s2: int, s1: int) -> int:
        return max(1, min(self._profile(s2, s1).pixels, self._limit // (s2 + s1)))

    def _runner(self, profile: Shape, slot: int) -> Runner:
        """The runner of a profile's plan for one slot."""
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
                f"for one pixel of model {self.model.label}: {error}; end other programs that use it, or give "
                "device=cpu"
            ) from error
        self._announce(
            f"{self.computes_on} is out of memory ({memory.free / 1e6:,.0f} MB free): continuing with batches "
            f"of {self._limit:,} tokens"
        )


def most_tokens(memory: int, facts: ModelFacts) -> int:
    """A first estimate of how many tokens of a batch fit into so many bytes, a power of two."""
    # Activations that exist at the same time, as float32, and the attention's scores if they aren't fused away
    each = 4 * (8 * facts.d_model + facts.ffn_dim) + 4 * facts.num_heads * 256
    fitting = int(SHARE * memory / SLOTS / each)
    return max(LEAST_TOKENS, min(MOST_TOKENS, 1 << max(0, fitting.bit_length() - 1)))


def _find(device: str) -> Part:
    try:
        from tessera_engine.backends.gpu import tensorrt_api
    except TesseraError as error:
        reason = "missing" if importlib.util.find_spec("tensorrt") is None else str(error)
        return Part(None, f"{reason}: {how_to_install('tensorrt')}")
    return Part(tensorrt_api.VERSION)


def _load(model: ModelFile, threads: int, device: str, announce: Announce) -> Backend:
    from tessera_engine.backends.gpu.tensorrt_api import TensorRtDevice

    return TensorRtBackend(model, TensorRtDevice(), announce)


BACKEND = BackendRecord("tensorrt", {"cuda": ("fp32", "fp16", "qdq")}, _find, _load)
