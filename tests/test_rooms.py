"""Rooms: imports run kernels <- engine <- export, and nothing heavy is imported where it isn't used."""

from __future__ import annotations

import ast

import pytest
from places import ROOT

ROOMS = {
    "tessera_kernels": {"tessera_kernels"},
    "tessera_engine": {"tessera_kernels", "tessera_engine"},
    "tessera_export": {"tessera_kernels", "tessera_engine", "tessera_export"},
}
FILES = sorted(path for room in ("engine", "export", "kernels") for path in (ROOT / room).rglob("*.py"))


def imported(path):
    """Top-level packages that a file imports anywhere, and the ones it imports as it loads."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    anywhere, loading = set(), set()
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    checking = {
        id(n)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and getattr(block.test, "id", "") == "TYPE_CHECKING"
        for n in ast.walk(block)
    }
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names = [node.module]
        packages = {name.split(".")[0] for name in names}
        anywhere |= packages
        if id(node) not in inside | checking:
            loading |= packages
    return anywhere, loading


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path):
    anywhere, loading = imported(path)
    room = next(part for part in path.parts if part in ROOMS)
    ours = anywhere & set(ROOMS)
    # The command line sits above all rooms: its commands may call the export room, where they need it.
    if path.parent.name == "cli":
        ours, loading = ours - {"tessera_export"}, loading
        assert not loading & {"tessera_export", "numpy", "numba", "onnx", "rasterio", "rich"}
    assert ours <= ROOMS[room]
    if room != "tessera_export":
        assert "torch" not in anywhere


@pytest.mark.parametrize("folder", ["engine", "export", "kernels", "tests", "benchmarks"])
def test_top_level_folders_are_no_packages(folder):
    assert not (ROOT / folder / "__init__.py").exists()
