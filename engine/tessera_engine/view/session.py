"""What the page can ask for: the outputs of one command, their layers, answers to questions, and the work for these."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

from tessera_engine.errors import InputError
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.same_grid import offset
from tessera_engine.progress import Progress
from tessera_engine.scene import Grid, Window
from tessera_engine.version import __version__
from tessera_engine.view import search
from tessera_engine.view.cache import needed_bytes
from tessera_engine.view.framed import Placed, frame
from tessera_engine.view.jobs import Cancelled, Events, Jobs
from tessera_engine.view.labelling import Labelling, write_similarity
from tessera_engine.view.layers import Layers
from tessera_engine.view.levels import TILE, hectares
from tessera_engine.view.search import Answer, Answers, Question
from tessera_engine.view.segments import Segments
from tessera_engine.view.viewed import Viewed

UNASKED_BYTES = 600_000_000
"""Outputs up to this size, unpacked, are unpacked as soon as the page is up: a second or two. Larger ones when a
question needs it: who only looks needs no GB on the disk."""

LISTEN_SECONDS = 0.1
"""Seconds between two looks whether a job that waits for another is still wanted."""


QUIET_SECONDS, LONGEST_PICTURE = 1.0, 5.0
"""The first picture has all of the CPU: it is complete when no tile was asked for so long, or after so long."""


class Session:
    """Everything behind the routes.

    Attributes:
        outputs: what is shown.
        events: what the page is told.
        jobs: the work in the background.
        answers: of `similar`, `change` and `classify`.
        labels: of the first output.
        segments: over the first output; None: none were given.
    """

    def __init__(self, opened: Sequence[Embeddings], segments: Segments | None = None) -> None:
        self._placed: dict[int, Placed] = {}
        self.outputs = [Viewed(number, self._on_first(number, opened)) for number in range(len(opened))]
        self.events = Events()
        self.jobs = Jobs(self.events)
        self.answers = Answers()
        self.labels = Labelling(self.outputs[0])
        self.segments = segments
        self._layers = Layers(self.outputs)
        self._declined: set[int] = set()
        self._tiles_until = math.inf
        self._seen = threading.Lock()

    def _on_first(self, number: int, opened: Sequence[Embeddings]) -> Embeddings:
        """An output, on the pixels of the first one if they have a part in common."""
        first, embeddings = opened[0], opened[number]
        framed = None if _same(first.grid, embeddings.grid) else frame(first, embeddings)
        if framed is None:
            return embeddings
        self._placed[number] = framed[1]
        return framed[0]

    @property
    def same_grid(self) -> bool:
        """Whether all outputs have the same pixels."""
        first = self.outputs[0].embeddings.grid
        return all(_same(first, viewed.embeddings.grid) for viewed in self.outputs)

    def info(self) -> dict[str, Any]:
        """What the page shows first, and needs to ask for the rest."""
        return {
            "outputs": [self._described(viewed) for viewed in self.outputs],
            "tile": TILE,
            "same_grid": self.same_grid,
            "exports": self.outputs[0].embeddings.path.absolute().parent.name,
            "classes_possible": self._classes_possible,
            "segments": None if self.segments is None else self.segments.about(),
            "version": __version__,
        }

    def output(self, number: int) -> Viewed:
        """One of the outputs.

        Raises:
            LookupError: there is no such output.
        """
        if not 0 <= number < len(self.outputs):
            raise LookupError
        return self.outputs[number]

    def layer_tile(self, layer: str, number: int, z: int, x: int, y: int) -> bytes:
        """See `tessera_engine.view.layers.Layers.tile`."""
        tile = self._layers.tile(layer, self.output(number), z, x, y)
        self._tiles_until = time.monotonic()
        if self._seen.acquire(blocking=False):  # once, and never released
            threading.Thread(target=self._prepare, name="tessera-prepare", daemon=True).start()
        return tile

    def pixel(self, number: int, col: int, row: int) -> dict[str, Any]:
        """All that is known of one pixel.

        Raises:
            InputError: it lies outside.
            TesseraError: a file can't be read.
        """
        viewed = self.output(number)
        grid = viewed.embeddings.grid
        if not (0 <= col < grid.width and 0 <= row < grid.height):
            raise InputError(f"pixel {col} {row} lies outside of the {grid.width} x {grid.height} pixels")
        stored = viewed.pixel(col, row)
        clear, radar = viewed.read_observations(0, Window(col, row, 1, 1))[0, 0].tolist()
        x, y = grid.transform @ (col + 0.5, row + 0.5)
        lon, lat = _degrees(grid, x, y)
        valid = bool(stored.valid[0, 0])
        return {
            "col": col,
            "row": row,
            "x": x,
            "y": y,
            "lon": lon,
            "lat": lat,
            "valid": valid,
            "clear_s2": clear,
            "valid_s1": radar,
            "embedding": stored.embeddings[0, 0].tolist() if valid else None,
        }

    def similar(self, number: int, question: Question) -> dict[str, Any]:
        """Find the pixels similar to some pixels; see `tessera_engine.view.search.similar`."""
        viewed = self.output(number)

        def ask(report: Progress | None) -> dict[str, Any]:
            answer = search.similar(viewed, question, self.answers.number(), report)
            return self._told("similar", number, answer)

        return self._asked("similar", [viewed], ask)

    def change(self, before: int, after: int) -> dict[str, Any]:
        """Ask what has changed; see `tessera_engine.view.search.change`. The tiles are those of `before`."""
        outputs = [self.output(before), self.output(after)]
        if before == after or not _same(outputs[0].embeddings.grid, outputs[1].embeddings.grid):
            raise InputError(
                "the two outputs have no pixel in common, or pixels of different sizes; give outputs of one place"
            )

        def ask(report: Progress | None) -> dict[str, Any]:
            answer = search.change(outputs[0], outputs[1], self.answers.number(), report)
            return self._told("change", before, answer)

        return self._asked("change", outputs, ask)

    def classify(self, number: int) -> dict[str, Any]:
        """Give each pixel its class, by the saved labels; see `tessera_engine.view.classes`."""
        viewed = self._labelled(number)
        return self._asked(
            "classify", [viewed], lambda report: self.labels.classify(viewed, self.answers, report)
        )

    def accuracy(self, number: int) -> None:
        """Find how accurate the final map would be. The answer follows as an event."""
        self.jobs.start("accuracy", self.labels.accuracy(self._labelled(number)), output=number)

    def write_map(self, number: int, method: str) -> None:
        """Write the final map beside the output. Its name follows as an event."""
        if number in self._placed:
            raise InputError(
                "the map of an output with other pixels than the first one isn't made here; save the labels and give "
                "them to 'tessera-engine map'"
            )
        self.jobs.start("map", self.labels.final_map(self._labelled(number), method), output=number)

    def write_similarity(self, version: int, threshold: float) -> str:
        """Write an answer of `similar` beside its output; gives the folder's name.

        Raises:
            LookupError: the answer isn't kept any more.
        """
        found = self.answers.find(version)
        if found is None or not isinstance(found[1], Answer) or found[1].question is None:
            raise LookupError
        return write_similarity(self.output(found[0]), found[1], threshold)

    def unpack(self, number: int) -> None:
        """Unpack an output, also after that was cancelled."""
        self._declined.discard(number)
        self._unpack(self.output(number))

    def cancel(self, name: str) -> bool:
        """Cancel the jobs of a name. An output whose unpacking is cancelled isn't unpacked again unasked."""
        if name == "unpack":
            self._declined |= {
                viewed.number for viewed in self.outputs if self.jobs.running(name, viewed.number)
            }
        return self.jobs.cancel(name)

    def close(self, seconds: float) -> list[str]:
        """End all work; gives the names of the jobs that were cut short."""
        self.events.close()
        return self.jobs.close(seconds)

    def _described(self, viewed: Viewed) -> dict[str, Any]:
        embeddings, about = viewed.embeddings, viewed.embeddings.provenance
        grid = embeddings.grid
        return {
            "id": viewed.number,
            "name": embeddings.path.absolute().name,
            "year": about.get("year"),
            "model": about.get("model"),
            "precision": about.get("precision"),
            "dim": embeddings.dim,
            "picture_dim": viewed.picture_dim,
            "stored_as": embeddings.stored_as,
            "crs": grid.crs,
            "width": grid.width,
            "height": grid.height,
            "transform": list(grid.transform)[:6],
            "pixel_ha": hectares(grid),
            "placed": self._placed[viewed.number]._asdict() if viewed.number in self._placed else None,
            "layers": self._layers.names(viewed),
            "levels": [level._asdict() for level in viewed.levels],
            "unpacked": viewed.unpacked,
        }

    @property
    def _classes_possible(self) -> bool:
        """Whether labels can be laid onto pixels: the library for that is in an extra."""
        return find_spec("shapely") is not None

    def _labelled(self, number: int) -> Viewed:
        viewed = self.output(number)
        if not _same(self.outputs[0].embeddings.grid, viewed.embeddings.grid):
            raise InputError("the labels are of the first output, which has other pixels")
        return viewed

    def _asked(
        self, name: str, outputs: Sequence[Viewed], ask: Callable[[Progress | None], dict[str, Any]]
    ) -> dict[str, Any]:
        """The first answer. If it is only of an overview, the one at full resolution follows as an event."""
        first = ask(None)
        if first["z"] and not self._declined & {viewed.number for viewed in outputs}:

            def refine(report: Progress) -> dict[str, Any]:
                for viewed in outputs:
                    ended = self._unpack(viewed)
                    while not ended.wait(LISTEN_SECONDS):
                        report(0, 1)
                if not all(viewed.unpacked for viewed in outputs):
                    raise Cancelled  # why, the page knows; but not that nothing more follows
                return ask(report)

            self.jobs.start(name, refine, "refined", outputs[0].number)
        else:
            # An older question that is still being refined would take the place of this answer
            self.jobs.drop(name, outputs[0].number)
        return first

    def _told(self, kind: str, number: int, answer: Answer) -> dict[str, Any]:
        self.answers.keep(kind, number, answer)
        told = {
            "version": answer.version,
            "z": answer.z,
            "pixels": answer.pixels,
            "histogram": answer.histogram(),
        }
        return told | {"suggested": answer.threshold(search.TOP_SHARE)} if answer.pixels else told

    def _unpack(self, viewed: Viewed) -> threading.Event:
        """Let an output be unpacked; gives what is set when that has ended."""
        running = self.jobs.running("unpack", viewed.number)
        if running is not None:
            return running

        def work(report: Progress) -> dict[str, Any]:
            viewed.unpack(report)
            return {"output": viewed.number}

        return self.jobs.start("unpack", work, output=viewed.number)

    def _prepare(self) -> None:
        """Once the page is up: load the compiled kernels, and unpack what is small."""
        until = time.monotonic() + LONGEST_PICTURE
        while time.monotonic() < min(until, self._tiles_until + QUIET_SECONDS):
            time.sleep(LISTEN_SECONDS)
        import tessera_engine.analysis.similar  # noqa: F401

        for viewed in self.outputs:
            if not viewed.unpacked and (viewed.kept or needed_bytes(viewed.embeddings) <= UNASKED_BYTES):
                self._unpack(viewed)


def _same(one: Grid, other: Grid) -> bool:
    return (one.width, one.height) == (other.width, other.height) and offset(one, other) == (0, 0)


def _degrees(grid: Grid, x: float, y: float) -> tuple[float | None, float | None]:
    """Longitude and latitude; None where they aren't known."""
    if grid.crs is None:
        return None, None
    from rasterio.warp import transform

    from tessera_engine.gdal import PROJECTION_ERRORS

    try:
        (lon,), (lat,) = transform(grid.crs, "EPSG:4326", [x], [y])
    except PROJECTION_ERRORS:
        return None, None
    return (lon, lat) if math.isfinite(lon) and math.isfinite(lat) else (None, None)
