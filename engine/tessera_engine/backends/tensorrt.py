"""TensorRT: native plans, built for this GPU and for the token lengths of the scene's pixels."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from tessera_engine.backends.base import Backend, BackendRecord, Part
from tessera_engine.backends.gpu.batching import Shape, choose_profiles
from tessera_engine.backends.gpu.device import Device, OutOfDeviceMemory, Plan, Runner
from tessera_engine.backends.gpu.install import how_to_install
from tessera_engine.backends.gpu.plans import Plans
from tessera_engine.backends.gpu.rectangular import SLOTS, RectangularBackend
from tessera_engine.errors import TesseraError
from tessera_engine.model.file import ModelFile
from tessera_engine.progress import Announce
from tessera_engine.tokens import PackedTokens, sequence

PATIENCE = 4
"""How many times smaller than the plan's largest batch a batch may get before a smaller plan is built. Some versions of
TensorRT take as much memory for any batch as for the largest; then only a smaller plan helps."""


class TensorRtBackend(RectangularBackend):
    """Runs batches by the plans that their lengths need, each slot on a stream of its own."""

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
        super().__init__(model, device, announce, [device.make_stream() for _ in range(SLOTS)])
        self._facts = device.facts
        self._plans = Plans(device, model, announce, folder)
        self._loaded: dict[Shape, tuple[Plan, list[Runner]]] = {}
        self._profiles: list[Shape] = []

    def limit_device_memory(self, size: int) -> None:
        """See `Backend.limit_device_memory`. The runtime's own memory, for weights, comes on top."""
        self._device.limit(size)
        self._estimate()

    @property
    def version(self) -> str:
        """Version of TensorRT."""
        return self._facts.runtime.split()[-1]

    @property
    def computes_on(self) -> str:
        """Name of the GPU."""
        return self._facts.name

    def prepare(self, tokens: PackedTokens) -> None:
        """Build or load the plans that pixels of these lengths need."""
        self._prepare(sequence(tokens, self.model.facts.generation))

    def _prepare(self, tokens: PackedTokens) -> None:
        while True:
            self._profiles = choose_profiles(tokens.s2.lengths, tokens.s1.lengths, self._largest)
            try:
                for profile in self._profiles:
                    self._runner_of(profile, 0)
            except OutOfDeviceMemory as error:
                self._forget_plans()
                self._halve(error)
                self._largest = min(self._largest, self._limit)
                continue
            return

    def _forget_plans(self) -> None:
        # A batch of the previous window may still run one
        self._progress.finish_all()
        self._loaded.clear()

    def _get_ready(self, tokens: PackedTokens) -> None:
        longest = int(tokens.s2.lengths.max()), int(tokens.s1.lengths.max())
        if any(profile.holds(*longest) for profile in self._profiles):
            return
        if self._profiles:
            self._announce(
                f"pixels with {longest[0]} + {longest[1]} tokens are longer than those of the scene's sample"
            )
        self._prepare(tokens)

    def _got_smaller(self, tokens: PackedTokens) -> None:
        if self._limit * PATIENCE <= self._largest:
            self._largest = self._limit
            self._forget_plans()
            self._prepare(tokens)

    def _profile(self, s2: int, s1: int) -> Shape:
        """The smallest profile that can hold pixels of these lengths."""
        return next(profile for profile in self._profiles if profile.holds(s2, s1))

    def _most_pixels(self, s2: int, s1: int) -> int:
        return max(1, min(self._profile(s2, s1).pixels, self._limit // (s2 + s1)))

    def _runner(self, s2: int, s1: int, slot: int) -> Runner:
        return self._runner_of(self._profile(s2, s1), slot)

    def _runner_of(self, profile: Shape, slot: int) -> Runner:
        """The runner of a profile's plan for one slot."""
        if profile not in self._loaded:
            self._loaded[profile] = self._plans.get(profile), []
        plan, runners = self._loaded[profile]
        while len(runners) <= slot:
            runners.append(plan.make_runner())
        return runners[slot]


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


BACKEND = BackendRecord("tensorrt", {"cuda": ("fp32", "fp16", "qdq")}, _find, _load, overlaps=True)
