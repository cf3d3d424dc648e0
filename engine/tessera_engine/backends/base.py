"""What every backend promises, checked here once; a backend itself writes only the bare call."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import TesseraError
from tessera_engine.model.file import DAYS, ModelFile
from tessera_engine.tokens import PackedTokens, Tokens


class Backend(ABC):
    """Runs one model file on packed tokens.

    Class attributes:
        name: what `--backend` takes.
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
        """Version of the library behind it."""

    @property
    @abstractmethod
    def computes_on(self) -> str:
        """What of this machine it uses: an instruction set, a provider, a device."""

    @property
    def description(self) -> str:
        """In one line, for messages."""
        return f"{self.name} {self.version} ({self.computes_on})"

    def prepare(self, tokens: PackedTokens) -> None:  # noqa: B027
        """Get ready for a scene, before its first window; nothing to do for most.

        Args:
            tokens: of a sample of its pixels, at least one.

        Raises:
            TesseraError: it can't be run here.
        """

    @abstractmethod
    def _run(self, tokens: PackedTokens) -> NDArray[np.float32]:
        """Embed at least one pixel: (N, dims) float32."""

    def run(self, tokens: PackedTokens) -> NDArray[np.float32]:
        """Embed packed pixels.

        Returns:
            (N, dims) float32, all finite.

        Raises:
            ValueError: tokens that don't belong together.
            TesseraError: the runtime gave another shape, or values that aren't finite.
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
    # It is a row of a table that kernels read by address
    if total and not 0 <= tokens.doy.min() <= tokens.doy.max() < DAYS:
        raise ValueError(f"{modality} has days of year beyond 0..{DAYS - 1}")
    if tokens.offsets[0] != 0 or tokens.offsets[-1] != total or np.any(tokens.lengths < 1):
        raise ValueError(
            f"{modality} offsets must run from 0 to {total} and give every pixel a token at least"
        )
