"""The demo model under other names: models that no machine has yet."""

from __future__ import annotations

import json
from pathlib import Path

import onnx

from tessera_engine.model.installed import packaged_folder

PREFIX = "tessera."


def renamed(path: Path, precision: str, **facts: str) -> Path:
    """Write the demo model with other facts."""
    proto = onnx.load(packaged_folder() / f"demo.{precision}.onnx")
    for entry in proto.metadata_props:
        name = entry.key.removeprefix(PREFIX)
        entry.value = json.dumps(facts[name]) if name in facts else entry.value
    onnx.save(proto, path)
    return path
