"""What a backend is: its record, which says what it can run here, and the class that runs a model file.

The base class checks inputs and outputs once, so that a backend only writes the bare call.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.model.facts import ModelFacts
from tessera_engine.model.file import ModelFile
from tessera_engine.model.layout import DAYS
from tessera_engine.progress import Announce
from tessera_engine.tokens import PackedTokens, Tokens
from tessera_kernels.quantize import quantize


class Part(NamedTuple):
    """Something that a machine may have: a GPU, or a library that runs models.

    Attributes:
        version: what is installed; None: nothing that works.
        missing: if nothing works, the reason and how to install it.
    """

    version: str | None
    missing: str = ""


@dataclass(frozen=True)
class BackendRecord:
    """What there is to know about a backend before a model is loaded into it.

    The module that defines one imports its libraries only when they are used, so that this can always be read.

    Attributes:
        name: what `backend=` takes.
        runs: device (`cpu` or `cuda`) -> the precisions of model files that it runs there.
        find: looks for its libraries for a device, without importing anything slow.
        load: loads a model file. It takes the file, the number of CPU threads, the device and `announce`, which it
            calls with one line about anything that takes long. The device is one of `runs`, or `auto`, see
            `picks_device`.
        picks_device: whether `load` takes `auto` and chooses among more devices than `runs` names.
        bytes: memory of its libraries and of a batch, besides that of the fused kernels.
        overlaps: whether it may compute a window on a device while the next one is packed, see `Backend.overlaps`:
            the tokens of two windows are in memory then.
        forms: gives further ways to run a model's files (by precision) on CPUs, by name: faster ones, which embeddings
            are not made with because they are less exact. For comparisons of speed. Takes the number of threads, too.
        baselines: for the reference only: takes an fp32 model file, the number of CPU threads and a device of `runs`.
            Gives the ways to run the file there to compare the speed of others with, by name, the standard one first.
        open_checkpoint: for the reference only: loads a checkpoint to compare a model file with.
        make_qdq: for the reference only: from an fp32 model file, writes an int8 file with fixed scales (Q/DQ), which
            other runtimes are fastest with. Takes the file, a scene to calibrate on, and the path to write.
        why_not: for a backend that doesn't run every model: why it can't run one, in words; None if it can.
    """

    name: str
    runs: Mapping[str, tuple[str, ...]]
    find: Callable[[str], Part]
    load: Callable[[ModelFile, int, str, Announce], Backend]
    picks_device: bool = False
    bytes: int = 0
    overlaps: bool = False
    forms: Callable[[Mapping[str, ModelFile], int], Mapping[str, Callable[[], Backend]]] | None = None
    baselines: Callable[[ModelFile, int, str], Mapping[str, Callable[[], Backend]]] | None = None
    open_checkpoint: Callable[[Path, ModelFile], Backend] | None = None
    make_qdq: Callable[[ModelFile, Path, Path], None] | None = None
    why_not: Callable[[ModelFacts], str | None] | None = None


class Codes(NamedTuple):
    """Embeddings in int8, see `tessera_kernels.quantize`.

    Attributes:
        codes: (N, prefix) int8.
        scales: (N,) float32.
    """

    codes: NDArray[np.int8]
    scales: NDArray[np.float32]


class Result(NamedTuple):
    """What a backend computed, in one of two forms.

    Attributes:
        embedding: (N, dims) float32; None if the device made codes.
        codes: of the prefix that was asked for; None if the device made none.
    """

    embedding: NDArray[np.float32] | None
    codes: Codes | None = None

    @classmethod
    def room(cls, pixels: int, dims: int, prefix: int | None) -> Result:
        """Room for the embeddings of so many pixels, or for their codes where a prefix is given."""
        if prefix is None:
            return cls(np.empty((pixels, dims), np.float32))
        return cls(None, Codes(np.empty((pixels, prefix), np.int8), np.empty(pixels, np.float32)))

    def put(self, pixels: slice | NDArray[np.int64], found: Result) -> None:
        """Write what was found for some pixels, in the same form, into their rows."""
        if self.codes is not None and found.codes is not None:
            self.codes.codes[pixels] = found.codes.codes
            self.codes.scales[pixels] = found.codes.scales
        elif self.embedding is not None and found.embedding is not None:
            self.embedding[pixels] = found.embedding
        else:
            raise ValueError("results of different forms")


Finish = Callable[[], Result]
"""Waits until a backend has computed all that was asked for."""


class Pending:
    """Embeddings that a backend was asked for, which it has or is computing."""

    def __init__(self, backend: Backend, finish: Finish, pixels: int, prefix: int | None) -> None:
        """Ask `Backend.start` for one."""
        self._backend, self._finish, self._pixels, self._prefix = backend, finish, pixels, prefix
        self._result: Result | None = None

    def wait(self) -> None:
        """Wait until all is computed.

        Raises:
            TesseraError: the runtime failed, gave another shape or dtype, or values that aren't finite.
        """
        if self._result is None:
            result = self._finish()
            self._backend.check(result, self._pixels, self._prefix)
            self._result = result

    def embedding(self) -> NDArray[np.float32]:
        """(N, dims) float32, all finite. Only if no prefix was given. Raises as `wait` does."""
        self.wait()
        if self._result is None or self._result.embedding is None:
            raise ValueError("codes were asked for, not embeddings")
        return self._result.embedding

    def codes(self) -> Codes:
        """The codes of the prefix that was given, from the device where it makes them. Raises as `wait` does."""
        self.wait()
        if self._result is None or self._prefix is None:
            raise ValueError("no prefix was given")
        if self._result.codes is not None:
            return self._result.codes
        assert self._result.embedding is not None
        # First the prefix is cut, then it is quantised: that is the published order
        kept = self._result.embedding[:, : self._prefix]
        return Codes(*quantize(kept, self._backend.model.facts.generation))


class Backend(ABC):
    """Runs one model file on packed tokens.

    Attributes:
        name: see `BackendRecord`.
        follows_lengths: whether what it makes first depends on how many tokens pixels have. Then it isn't warmed up
            with a made-up pixel, but prepared with a sample of a scene.
        piece_pixels: how many pixels can be run at a time, so that progress is seen, without changing a bit; None:
            the backend groups pixels by length, and other groups would change the last bits.
        overlaps: whether `start` returns while a device still computes.
    """

    name: str
    follows_lengths = False
    piece_pixels: int | None = None
    overlaps = False

    def __init__(self, model: ModelFile) -> None:
        self.model = model

    @property
    @abstractmethod
    def version(self) -> str:
        """Version of the library that computes."""

    @property
    @abstractmethod
    def computes_on(self) -> str:
        """The part of the machine that computes: an instruction set, a provider or a device."""

    @property
    def description(self) -> str:
        """Name, version and device in one line, for messages."""
        return f"{self.name} {self.version} ({self.computes_on})"

    def prepare(self, tokens: PackedTokens) -> None:  # noqa: B027
        """Get ready for a scene before its first window. Most backends have nothing to do.

        Args:
            tokens: tokens of a sample of the scene's pixels, at least one.

        Raises:
            TesseraError: the model can't be run here.
        """

    def limit_device_memory(self, size: int) -> None:
        """Take at most so much of a device's memory from now on, for weights and batches.

        Args:
            size: bytes.

        Raises:
            InputError: it is too little, or this backend uses no device.
        """
        raise InputError(f"device_memory= limits a GPU, but {self.description} runs here; leave it out")

    @abstractmethod
    def _run(self, tokens: PackedTokens) -> NDArray[np.float32]:
        """Embed at least one pixel: (N, dims) float32."""

    def _start(self, tokens: PackedTokens, prefix: int | None) -> Finish:
        """Start to embed at least one pixel; a backend that overlaps has this in place of `_run`."""
        result = Result(self._run(tokens))
        return lambda: result

    def start(self, tokens: PackedTokens, prefix: int | None = None) -> Pending:
        """Start to embed packed pixels. A backend that doesn't overlap has computed them when this returns.

        Args:
            tokens: of the pixels; they must not change until the result is there.
            prefix: dimensions to make codes of; None: embeddings are wanted.

        Raises:
            ValueError: the tokens don't belong together.
            TesseraError: the runtime failed.
        """
        facts = self.model.facts
        _check(tokens.s2, "s2", len(facts.s2_bands))
        _check(tokens.s1, "s1", len(facts.s1_bands))
        if len(tokens.s1.offsets) != len(tokens.s2.offsets):
            raise ValueError(
                f"s1 has {len(tokens.s1.offsets) - 1} pixels, s2 has {len(tokens.s2.offsets) - 1}"
            )
        if len(tokens) == 0:
            nothing = Result(np.empty((0, facts.dims), np.float32))
            return Pending(self, lambda: nothing, 0, prefix)
        return Pending(self, self._start(tokens, prefix), len(tokens), prefix)

    def run(self, tokens: PackedTokens) -> NDArray[np.float32]:
        """Embed packed pixels.

        Returns:
            (N, dims) float32, all finite.

        Raises:
            ValueError: the tokens don't belong together.
            TesseraError: the runtime gave another shape or dtype, or values that aren't finite.
        """
        return self.start(tokens).embedding()

    def check(self, result: Result, pixels: int, prefix: int | None) -> None:
        """Make sure of a result's shape and values.

        Raises:
            TesseraError: it has another shape or dtype, or values that aren't finite.
        """
        values: Any
        if result.codes is None:
            values = result.embedding
            self._check_array(values, np.float32, (pixels, self.model.facts.dims))
        else:
            values = result.codes.scales[:, None]
            self._check_array(result.codes.codes, np.int8, (pixels, prefix))
            self._check_array(values, np.float32, (pixels, 1))
        finite = np.isfinite(values).all(axis=1)
        broken = pixels - int(finite.sum())
        if broken:
            raise TesseraError(
                f"backend {self.name} gave values that aren't finite for {broken} of {pixels} pixels "
                f"with model {self.model.label}; check it with 'tessera-engine verify {self.model.path}'"
            )

    def _check_array(self, array: Any, dtype: Any, shape: tuple[int | None, ...]) -> None:
        if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != dtype:
            found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "nothing"
            raise TesseraError(
                f"backend {self.name} gave {found}, expected {np.dtype(dtype)} {shape}; "
                "the model file may be damaged, export it again"
            )


def _check(tokens: Tokens, modality: str, bands: int) -> None:
    total = len(tokens.values)
    if tokens.values.shape != (total, bands) or tokens.values.dtype != np.float32:
        raise ValueError(
            f"{modality} tokens are {tokens.values.dtype} {tokens.values.shape}, not float32 (_, {bands})"
        )
    if tokens.doy.shape != (total,) or tokens.multiplicity.shape != (total,):
        raise ValueError(f"{modality} has {total} tokens, but doy or multiplicity of another length")
    if tokens.doy.dtype != np.int32 or tokens.multiplicity.dtype != np.float32:
        raise ValueError(
            f"{modality} has doy {tokens.doy.dtype} and multiplicity {tokens.multiplicity.dtype}"
        )
    # Kernels use it as a row number and read the table by address
    if total and not 0 <= tokens.doy.min() <= tokens.doy.max() < DAYS:
        raise ValueError(f"{modality} has days of year beyond 0..{DAYS - 1}")
    if tokens.offsets[0] != 0 or tokens.offsets[-1] != total or np.any(tokens.lengths < 1):
        raise ValueError(
            f"{modality} offsets must run from 0 to {total} and give every pixel at least one token"
        )
