"""What a source on other pixels has in common with the source that it reads."""

from __future__ import annotations

from dataclasses import dataclass

from tessera_engine.formats.embeddings.stored import Source
from tessera_engine.scene import Grid


@dataclass(frozen=True)
class Moved:
    """A source whose pixels are those of another one, in another place.

    The base of what implements `tessera_engine.formats.embeddings.stored.Source` in this way.

    Attributes:
        source: what is read.
        grid: the pixels.
    """

    source: Source
    grid: Grid

    @property
    def dim(self) -> int:
        """Length of the stored embedding."""
        return self.source.dim

    @property
    def stored_as(self) -> str:
        """`int8` or `float32`."""
        return self.source.stored_as

    @property
    def block(self) -> int:
        """Twice the source's, whose tiles lie across these: more of what is decoded is used."""
        return 2 * self.source.block if self.source.block > 1 else 1
