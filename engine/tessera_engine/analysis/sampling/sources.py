"""Where the embeddings of a table come from: finished outputs, or scenes of which only some pixels are embedded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tessera_engine.analysis.sampling.spool import Spool
from tessera_engine.formats.embeddings.base import BLOCK_VALUES, Embeddings
from tessera_engine.places.pixels import PixelSet
from tessera_engine.progress import Progress
from tessera_engine.scene import Grid, Window
from tessera_engine.stac.items import ITEM_SHA256


class Source(Protocol):
    """Embeddings of one place and year."""

    @property
    def path(self) -> Path:
        """The folder."""
        ...

    @property
    def grid(self) -> Grid:
        """The pixels."""
        ...

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        ...

    @property
    def stored_as(self) -> str:
        """`int8` or `float32`."""
        ...

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Facts of the run: `model`, `model_sha256`, `year`, ..., as far as they are known."""
        ...

    def fingerprint(self) -> str:
        """What the embeddings depend on, in words."""
        ...

    def fill(self, spool: Spool, progress: Progress) -> None:
        """Write the spool's pixels into it.

        Args:
            spool: of pixels of the grid.
            progress: called with pixels done and in all.
        """
        ...


@dataclass(frozen=True)
class OutputSource:
    """A finished output, of one year."""

    embeddings: Embeddings

    @property
    def path(self) -> Path:
        """The folder."""
        return self.embeddings.path

    @property
    def grid(self) -> Grid:
        """The pixels."""
        return self.embeddings.grid

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self.embeddings.dim

    @property
    def stored_as(self) -> str:
        """`int8` or `float32`."""
        return self.embeddings.stored_as

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Facts of the run."""
        return self.embeddings.provenance

    def fingerprint(self) -> str:
        """The item's checksum."""
        return f"{self.embeddings.item['properties'].get(ITEM_SHA256)} {self.provenance.get('year')}"

    def fill(self, spool: Spool, progress: Progress) -> None:
        """See `Source`. Each tile of a file is decoded at most once."""
        done = 0
        for window in self._windows():
            here = spool.pixels.box_in(window)
            if here is None:
                continue
            stored = self.embeddings.read_stored(here)
            spool.write(here, stored.values, stored.scales, self.embeddings.read_observations(here))
            done += spool.pixels.count(here)
            progress(done, len(spool.pixels))

    def _windows(self) -> Iterator[Window]:
        """Blocks of whole tiles with about `BLOCK_VALUES` values, or strips where files have no tiles."""
        block, whole = self.embeddings.source.block, self.grid.window
        if block == 1:
            return self.embeddings.windows()
        across = max(1, BLOCK_VALUES // (block * block * self.dim))
        return whole.blocks(min(whole.width, block * across), block)


def pixels_of(source: Source, pixels: PixelSet, path: Path, progress: Progress) -> Spool:
    """A spool with the embeddings of some pixels."""
    spool = Spool(path, pixels, source.dim, source.stored_as)
    if len(pixels):
        source.fill(spool, progress)
    return spool
