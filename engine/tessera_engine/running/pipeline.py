"""From windows of a scene to staged embeddings: read, pack, run, quantise, stage, record."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.base import Backend
from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files.staging import CODE_NODATA, Block, checksum
from tessera_engine.places.pixels import PixelSet
from tessera_engine.progress import Progress
from tessera_engine.running.changes import sums
from tessera_engine.running.journal import Finished, Journal, Sums
from tessera_engine.running.windows import pixels_in, windows_of
from tessera_engine.scene import S2_BANDS, Observations, Reader, Window
from tessera_engine.tokens import PackedPixels, PackedTokens, pack
from tessera_kernels.quantize import quantize
from tessera_kernels.true_colour import clear_median

TRUE_COLOUR = tuple(S2_BANDS.index(band) for band in ("B04", "B03", "B02"))
"""Red, green and blue."""


@dataclass
class Statistics:
    """What a run did and where its time went.

    Attributes:
        pixels: finished pixels, including those of an interrupted run.
        with_data: those of them that have an embedding.
        seconds: wall time of each stage as the main thread saw it: `read` is only the time waited for windows that
            weren't read in time.
    """

    pixels: int = 0
    with_data: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of a with-block to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


class Sink(Protocol):
    """Where finished windows go, such as `tessera_engine.files.staging.Staging`."""

    @property
    def dim(self) -> int:
        """Length of the embedding that is kept."""
        ...

    @property
    def keys(self) -> Collection[str]:
        """The arrays of a block: embeddings and observations; scales where codes are kept; colours where they are."""
        ...

    def write_block(self, window: Window, block: Block) -> None:
        """Keep a window, counted from the corner of the region."""
        ...


def run(
    reader: Reader,
    backend: Backend,
    staging: Sink,
    region: Window,
    journal: Journal,
    progress: Progress | None = None,
    selected: PixelSet | None = None,
) -> Statistics:
    """Embed a region of a scene, window by window, into a sink. Finished windows are skipped.

    A pixel that isn't selected is as one without observations: it costs no time of the network.

    Args:
        reader: the scene.
        backend: the loaded model.
        staging: takes the windows on the region's grid; its dimension is the prefix that is stored.
        region: which part of the scene.
        journal: says what is finished; each window that is on the disk is recorded in it.
        progress: called with pixels done and in all: before the first window, while one is computed, and after it.
        selected: the pixels to embed; None: all.

    Raises:
        InputError: the region has no data, or the scene changed while it was read.
        TesseraError: the scene can't be read.
        OSError: the staged arrays or the journal can't be written.
    """
    statistics = Statistics()
    every = list(windows_of(reader, region, journal.window_pixels, selected))
    if not every:
        what = (
            "no tile of the scene lies" if selected is None else "none of the selected pixels lies in a tile"
        )
        raise InputError(f"{what} in the window {tuple(region)} (col, row, width, height)")
    total = sum(pixels_in(window, selected) for window in every)
    windows = [window for window in every if window not in journal.finished]
    statistics.pixels = total - sum(pixels_in(window, selected) for window in windows)
    statistics.with_data = sum(
        journal.finished[window].with_data for window in every if window in journal.finished
    )
    if not windows:
        return statistics
    report = progress or (lambda done, total: None)
    report(statistics.pixels, total)
    # One thread reads the next window and one writes the last, while this one computes. The numba kernels are
    # called from here only: numba's portable threading layer accepts no calls from two threads at once.
    with ThreadPoolExecutor(1, "tessera-read") as reading, ThreadPoolExecutor(1, "tessera-write") as writing:
        written: Future[None] | None = None
        ahead = reading.submit(_read, reader, windows[0])
        for i, window in enumerate(windows):
            with statistics.stage("read"):
                observations, read = ahead.result()
            if i + 1 < len(windows):
                ahead = reading.submit(_read, reader, windows[i + 1])
            with statistics.stage("pack"):
                here = _Here.of(window, selected)
                observations = here.chosen(observations)
                packed = pack(observations, backend.model.facts)
            with statistics.stage("network"):
                within = partial(_report_part, report, statistics.pixels, here.pixels, total)
                embedding = _run_network(backend, packed.tokens, within)
            with statistics.stage("quantise"):
                block = _block(packed, embedding, here, staging, backend.model.facts.generation)
                if "colours" in staging.keys:
                    block["colours"] = here.spread(_true_colours(observations, here.pixels), 0)
            with statistics.stage("write"):
                if written is not None:
                    written.result()
                place = window.relative_to(region)
                finished = Finished(len(packed.pixels), checksum(block), read)
                written = writing.submit(_finish, staging, journal, window, place, block, finished)
            statistics.pixels += here.pixels
            statistics.with_data += len(packed.pixels)
            report(statistics.pixels, total)
        with statistics.stage("write"):
            if written is not None:
                written.result()
    return statistics


def _report_part(report: Progress, before: int, pixels: int, total: int, share: float) -> None:
    """Report that a share of a window's pixels is computed."""
    report(before + int(pixels * share), total)


def _run_network(
    backend: Backend, tokens: PackedTokens, report: Callable[[float], None]
) -> NDArray[np.float32]:
    """Embed a window's tokens, in pieces where the backend gives the same bits for them.

    Args:
        backend: the loaded model.
        tokens: of the window.
        report: called with the share that is done, from 0 to 1, after each piece but the last.
    """
    pixels, size = len(tokens), backend.piece_pixels
    if size is None or pixels <= size:
        return backend.run(tokens)
    embedding = np.empty((pixels, backend.model.facts.dims), np.float32)
    for first in range(0, pixels, size):
        last = min(first + size, pixels)
        embedding[first:last] = backend.run(tokens.part(first, last))
        if last < pixels:
            report(last / pixels)
    return embedding


@dataclass(frozen=True)
class _Here:
    """The pixels of a window that are embedded.

    Attributes:
        window: of the scene.
        mask: (height, width) which pixels; None: all.
    """

    window: Window
    mask: NDArray[np.bool_] | None

    @classmethod
    def of(cls, window: Window, selected: PixelSet | None) -> _Here:
        """The selected pixels of a window."""
        mask = None if selected is None else selected.mask(window)
        return cls(window, None if mask is None or mask.all() else mask)

    @property
    def pixels(self) -> int:
        """Their number."""
        return self.window.pixels if self.mask is None else int(np.count_nonzero(self.mask))

    def chosen(self, observations: Observations) -> Observations:
        """Their observations: dates first, then (pixels, ...) if not all pixels of the window are embedded."""
        if self.mask is None:
            return observations
        names = ("s2", "s2_valid", "s1_ascending", "s1_descending")
        return replace(observations, **{name: getattr(observations, name)[:, self.mask] for name in names})

    def spread(self, values: NDArray[Any], fill: float) -> NDArray[Any]:
        """Values of (pixels, ...) at their places in the window: (height, width, ...), `fill` at the other pixels."""
        size = (self.window.height, self.window.width)
        if self.mask is None:
            return values.reshape(*size, *values.shape[1:])
        spread = np.full((*size, *values.shape[1:]), fill, values.dtype)
        spread[self.mask] = values
        return spread


def _block(
    packed: PackedPixels, embedding: NDArray[np.float32], here: _Here, staging: Sink, generation: str
) -> Block:
    """One window's results in the form of the staged arrays: (height, width, ...) each."""
    # First the prefix is cut, then it is quantised: that is the published order.
    full = np.full((here.pixels, staging.dim), np.nan, np.float32)
    full[packed.pixels] = embedding[:, : staging.dim]
    block: Block = {"observations": here.spread(packed.counts, 0)}
    if "scales" not in staging.keys:
        return block | {"embeddings": here.spread(full, np.nan)}
    codes, scales = quantize(full, generation)
    return block | {"embeddings": here.spread(codes, CODE_NODATA), "scales": here.spread(scales, np.nan)}


def _true_colours(observations: Observations, pixels: int) -> NDArray[np.uint16]:
    """The pixels in true colour: (pixels, 3) uint16."""
    steps = len(observations.s2)
    s2 = np.ascontiguousarray(observations.s2).reshape(steps, pixels, len(S2_BANDS))
    valid = np.ascontiguousarray(observations.s2_valid).reshape(steps, pixels)
    return clear_median(s2, valid, TRUE_COLOUR)


def _read(reader: Reader, window: Window) -> tuple[Observations, Sums]:
    """The observations of a window, and their checksums."""
    try:
        observations = reader.read(window)
    except OSError as error:
        raise TesseraError(
            f"the scene can't be read at {tuple(window)} (col, row, width, height): {error}; when that is solved, "
            "give the same command again: what is finished is kept"
        ) from None
    return observations, sums(observations)


def _finish(
    staging: Sink, journal: Journal, window: Window, place: Window, block: Block, finished: Finished
) -> None:
    staging.write_block(place, block)
    journal.add(window, finished)
