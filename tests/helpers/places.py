"""Where things lie: the checkout, the tests' data, and the shared data that only some machines have beside it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
SHARED = ROOT.parent / "shared"
FLANDERS = SHARED / "data" / "flanders-2018"
