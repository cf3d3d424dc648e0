"""The backends, by name. To add one, write a module with a `BACKEND` and a line here.

Other packages add backends with the entry-point group `tessera_engine.backends`; this is how the export package adds
`torch`.
"""

from __future__ import annotations

import functools
import importlib
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from tessera_engine.files.nearby import unknown

if TYPE_CHECKING:
    from tessera_engine.backends.base import BackendRecord

BACKENDS = {
    "fused": "tessera_engine.backends.fused",
    "cuda": "tessera_engine.backends.cuda",
    "onnxruntime": "tessera_engine.backends.onnxruntime",
    "openvino": "tessera_engine.backends.openvino",
    "tensorrt": "tessera_engine.backends.tensorrt",
}
"""Name -> the module whose `BACKEND` is its `BackendRecord`."""

GROUP = "tessera_engine.backends"


@functools.cache  # to look at every installed package takes 12 ms
def _added(_path: tuple[str, ...]) -> dict[str, str]:
    return {each.name: each.module for each in entry_points(group=GROUP)}


def _modules() -> dict[str, str]:
    added = _added(tuple(sys.path))
    return {**BACKENDS, **{name: module for name, module in added.items() if name not in BACKENDS}}


def backend_names() -> tuple[str, ...]:
    """The names of all backends. It imports none of them, so the command line's help can use it."""
    return tuple(_modules())


def backend_record(name: str) -> BackendRecord:
    """The record of a backend.

    Raises:
        InputError: there is no such backend.
    """
    modules = _modules()
    if not isinstance(name, str) or name not in modules:
        raise unknown("backend", name, ["auto", *modules])
    record: BackendRecord = importlib.import_module(modules[name]).BACKEND
    return record


def backend_bytes(name: str) -> int:
    """The `bytes` of a backend's record; 0 for one that isn't registered: an object that a caller made."""
    return backend_record(name).bytes if name in _modules() else 0


def backend_overlaps(name: str) -> bool:
    """The `overlaps` of a backend's record; False for one that isn't registered: an object that a caller made."""
    return name in _modules() and backend_record(name).overlaps
