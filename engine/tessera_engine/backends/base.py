"""What a backend is: its record, which says what it can run here, and the class that runs a model file.

The base class checks inputs and outputs once, so that a backend only writes the bare call.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import TesseraError
from tessera_engine.model.facts import ModelFacts
from tessera_engine.model.file import ModelFile
from tessera_engine.model.layout import DAYS
from tessera_engine.progress import Announce
from tessera_engine.tokens import PackedTokens, Tokens


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
    forms: Callable[[Mapping[str, ModelFile], int], Mapping[str, Callable[[], Backend]]] | None = None
    baselines: Callable[[ModelFile, int, str], Mapping[str, Callable[[], Backend]]] | None = None
    open_checkpoint: Callable[[Path, ModelFile], Backend] | None = None
    make_qdq: Callable[[ModelFile, Path, Path], None] | None = None
    why_not: Callable[[ModelFacts], str | None] | None = None


class Backend(ABC):
    """Runs one model file on packed tokens.

    Class attributes:
        name: see `BackendRecord`.
        follows_lengths: whether what it makes first depends on how many tokens pixels have. Then it isn't warmed up
            with a made-up pixel, but prepared with a sample of a scene.
        piece_pixels: how many pixels can be run at a time, so that progress is seen, without changing a bit; None:
            the backend groups pixels by length, and other groups would change the last bits.
    """

    name: str
    follows_lengths = False
    piece_pixels: int | None = None

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

    @abstractmethod
    def _run(self, tokens: PackedTokens) -> NDArray[np.float32]:
        """Embed at least one pixel: (N, dims) float32."""

    def run(self, tokens: PackedTokens) -> NDArray[np.float32]:
        """Embed packed pixels.

        Returns:
            (N, dims) float32, all finite.

        Raises:
            ValueError: the tokens don't belong together.
            TesseraError: the runtime gave another shape or dtype, or values that aren't finite.
        """
        facts = self.model.facts
        _check(tokens.s2, "s2", len(facts.s2_bands))
        _check(tokens.s1, "s1", len(facts.s1_bands))
        if len(tokens.s1.offsets) != len(tokens.s2.offsets):
            raise ValueError(
                f"s1 has {len(tokens.s1.offsets) - 1} pixels, s2 has {len(tokens.s2.offsets) - 1}"
            )
        expected = (len(tokens), facts.dims)
        if expected[0] == 0:
            return np.empty(expected, np.float32)
        embedding = self._run(tokens)
        if embedding.shape != expected or embedding.dtype != np.float32:
            raise TesseraError(
                f"backend {self.name} gave {embedding.dtype} {embedding.shape}, expected float32 {expected}; "
                "the model file may be damaged, export it again"
            )
        broken = len(embedding) - int(np.isfinite(embedding).all(axis=1).sum())
        if broken:
            raise TesseraError(
                f"backend {self.name} gave values that aren't finite for {broken} of {len(embedding)} pixels "
                f"with model {self.model.label}; check it with 'tessera-engine verify {self.model.path}'"
            )
        return embedding


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
