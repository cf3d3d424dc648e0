"""Kill embed at random moments, over and over, and compare what comes out with an uninterrupted run.

    python tests/soak/kill.py --kills 200 --size 384

SIGKILL, SIGTERM and SIGINT at random; every fourth one while the process still loads or prepares, the others after it
has begun to work. A run is killed as often as it takes until it finishes; then every file of its output has to be that
of the uninterrupted run, byte for byte (but for the times in item.json), and nothing else may be left. Then the next
run begins.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from places import ROOT

EXIT_CODES = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}

LOADING_SECONDS = 3.0


@dataclass
class Figures:
    """What happened.

    Attributes:
        kills: by signal.
        runs: that finished, each after some kills.
        slowest_stop: seconds from SIGINT or SIGTERM to the end of the process, at worst.
        resumed: lives that went on with finished windows.
        begun: lives in all.
    """

    kills: Counter = field(default_factory=Counter)
    runs: int = 0
    slowest_stop: float = 0.0
    resumed: int = 0
    begun: int = 0


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


def soak(folder: Path, kills: int, longest: float, seed: int, *options: str) -> Figures:
    """Run and kill in `folder`, which has a scene in it, until there were enough kills and the last run finished.

    Args:
        folder: holds the folder `scene`.
        kills: how many.
        longest: seconds of work that a life is given at most.
        seed: of the moments and signals.
        options: of embed.
    """
    rng, figures = random.Random(seed), Figures()
    whole = start(folder, "whole", *options)
    assert whole.wait() == 0, whole.stderr.read()
    expected = contents(folder / "whole")
    there = {path.name for path in folder.iterdir()}
    while kills > figures.kills.total() or (folder / "out.partial").exists():
        life = start(folder, "out", *options)
        figures.begun += 1
        number = rng.choice(list(EXIT_CODES))
        if figures.kills.total() == kills:
            moment = None
        elif rng.random() < 0.25:
            moment = rng.uniform(0, LOADING_SECONDS)
        else:
            wait_for_work(life, folder)
            moment = rng.uniform(0, longest)
        working = holder(folder) == life.pid
        try:
            life.wait(moment)
        except subprocess.TimeoutExpired:
            life.send_signal(number)
            sent = time.monotonic()
            said = life.communicate()[1]
            took = time.monotonic() - sent
            figures.kills[number.name] += 1
            figures.resumed += "resuming" in said
            if working and life.returncode != 0:  # 0: it had finished just then
                assert life.returncode == EXIT_CODES[number], (number, life.returncode, said)
                if number != signal.SIGKILL:
                    figures.slowest_stop = max(figures.slowest_stop, took)
                    assert "give the same command again" in said.splitlines()[-1], said
            if life.returncode != 0:
                continue
        else:
            said = life.stderr.read()
            figures.resumed += "resuming" in said
            assert life.returncode == 0, said
        found = contents(folder / "out")
        differing = [
            name for name in sorted(found.keys() | expected.keys()) if found.get(name) != expected.get(name)
        ]
        assert not differing, f"run {figures.runs} after {figures.kills} differs in {differing}"
        left = {path.name for path in folder.iterdir()} - there
        assert left == {"out"}, f"left over: {left}"
        for path in (folder / "out").iterdir():
            path.unlink()
        (folder / "out").rmdir()
        figures.runs += 1
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--size", type=int, default=384, help="pixels of the scene's side")
    parser.add_argument("--longest", type=float, default=5, help="seconds of work until a kill, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("options", nargs="*", help="more options of embed, after --")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT / "engine"))
    sys.path.insert(0, str(ROOT / "kernels"))
    from tessera_engine.simulate import simulate

    with tempfile.TemporaryDirectory() as temporary:
        simulate(Path(temporary) / "scene", arguments.size, seed=1)
        started = time.monotonic()
        print(soak(Path(temporary), arguments.kills, arguments.longest, arguments.seed, *arguments.options))
        print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
