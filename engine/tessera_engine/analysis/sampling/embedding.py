"""A scene as a source of a table: only the pixels of its shapes are embedded."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tessera_engine.analysis.sampling.spool import Spool
from tessera_engine.api import examine, warn
from tessera_engine.errors import InputError
from tessera_engine.files.durable import sync_file
from tessera_engine.files.staging import Block
from tessera_engine.machine import default_memory
from tessera_engine.model.file import ModelFile
from tessera_engine.progress import Announce, Progress
from tessera_engine.running import pipeline
from tessera_engine.running.changes import check_finished, state_of_files
from tessera_engine.running.journal import Journal
from tessera_engine.running.loading import Model
from tessera_engine.running.memory import Demand
from tessera_engine.running.resume import check_staged
from tessera_engine.scene import Grid, Scene, Window
from tessera_engine.scenes.period import filed_under


@dataclass(frozen=True)
class SceneSource:
    """A scene, of which the pixels that are asked for are embedded.

    Attributes:
        scene: the observations.
        file: the model file.
        model: a loaded model, or what names the file.
        runs_it: the name of the backend.
        dim: length of the embedding that is kept.
        memory: bytes that the process may take; None: see `default_memory`.
        held: bytes of memory of what else is there: the libraries that read the shapes.
        strict: refuse a scene with any finding.
        announce: called with a line for each finding; None: they are Python warnings.
    """

    scene: Scene
    file: ModelFile
    model: Model | str
    runs_it: str
    dim: int
    memory: int | None
    held: int
    strict: bool
    announce: Announce | None

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self.scene.path)

    @property
    def grid(self) -> Grid:
        """The pixels."""
        return self.scene.grid

    @property
    def stored_as(self) -> str:
        """`int8` or `float32`."""
        return "int8" if self.file.facts.is_int8 else "float32"

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Facts of the run, as an output would have them."""
        facts = self.file.facts
        year, _ = filed_under(self.scene.reader.bounds, self.scene.reader.period)
        return {
            "model": facts.name,
            "model_sha256": self.file.sha256,
            "generation": facts.generation,
            "precision": facts.precision,
            "year": year,
        }

    def fingerprint(self) -> str:
        """The scene's, the model's, and the backend."""
        return f"{self.scene.reader.fingerprint()} {self.file.sha256} {self.runs_it}"

    def fill(self, spool: Spool, progress: Progress) -> None:
        """Embed the spool's pixels, as `embed` would embed them; those that an interrupted process has finished stay.

        Raises:
            InputError: the scene is refused or has changed, or the memory is too little.
            TesseraError: the scene or what is finished can't be read.
        """
        region = spool.pixels.box
        assert region is not None
        reader = self.scene.reader
        demand = Demand(
            reader,
            self.file,
            self.grid.crop(region),
            "npy",
            self.runs_it,
            self.stored_as,
            spool.pixels.bytes_held + self.held,
        )
        window_pixels = demand.window_pixels(self.memory or default_memory())
        files = state_of_files(reader)
        _, loaded = examine(self.scene, region, self.model, self.file, self.strict, self.announce)
        sink, say = _Sink(spool, region), warn if self.announce is None else self.announce
        journal = self._journal(spool.path.with_name(f"{spool.path.name}.journal"), window_pixels)
        check_staged(journal, [sink], region, say, spool.pixels)
        check_finished(journal, reader, region, files, False, say, spool.pixels)
        pipeline.run(reader, loaded.backend, [pipeline.Part(sink)], region, journal, progress, spool.pixels)

    def _journal(self, path: Path, window_pixels: int) -> Journal:
        """The journal of an interrupted process, or a new one."""
        if not path.exists():
            journal = Journal(path, {}, window_pixels)
            journal.save()
            return journal
        journal = Journal.open(path)
        if window_pixels < journal.window_pixels:
            raise InputError(
                f"the table was begun with windows of {journal.window_pixels} pixels, and memory= now allows "
                f"{window_pixels}; give more memory to finish it"
            )
        return journal


@dataclass(frozen=True)
class _Sink:
    """Takes the finished windows of a run into a spool."""

    spool: Spool
    region: Window

    @property
    def dim(self) -> int:
        """See `tessera_engine.running.pipeline.Sink`."""
        return self.spool.dim

    @property
    def keys(self) -> Collection[str]:
        """See `tessera_engine.running.pipeline.Sink`."""
        scales = ["scales"] if self.spool.stored_as == "int8" else []
        return ["embeddings", "observations", *scales]

    def write_block(self, window: Window, block: Block) -> None:
        """See `tessera_engine.running.pipeline.Sink`."""
        self.spool.write(
            self._placed(window), block["embeddings"], block.get("scales"), block["observations"]
        )
        sync_file(self.spool.path)

    def read_block(self, window: Window) -> Block:
        """See `tessera_engine.running.resume.Staged`."""
        values, scales, observations = self.spool.read_back(self._placed(window))
        block: Block = {"embeddings": values, "observations": observations}
        return block if scales is None else block | {"scales": scales}

    def _placed(self, window: Window) -> Window:
        return window._replace(col=window.col + self.region.col, row=window.row + self.region.row)
