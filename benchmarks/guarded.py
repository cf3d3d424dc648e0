"""Stages of a measurement on a machine that is lent for minutes: each on its own, and on the disk at once."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tessera_engine.errors import TesseraError
from tessera_engine.files.publish import rewritten

LEAST_SECONDS = 20.0
"""What must be left for another stage to begin."""


class Skip(Exception):
    """A stage can't run here; the message says why."""


class Stages:
    """Runs stages and writes what they found, after each one.

    Attributes:
        found: name of a stage -> `seconds` with `result`, `skipped` (why) or `error`.
    """

    def __init__(self, out: Path, budget: float) -> None:
        """Args: the JSON file; seconds for all stages, of which those that come too late are skipped."""
        self._out, self._budget, self._start = out, budget, time.monotonic()
        self.found: dict[str, dict[str, Any]] = {}

    def run(self, name: str, measure: Callable[[], Any]) -> Any:
        """Run a stage; gives its result, or None."""
        begun = time.monotonic()
        row: dict[str, Any] = {}
        try:
            if self._budget - (begun - self._start) < LEAST_SECONDS:
                raise Skip("no time is left")
            row["result"] = measure()
        except Skip as reason:
            row["skipped"] = str(reason)
        except TesseraError as error:
            row["error"] = str(error)
        except Exception:
            row["error"] = traceback.format_exc()[-2000:]
        row["seconds"] = round(time.monotonic() - begun, 2)
        self.found[name] = row
        with rewritten(self._out) as path:
            path.write_text(json.dumps({"stages": self.found}, indent=1, default=float) + "\n")
        kind = next(iter(row))
        print(
            f"[{time.monotonic() - self._start:6.1f} s] {name}: {kind} {json.dumps(row[kind], default=float)[:400]}",
            flush=True,
        )
        return row.get("result")

    @property
    def failed(self) -> list[str]:
        """Names of the stages that ended with an error."""
        return [name for name, row in self.found.items() if "error" in row]
