"""Runs of embed in processes of their own, to be interrupted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from places import ROOT


def start(folder: Path, out: str, *options: str) -> subprocess.Popen:
    path = os.pathsep.join(str(ROOT / room) for room in ("engine", "export", "kernels"))
    return subprocess.Popen(
        [sys.executable, "-m", "tessera_engine", "embed", "scene", "--int8", "-o", out, *options],
        cwd=folder, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def holder(folder: Path) -> int:
    """The process that has the output's lock, or had it last; 0 for none."""
    try:
        return int((folder / "out.partial" / "lock").read_text() or 0)
    except FileNotFoundError:
        return 0


def wait_for_work(life: subprocess.Popen, folder: Path) -> None:
    while holder(folder) != life.pid and life.poll() is None:
        time.sleep(0.01)


def contents(out: Path) -> dict[str, bytes]:
    """The files of an output; of item.json what doesn't tell the time."""
    files = {path.name: path.read_bytes() for path in out.iterdir()}
    item = json.loads(files["item.json"])
    for word in ("created", "end_datetime", "tessera:item_sha256"):
        item["properties"].pop(word)
    return files | {"item.json": json.dumps(item).encode()}
