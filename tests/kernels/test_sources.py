"""Which code compiled kernels depend on."""

from __future__ import annotations

import ast

import pytest

from tessera_kernels import sources as module
from tessera_kernels.places import PACKAGE
from tessera_kernels.sources import sources


def edited(monkeypatch, name):
    """Modules whose kernels are compiled again after an edit of one."""
    names = [f"tessera_kernels.{each}" for each in module._TEXTS if each]
    sources.cache_clear()
    before = {each: sources(each) for each in names}
    monkeypatch.setitem(module._TEXTS, name, module._TEXTS[name] + "\n# changed")
    sources.cache_clear()
    after = {each: sources(each) for each in names}
    monkeypatch.undo()
    sources.cache_clear()
    return {each.removeprefix("tessera_kernels.") for each in names if before[each] != after[each]}


def test_an_edit_compiles_again_what_uses_it_and_nothing_else(monkeypatch):
    assert edited(monkeypatch, "true_colour") == {"true_colour"}
    assert edited(monkeypatch, "rules") == {"rules", "observe", "rectangles"}
    found = edited(monkeypatch, "encoder.simd")
    assert {"encoder", "encoder.branch", "encoder.fusion", "encoder.recurrent"} <= found
    assert not found & {"observe", "quantize", "similar", "change"}


def test_an_edit_of_what_compiles_counts_for_all(monkeypatch):
    for name in ("inner", "cache"):
        assert {"observe", "quantize", "encoder.branch", "encoder.fusion"} <= edited(monkeypatch, name)


def test_code_of_others_depends_on_everything(monkeypatch):
    sources.cache_clear()
    before = sources("somewhere.else")
    monkeypatch.setitem(module._TEXTS, "similar", "")
    sources.cache_clear()
    assert sources("somewhere.else") != before
    monkeypatch.undo()
    sources.cache_clear()


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_every_import_is_found(path):
    """Python's own parser finds no import of this package that the pattern misses."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    closure = module._closure(name)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tessera_kernels"):
            target = node.module.removeprefix("tessera_kernels").removeprefix(".")
            assert target in closure
            inside = f"{target}." if target else ""
            assert {f"{inside}{alias.name}" for alias in node.names} & module._TEXTS.keys() <= closure
