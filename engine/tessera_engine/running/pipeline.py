"""From windows of a scene to staged embeddings: read, pack, run, quantise, stage, record."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.base import Backend, Pending, Result
from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files.staging import CODE_NODATA, Block, checksum, checksum_of_all
from tessera_engine.places.pixels import PixelSet
from tessera_engine.progress import Progress
from tessera_engine.running.changes import sums
from tessera_engine.running.journal import Finished, Journal, Sums
from tessera_engine.running.quality import quality_of
from tessera_engine.running.windows import pixels_in, windows_of
from tessera_engine.scene import S2_BANDS, Observations, Reader, Window
from tessera_engine.scenes.period import Period
from tessera_engine.tokens import PackedPixels, PackedTokens, pack
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
        """The arrays of a block: embeddings and observations, scales with codes, and what else is kept."""
        ...

    def write_block(self, window: Window, block: Block) -> None:
        """Keep a window, counted from the corner of the region."""
        ...


SinkT = TypeVar("SinkT", bound=Sink)


@dataclass(frozen=True)
class Part(Generic[SinkT]):
    """What one window of pixels gives for one time.

    Attributes:
        sink: takes the windows on the region's grid; its dimension is the prefix that is stored.
        period: the first and last day of the observations; None: all that the reader has.
        time: first and last day that the observations should cover, for the quality layer; None: not known.
        min_clear: see `tessera_engine.running.options.RunOptions`.
    """

    sink: SinkT
    period: Period | None = None
    time: Period | None = None
    min_clear: int | None = None


def run(
    reader: Reader,
    backend: Backend,
    parts: Sequence[Part[SinkT]],
    region: Window,
    journal: Journal,
    progress: Progress | None = None,
    selected: PixelSet | None = None,
) -> Statistics:
    """Embed a region of a scene, window by window. Finished windows are skipped.

    A pixel that isn't selected is as one that nobody looked at: it costs no time of the network.

    Args:
        reader: the scene.
        backend: the loaded model.
        parts: what is made of each window: one, or one for each of several periods that grow from one first day. The
            window is read once for all.
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
    # One thread reads the next window and one writes the last, while this one packs and computes. A device computes a
    # window while this one packs the next.
    with ThreadPoolExecutor(1, "tessera-read") as reading, ThreadPoolExecutor(1, "tessera-write") as writing:
        finishing = _Finishing(statistics, journal, region, report, total, writing)
        ahead = reading.submit(_read, reader, windows[0])
        for i, window in enumerate(windows):
            with statistics.stage("read"):
                observations, read = ahead.result()
            if i + 1 < len(windows):
                ahead = reading.submit(_read, reader, windows[i + 1])
            here = _Here.of(window, selected)
            growing = _Growing(backend, here.chosen(observations), here)
            del observations
            for n, part in enumerate(parts):
                within = partial(_report_part, report, statistics.pixels, here.pixels, total, (n, len(parts)))
                finishing.add(growing.start(part, statistics, within, n + 1 == len(parts), read))
        finishing.end()
    return statistics


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
        arrays = {name: getattr(observations, name)[:, self.mask] for name in names}
        covered = None if observations.covered is None else observations.covered[self.mask]
        return replace(observations, **arrays, covered=covered)

    def spread(self, values: NDArray[Any], fill: float = 0) -> NDArray[Any]:
        """Values of (pixels, ...) at their places in the window: (height, width, ...), `fill` at the other pixels."""
        size = (self.window.height, self.window.width)
        if self.mask is None:
            return values.reshape(*size, *values.shape[1:])
        spread = np.full((*size, *values.shape[1:]), fill, values.dtype)
        spread[self.mask] = values
        return spread


@dataclass
class _Step:
    """A window's embeddings for one period, which the backend has or is computing.

    Attributes:
        growing: the window.
        part: what is made of it.
        packed: which pixels are computed.
        pending: their embeddings.
        block: the results that need no embeddings.
        is_last: whether it is the window's last period.
        read: checksums of the window's observations.
    """

    growing: _Growing
    part: Part[Any]
    packed: PackedPixels
    pending: Pending
    block: Block
    is_last: bool
    read: Sums

    def finish(self, statistics: Statistics) -> Block:
        """The window's results in the form of the staged arrays: (height, width, ...) each."""
        with statistics.stage("network"):
            self.pending.wait()
        with statistics.stage("quantise"):
            return self.block | self.growing.results(self)


class _Growing:
    """The embeddings of one window, of periods that grow.

    Attributes:
        values: (pixels, dim) float32 embeddings, or int8 codes, of the periods that are finished.
        scales: (pixels,) float32 of codes.
    """

    def __init__(self, backend: Backend, observations: Observations, here: _Here) -> None:
        self.backend, self.here = backend, here
        self.observations: Observations | None = observations
        self.values: NDArray[Any] | None = None
        self.scales = np.full(here.pixels, np.nan, np.float32)
        self.counts: NDArray[np.uint16] | None = None
        self.sums: list[str] = []

    @property
    def with_data(self) -> int:
        """Pixels with an observation in the last period."""
        return 0 if self.counts is None else int(self.counts.any(axis=1).sum())

    def start(
        self,
        part: Part[Any],
        statistics: Statistics,
        report: Callable[[float], None],
        is_last: bool,
        read: Sums,
    ) -> _Step:
        """Start to compute the next period."""
        backend, sink, here = self.backend, part.sink, self.here
        assert self.observations is not None
        facts = backend.model.facts
        seen = self.observations if part.period is None else self.observations.until(part.period[1])
        if is_last:
            self.observations = None  # the next window's are in memory before this one's embeddings are there
        with statistics.stage("pack"):
            # A pixel without new observations has the same tokens, so it keeps its embedding, where other pixels
            # beside it don't change its bits
            packed = pack(seen, facts, self.counts if backend.piece_pixels is not None else None)
        self.counts = packed.counts
        with statistics.stage("network"):
            prefix = sink.dim if "scales" in sink.keys else None
            pending = _start_network(backend, packed.tokens, prefix, report)
        block: Block = {"observations": here.spread(packed.counts)}
        if "colours" in sink.keys:
            with statistics.stage("quantise"):
                block["colours"] = here.spread(_true_colours(seen, here.pixels))
        if "quality" in sink.keys:
            with statistics.stage("quality"):
                block["quality"] = here.spread(quality_of(seen, part.time, part.min_clear))
        return _Step(self, part, packed, pending, block, is_last, read)

    def results(self, step: _Step) -> Block:
        """The embeddings with those of a step that is computed, and nodata where there is none."""
        here, dim = self.here, step.part.sink.dim
        with_codes = "scales" in step.part.sink.keys
        if self.values is None:
            shape, nodata = (here.pixels, dim), CODE_NODATA if with_codes else np.nan
            self.values = np.full(shape, nodata, np.int8 if with_codes else np.float32)
        pixels = step.packed.pixels
        # The next period changes these arrays while this one is written
        if not with_codes:
            self.values[pixels] = step.pending.embedding()[:, :dim]
            return {"embeddings": here.spread(self._kept(self.values, step), np.nan)}
        self.values[pixels], self.scales[pixels] = step.pending.codes()
        return {
            "embeddings": here.spread(self._kept(self.values, step), CODE_NODATA),
            "scales": here.spread(self._kept(self.scales, step), np.nan),
        }

    @staticmethod
    def _kept(values: NDArray[Any], step: _Step) -> NDArray[Any]:
        return values if step.is_last else values.copy()


class _Finishing:
    """Takes steps that have started, in their order, and writes their results.

    What a device computes is waited for when the next step has started; what is computed already is written at once.
    """

    def __init__(
        self,
        statistics: Statistics,
        journal: Journal,
        region: Window,
        report: Progress,
        total: int,
        writing: ThreadPoolExecutor,
    ) -> None:
        self._statistics, self._journal, self._region = statistics, journal, region
        self._report, self._total, self._writing = report, total, writing
        self._waiting: _Step | None = None
        self._written: Future[None] | None = None

    def add(self, step: _Step) -> None:
        """Finish the step before, and this one too if the backend doesn't compute it meanwhile."""
        self._finish_waiting()
        self._waiting = step
        if not step.growing.backend.overlaps:
            self._finish_waiting()

    def end(self) -> None:
        """Finish all, and wait until it is written."""
        self._finish_waiting()
        self._wait_for_writing()

    def _wait_for_writing(self) -> None:
        with self._statistics.stage("write"):
            if self._written is not None:
                self._written.result()

    def _finish_waiting(self) -> None:
        step, self._waiting = self._waiting, None
        if step is None:
            return
        statistics, growing = self._statistics, step.growing
        block = step.finish(statistics)
        self._wait_for_writing()
        with statistics.stage("write"):
            growing.sums.append(checksum(block))
            window, last = growing.here.window, None
            if step.is_last:
                last = window, Finished(growing.with_data, checksum_of_all(growing.sums), step.read)
            place = window.relative_to(self._region)
            self._written = self._writing.submit(_write, step.part.sink, place, block, self._journal, last)
        if step.is_last:
            statistics.pixels += growing.here.pixels
            statistics.with_data += growing.with_data
            self._report(statistics.pixels, self._total)


def _report_part(
    report: Progress, before: int, pixels: int, total: int, part: tuple[int, int], share: float
) -> None:
    """Report that a share of a window's pixels is computed, for one part of several: its number and how many."""
    report(before + int(pixels * (part[0] + share) / part[1]), total)


def _start_network(
    backend: Backend, tokens: PackedTokens, prefix: int | None, report: Callable[[float], None]
) -> Pending:
    """Start to embed a window's tokens, in pieces where the backend gives the same bits for them.

    Args:
        backend: the loaded model.
        tokens: of the window.
        prefix: see `Backend.start`.
        report: called with the share that is done, from 0 to 1, after each piece but the last.
    """
    pixels, size = len(tokens), backend.piece_pixels
    if size is None or pixels <= size or backend.overlaps:
        return backend.start(tokens, prefix)
    embedding = np.empty((pixels, backend.model.facts.dims), np.float32)
    for first in range(0, pixels, size):
        last = min(first + size, pixels)
        embedding[first:last] = backend.run(tokens.part(first, last))
        if last < pixels:
            report(last / pixels)
    return Pending(backend, lambda: Result(embedding), pixels, prefix)


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


def _write(
    sink: Sink, place: Window, block: Block, journal: Journal, last: tuple[Window, Finished] | None
) -> None:
    """Write a block, and after the last one of a window record that it is finished."""
    sink.write_block(place, block)
    if last is not None:
        journal.add(*last)
