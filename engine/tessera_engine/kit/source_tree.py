"""The checkout that the engine runs from: a kit takes its wheel, its constraints and its pages from there."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.version import __version__

CONSTRAINTS = "constraints.txt"
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "CITATION.cff")
"""Of the checkout's root; the pages of `docs` link to them."""
SITE = Path("dist/site")
"""Where `make docs` builds the documentation."""
PLUGIN = f"dist/tessera-engine-qgis-{__version__}.zip"
"""What `make qgis` builds."""


def find_source_tree() -> Path:
    """The checkout's root.

    Raises:
        InputError: the engine doesn't run from a checkout.
    """
    root = Path(__file__).resolve().parents[3]
    if not all((root / name).is_file() for name in ("pyproject.toml", CONSTRAINTS)):
        raise InputError(
            f"a kit is made from a checkout of tessera-engine, and {root} is none; run 'make kit' in a checkout"
        )
    return root


def build_wheel(root: Path, folder: Path) -> Path:
    """Build the engine's own wheel into a folder, with the sources as they are now.

    Raises:
        InputError: hatchling isn't installed.
        TesseraError: it failed.
    """
    if find_spec("hatchling") is None:
        raise InputError(
            "hatchling, which builds the engine's own wheel, is missing; run 'make kit', or install it"
        )
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(
        command, cwd=root, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    made = sorted(folder.glob("tessera_engine-*.whl"))
    if done.returncode != 0 or len(made) != 1:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise TesseraError(f"can't build the wheel of {root}: {lines[-1] if lines else 'no wheel was made'}")
    return made[0]
