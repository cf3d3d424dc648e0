"""A browser that reaches nothing but the page, and the command that serves it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from places import ROOT

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-3d-apis", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    # Every name is unknown: what the page loads from elsewhere fails here, too
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip

BROWSERS = ("chromium", "chromium-browser", "google-chrome")

AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"

DESKTOP, PHONE = (1280, 800), (360, 740)

HEIGHT, WIDTH = 300, 340
"""More than one tile; the upper left 60 rows and 85 columns have no data."""


@dataclass
class Opened:
    """A page in the browser.

    Attributes:
        page: playwright's.
        origin: of all that it may load.
        wrong: errors of the page, and requests to elsewhere.
    """

    page: object
    origin: str
    wrong: list[str] = field(default_factory=list)

    def watch(self):
        page = self.page
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("console", lambda said: said.type == "error" and self.wrong.append(f"console: {said.text}"))
        page.on("request", lambda asked: self._origin(asked.url))

    def _origin(self, url):
        if not url.startswith((self.origin, "data:", "blob:")):
            self.wrong.append(f"request to {url}")

    def ready(self):
        """Wait until all that is visible on the map has been drawn."""
        self.page.wait_for_selector("#map[aria-busy=false]")
        return self

    def tab(self, name):
        self.page.get_by_role("tab", name=name).click()

    def at(self, col, row, width=WIDTH, height=HEIGHT):
        """Where a pixel is in the window while the whole map is shown: x, y."""
        box = self.page.locator("#map").bounding_box()
        scale = min((box["width"] - 32) / width, (box["height"] - 32) / height)
        x = box["x"] + box["width"] / 2 + (col + 0.5 - width / 2) * scale
        y = box["y"] + box["height"] / 2 + (row + 0.5 - height / 2) * scale
        return x, y

    def click(self, col, row, *keys):
        for key in keys:
            self.page.keyboard.down(key)
        self.page.mouse.click(*self.at(col, row))
        for key in keys:
            self.page.keyboard.up(key)

    def marked(self):
        """How many pixels of the screen marks cover."""
        return self.page.evaluate(
            """() => {
              const canvas = document.querySelector(".ol-layer canvas");
              const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
              return data.filter((value, at) => at % 4 === 3 && value > 0).length;
            }"""
        )

    def violations(self):
        """What axe-core finds wrong: rule and element."""
        # The policy of the page allows no script of others: it is run by the debugger
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        return self.page.evaluate(
            "axe.run().then(found => found.violations.map(one => [one.id, one.nodes[0].html]))"
        )

    def small_controls(self):
        """Controls that a finger can't hit."""
        return self.page.evaluate(
            """() => [...document.querySelectorAll("button, select, summary, input, label:has(input)")]
              .filter((one) => one.offsetParent && !one.matches("label input, .choices label:first-of-type > input"))
              .map((one) => [one.outerHTML.slice(0, 80), one.getBoundingClientRect()])
              .filter(([, box]) => box.width < 44 || box.height < 44).map(([html]) => html)"""
        )

    def colour(self, layer, col, row):
        """(R, G, B, A) that a layer of the map has at a pixel."""
        x, y = self.at(col, row)
        return self.page.evaluate(
            """([layer, x, y]) => {
              const canvas = document.querySelector(`canvas.raster.${layer}`);
              const box = canvas.getBoundingClientRect();
              const scale = canvas.width / box.width;
              const found = canvas.getContext("2d").getImageData((x - box.x) * scale, (y - box.y) * scale, 1, 1);
              return [...found.data];
            }""",
            [layer, x, y],
        )


@dataclass
class Viewing:
    """`tessera-engine view` at work.

    Attributes:
        process: the command.
        address: as it was printed; works once.
        folder: that the output lies in.
    """

    process: subprocess.Popen[str]
    address: str
    folder: Path

    @property
    def origin(self):
        return self.address.split("/?")[0]


@contextlib.contextmanager
def viewing(*outputs):
    """Run the command for some outputs."""
    path = os.pathsep.join(str(ROOT / room) for room in ("engine", "export", "kernels"))
    process = subprocess.Popen(
        [sys.executable, "-m", "tessera_engine", "view", *map(str, outputs), "--no-browser", "--quiet"],
        env=os.environ | {"PYTHONPATH": os.environ.get("PYTHONPATH", path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), process.stderr.read()
        yield Viewing(process, address, Path(outputs[0]).parent)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def run_engine(*arguments):
    """Run a command that must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "tessera_engine", *map(str, arguments), "--quiet"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
