"""What the guard, or a scene's reader, found worth saying."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Sure = Literal["certain", "likely"]

READER = "reader"
"""Name of a finding that is a line of the reader's `warnings`."""


@dataclass(frozen=True)
class Finding:
    """One thing about a scene that is wrong, or that its user should know.

    Attributes:
        name: for programs: `s2-offset`, ...; `reader` for what reading the files brought up.
        sure: `certain` where nothing natural looks like it, `likely` where something rare does.
        found: what was found and what was expected, with numbers.
        effect: what it does to the embeddings; empty where `found` says so.
        fix: the option or the step that puts it right; empty where there is none.
    """

    name: str
    sure: Sure
    found: str
    effect: str = ""
    fix: str = ""

    @property
    def line(self) -> str:
        """All of it in one line."""
        if self.name == READER:
            return self.found
        told = f"{self.found} [{self.name}, {self.sure}]"
        for part in (self.effect, self.fix):
            told += f"; {part}" if part else ""
        return told

    def to_dict(self) -> dict[str, str]:
        """As JSON values."""
        return asdict(self)
