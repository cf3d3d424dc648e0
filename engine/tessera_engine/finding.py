"""A finding: something about a scene that is wrong, or that its user should know."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from tessera_engine.errors import plain

Sure = Literal["certain", "likely"]

READER = "reader"
"""Name of the findings that come from a reader's `warnings`."""


@dataclass(frozen=True)
class Finding:
    """One thing about a scene that is wrong, or that its user should know. Its texts may quote files; see `plain`.

    Attributes:
        name: a stable name for programs, such as `s2-offset`; `reader` for a warning of the scene's reader.
        sure: `certain` where nothing natural looks like this, `likely` where something rare does.
        found: what was found and what was expected, with numbers.
        effect: what this does to the embeddings; empty where `found` contains it.
        fix: the argument or the step that corrects it; empty where there is none.
    """

    name: str
    sure: Sure
    found: str
    effect: str = ""
    fix: str = ""

    def __post_init__(self) -> None:
        for text in ("found", "effect", "fix"):
            object.__setattr__(self, text, plain(getattr(self, text)))

    @property
    def line(self) -> str:
        """All of it in one line."""
        if self.name == READER:
            return self.found
        parts = [f"{self.found} [{self.name}, {self.sure}]", self.effect, self.fix]
        return "; ".join(part for part in parts if part)

    def to_dict(self) -> dict[str, str]:
        """The finding as a JSON object."""
        return asdict(self)
