"""What the server of `view` costs: CPU seconds and memory, for outputs of several sizes.

    python benchmarks/view.py OUTPUT FOLDER [SIDE ...]

OUTPUT is int8 embeddings of at least 512 x 512 pixels. Of its codes, shifted at random and with noise, outputs of
SIDE x SIDE pixels are made in FOLDER (kept there for the next time), which compress no better than real ones. A server
is started for each, with an empty cache, and asked over HTTP as the page does. Linux only.

* CPU seconds are those of the server's process, user and system, over all threads; so they hold on a busy machine too.
* Its own memory is what it has allocated (RssAnon). Pages of the mapped cache are added while memory is free.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
from page_client import Client

from tessera_engine import open_embeddings
from tessera_engine.files.staging import Staging
from tessera_engine.formats.format import Content
from tessera_engine.formats.registry import FORMATS
from tessera_engine.scene import Grid
from tessera_engine.stac.writing import write_converted_item

BLOCK = 512
NOISE = 6
"""Codes: with it, DEFLATE leaves 95 % of the size, more than of real embeddings (70 to 85 %)."""

CLASSES = 8


def make(source, folder, side):
    """An output of side x side pixels, unless it is there."""
    out = folder / f"{side}.embeddings"
    if (out / "item.json").exists():
        return out
    grid = Grid(side, side, source.grid.crs, source.grid.transform)
    staged = Path(tempfile.mkdtemp(dir=folder))
    staging = Staging.create(staged, grid, source.dim, "int8")
    stored, rng = source.read_stored(), np.random.default_rng(0)
    codes, scales = stored.values[:BLOCK, :BLOCK], np.ascontiguousarray(stored.scales[:BLOCK, :BLOCK])
    for window in grid.window.blocks(BLOCK, BLOCK):
        moved = np.roll(codes, tuple(rng.integers(0, BLOCK, 2)), (0, 1))[: window.height, : window.width]
        noisy = moved.astype(np.int16) + rng.integers(-NOISE, NOISE + 1, moved.shape, dtype=np.int8)
        staging.embeddings.write(window, noisy.clip(-127, 127).astype(np.int8))
        staging.scales.write(window, np.ascontiguousarray(scales[: window.height, : window.width]))
        staging.observations.write(window, np.full((window.height, window.width, 2), 40, np.uint16))
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    assets = FORMATS["cog"].write(Content(staging, out.name), out)
    place = {"proj:shape": [side, side], "proj:transform": list(grid.transform)[:6]}
    write_converted_item(out / "item.json", source.item, assets, place)
    shutil.rmtree(staged)
    return out


class Served:
    """A server in a process of its own."""

    def __init__(self, output, home):
        words = [sys.executable, "-m", "tessera_engine", "view", str(output), "--no-browser", "-q"]
        environment = {**os.environ, "TESSERA_ENGINE_HOME": str(home)}
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
        self.client = Client(self.process.stdout.readline().strip()).enter()
        self.measured = psutil.Process(self.process.pid)
        self.memory = 0
        (self.about,) = self.client.get("/api/info")["outputs"]

    def cpu(self):
        times = self.measured.cpu_times()
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        self.memory = max(self.memory, int(status.split("RssAnon:")[1].split()[0]) // 1000)
        return times.user + times.system

    def picture(self, layer, query=""):
        """All tiles of the level that fills a screen."""
        level = next(
            (each for each in self.about["levels"] if each["width"] <= 1024), self.about["levels"][-1]
        )
        for y in range(-(-level["height"] // 256)):
            for x in range(-(-level["width"] // 256)):
                status, _, _ = self.client.ask(f"/api/tile/{layer}/{level['z']}/{x}/{y}{query}")
                assert status == 200

    def ask(self, path, body, layer):
        """CPU seconds from a question to its picture, and the answer."""
        before = self.cpu()
        found = self.client.post(path, body)
        self.picture(layer, f"?v={found['version']}")
        return self.cpu() - before, found

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait()


def measure(output, home):
    """CPU seconds and MB by name."""
    served = Served(output, home)
    served.picture("pca")
    found = {"first picture": served.cpu()}
    side = served.about["width"]
    time.sleep(1.5)  # the kernels are loaded
    found["first search"], answer = served.ask(
        "/api/similar", {"positives": [[side // 2, side // 2]]}, "similarity"
    )
    before = served.cpu()
    while not served.client.get("/api/info")["outputs"][0]["unpacked"]:
        time.sleep(0.1)
    time.sleep(1)
    found["unpacking"] = served.cpu() - before
    rng = np.random.default_rng(0)
    places = rng.integers(0, side, (CLASSES * 5, 2)).tolist()
    found["search, unpacked"] = min(
        served.ask("/api/similar", {"positives": [place]}, "similarity")[0] for place in places[:5]
    )
    labels = {
        "revision": 0,
        "classes": [{"id": f"c{n}", "name": f"class {n}", "colour": "#000000"} for n in range(CLASSES)],
        "labels": [
            {"id": f"l{n}", "class": f"c{n % CLASSES}", "kind": "point", "col": col, "row": row}
            for n, (col, row) in enumerate(places)
        ],
    }
    kept = output.with_name(f"{output.name}.labels.json")
    kept.unlink(missing_ok=True)
    served.client.post("/api/labels", labels)
    found[f"class map, {CLASSES} classes"] = min(
        served.ask("/api/classify", {"output": 0}, "classes")[0] for _ in range(4)
    )
    kept.unlink()
    served.cpu()
    served.end()
    return found | {"own memory": served.memory, "level": answer["z"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("sides", type=int, nargs="*", default=[256, 1024, 4096])
    given = parser.parse_args()
    given.folder.mkdir(exist_ok=True)
    source, columns = open_embeddings(given.output), {}
    for side in given.sides:
        home = Path(tempfile.mkdtemp(dir=given.folder))
        try:
            columns[side] = measure(make(source, given.folder, side), home)
        finally:
            shutil.rmtree(home)
    print(f"| | {' | '.join(f'{side} x {side}' for side in columns)} |\n|---|{'---|' * len(columns)}")
    for name in next(iter(columns.values())):
        unit, form = (
            (" MB", ".0f") if name == "own memory" else ("", "d") if name == "level" else (" s", ".2f")
        )
        print(f"| {name} | {' | '.join(f'{column[name]:{form}}{unit}' for column in columns.values())} |")


if __name__ == "__main__":
    main()
