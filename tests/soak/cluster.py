"""Faults of a cluster, many times: killed workers and schedulers, a cut network, a full disk, a worker that hangs.

    python tests/soak/cluster.py --workers 100 --schedulers 20 --cuts 3 --full 1

After each fault the command goes on, or the same command given again does; the output has the bytes of a single run,
no finished cell was computed again, and nothing is left beside the output. Cutting the network and the full disk need
root (`ip netns`, `mount`); they are skipped without. Prints one line a fault, with the phase that a kill hit, and a
table; exit 1 where something failed.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
from phases import strike, strike_command

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
sys.path[:0] = [str(TESTS / "helpers"), *(str(ROOT / room) for room in ("engine", "kernels"))]

ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join(str(ROOT / room) for room in ("engine", "export", "kernels"))
}
ENGINE = (sys.executable, "-m", "tessera_engine")
LIMIT = 900
"""Seconds of one command."""


class Soak:
    """One scene, its output by a single run, and the faults found."""

    def __init__(self, folder: Path, tiles: int) -> None:
        from affine import Affine
        from made_up import ORIGIN, made_up_arrays, write_tile
        from outputs import contents

        self.folder, self.tiles, self.rng = folder, tiles, random.Random(0)
        for number in range(tiles):
            place = ORIGIN @ Affine.translation(600 * (number % 4), 600 * (number // 4))
            write_tile(folder / "scene" / f"tile{number}", made_up_arrays(64, 96, 30, seed=number), place)
        self.failures: list[str] = []
        self.counts: Counter[str] = Counter()
        self.phases: Counter[tuple[str, str]] = Counter()
        self.marks: dict[str, tuple[int, int]] = {}
        self.contents = contents
        assert self.run("one", "--format", "zarr").wait(LIMIT) == 0
        self.expected = contents(folder / "one")
        shutil.rmtree(folder / "one")
        self.clean = sorted(os.listdir(folder))

    def run(self, out: str, *options: str) -> subprocess.Popen:
        """Start `embed` of the scene."""
        command = (*ENGINE, "embed", "scene", "--year", "2021", "--int8", "-o", out, *options)
        errors = (self.folder.parent / "stderr.txt").open("ab")
        return subprocess.Popen(
            command, cwd=self.folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=errors
        )

    def check(self, fault: str, code: int) -> None:
        """Compare what a command left with what it should, and remove it."""
        out, self.marks = self.folder / "out", {}
        if code != 0:
            self.failures.append(f"{fault}: exit {code}")
        elif self.contents(out) != self.expected:
            self.failures.append(f"{fault}: other bytes")
        left = [name for name in os.listdir(self.folder) if name not in (*self.clean, "out")]
        if code == 0 and left:
            self.failures.append(f"{fault}: left {left}")
        for name in (*left, "out"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def done(self, fault: str, phase: str = "") -> None:
        """Count a fault, and look whether all marks that were there before are still the same files."""
        self.counts[fault] += 1
        if phase:
            self.phases[fault, phase] += 1
        found = marks(self.folder / "out.partial")
        again = [name for name, was in self.marks.items() if found and found.get(name) != was]
        if again:
            self.failures.append(f"{fault}: finished cells were computed again: {again}")
        self.marks = found or self.marks
        where = f" ({phase}, {len(self.marks)} cells finished)" if phase else ""
        print(
            f"{time.strftime('%H:%M:%S')} {fault} {self.counts[fault]}{where}, {len(self.failures)} failures",
            flush=True,
        )

    # Faults

    def wait(self, life: subprocess.Popen, until: str) -> bool:
        """Wait until a run is at a step; False where it ended before, or it took too long."""
        reached, begun, last = STEPS[until], 0.0, time.monotonic() + 120
        after = self.rng.uniform(1, 8)
        while life.poll() is None and time.monotonic() < last:
            if not begun and holder(self.folder) == life.pid:
                begun = time.monotonic()
            if begun and time.monotonic() > begun + after and reached(self.folder, self.tiles):
                return True
            time.sleep(0.002)
        return False

    def kill_workers(self, kills: int) -> None:
        """Kill workers of local clusters of two and four, at random moments and at chosen steps, several in a run."""
        fault = "worker killed"
        for number in itertools.count():
            if self.counts[fault] >= kills:
                return
            life = self.run("out", "--cluster", f"local:{(2, 4)[number % 2]}")
            steps = self.rng.choices(["any", "marking"], [2, 1], k=self.rng.randint(6, 12))
            for step in [*steps, self.rng.choice(["checking", "commit"])]:
                if not self.wait(life, step):
                    continue
                phase = strike(workers_of(life.pid), self.rng, WANTED.get(step))
                if phase:
                    self.done(fault, f"commit, {phase}" if step == "commit" else phase)
            self.check(fault, life.wait(LIMIT))

    def kill_schedulers(self, kills: int) -> None:
        """Kill the process with the scheduler (and the command) of local clusters, and go on."""
        fault = "scheduler killed"
        while self.counts[fault] < kills:
            steps = ["cells"] * self.rng.randint(2, 3) + self.rng.sample(["checking", "commit", "publish"], 2)
            for step in steps:
                life = self.run("out", "--cluster", "local:2")
                phase = strike_command(life) if self.wait(life, step) else None
                if phase:
                    self.done(fault, phase)
                elif life.wait(LIMIT) == 0:
                    break
                if (self.folder / "out").exists():
                    break
            # Where a kill came after the last step, the same command would find the output of another one
            ended = (self.folder / "out").exists() and not list(self.folder.glob("out.*"))
            self.check(fault, 0 if ended else self.run("out", "--cluster", "local:2").wait(LIMIT))

    def kill_distant_schedulers(self, kills: int) -> None:
        """Kill a scheduler of its own process: the command ends with exit 1, and goes on with another one."""
        while self.counts["distant scheduler killed"] < kills:
            with ExitStack() as stack:
                scheduler, address = stack.enter_context(a_scheduler())
                for _ in range(2):
                    stack.enter_context(a_worker(address))
                life = self.run("out", "--cluster", address)
                while life.poll() is None and not cells(self.folder / "out.partial"):
                    time.sleep(0.05)
                scheduler.kill()
                self.done("distant scheduler killed")
                code = life.wait(LIMIT)
                if code not in (0, 1):
                    self.failures.append(f"distant scheduler killed: exit {code}")
            with ExitStack() as stack:
                _, address = stack.enter_context(a_scheduler())
                stack.enter_context(a_worker(address))
                self.check("distant scheduler killed", self.run("out", "--cluster", address).wait(LIMIT))

    def hang(self, times: int) -> None:
        """Stop a worker for good: it is ended, and its cell computed elsewhere."""
        for _ in range(times):
            life = self.run("out", "--cluster", "local:2")
            while life.poll() is None and not (cells(self.folder / "out.partial") and workers_of(life.pid)):
                time.sleep(0.05)
            os.kill(self.rng.choice(workers_of(life.pid)), signal.SIGSTOP)
            self.done("worker hangs")
            self.check("worker hangs", life.wait(LIMIT))

    def fill_disk(self, times: int) -> None:
        """Give one of two workers a disk of 100 kB: it gets no more cells, and the other computes them all."""
        for _ in range(times):
            with ExitStack() as stack:
                small = stack.enter_context(a_small_disk())
                _, address = stack.enter_context(a_scheduler())
                stack.enter_context(a_worker(address, "--local-directory", str(small)))
                stack.enter_context(a_worker(address))
                self.done("full disk")
                self.check("full disk", self.run("out", "--cluster", address).wait(LIMIT))

    def cut_network(self, times: int) -> None:
        """Cut the network between the scheduler and a worker in a network namespace of its own."""
        for number in range(times):
            with ExitStack() as stack:
                name, here = stack.enter_context(a_network(number))
                _, address = stack.enter_context(a_scheduler(here))
                stack.enter_context(a_worker(address, within=name))
                stack.enter_context(a_worker(address))
                life = self.run("out", "--cluster", address)
                while life.poll() is None and not cells(self.folder / "out.partial"):
                    time.sleep(0.05)
                subprocess.run(["ip", "link", "set", f"te{number}a", "down"], check=True)
                self.done("network cut")
                self.check("network cut", life.wait(LIMIT))


def holder(folder: Path) -> int:
    """The process that works on the output."""
    with suppress(OSError, ValueError):
        return int((folder / "out.partial" / "lock").read_text())
    return 0


def marks(partial: Path) -> dict[str, tuple[int, int]] | None:
    """The marks of an unfinished run, and which files they are; None before it gives out the first cell."""
    for staging in (partial / "cells" / "staging", partial / "staging"):  # open, or closed
        with suppress(OSError):
            names = os.listdir(staging)
            if "token" in names:
                states = {name: (staging / name).stat() for name in names if name.endswith(".mark")}
                return {name: (state.st_ino, state.st_mtime_ns) for name, state in states.items()}
    return None


def cells(partial: Path) -> int | None:
    """Finished cells of an unfinished run; None before it gives out the first."""
    found = marks(partial)
    return None if found is None else len(found)


def _marking(folder: Path, tiles: int) -> bool:
    """Whether a cell's pictures are there and its mark isn't."""
    try:
        names = set(os.listdir(folder / "out.partial" / "cells" / "staging"))
    except OSError:
        return False
    return any(
        f"{name.removesuffix('.scales.npy')}.mark" not in names
        for name in names
        if name.endswith(".scales.npy")
    )


STEPS: dict[str, Callable[[Path, int], bool]] = {
    "any": lambda folder, tiles: cells(folder / "out.partial") is not None,
    "cells": lambda folder, tiles: (cells(folder / "out.partial") or 0) > 0,
    "marking": _marking,
    "checking": lambda folder, tiles: cells(folder / "out.partial") == tiles,
    "commit": lambda folder, tiles: any((folder / "out.partial" / "staging").glob("picture.*")),
    "publish": lambda folder, tiles: (
        (folder / "out.partial" / "output" / "item.json").exists() or (folder / "out").exists()
    ),
}
"""A step of a run -> whether a run in this folder, with so many cells, is there now."""

WANTED = {"marking": "mark", "checking": "checking"}
"""A step -> the phase in which a worker is killed then, if one is in it."""


def workers_of(pid: int) -> list[int]:
    """The worker processes of a local cluster."""
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(pid).children()
        return [child.pid for child in children if "spawn_main" in " ".join(child.cmdline())]
    return []


@contextmanager
def a_process(command: tuple[str, ...], until: str):
    """A process, once it has written a line with a pattern; gives it and the match."""
    process = subprocess.Popen(
        command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        for line in process.stderr:
            found = re.search(until, line)
            if found:
                break
        else:
            raise RuntimeError(f"{' '.join(command)} has ended")
        with open(os.devnull, "w") as sink:
            drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=sink)
        yield process, found
        drain.kill()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def a_scheduler(host: str = "127.0.0.1"):
    command = (
        sys.executable,
        "-m",
        "distributed.cli.dask_scheduler",
        "--host",
        host,
        "--port",
        "0",
        "--no-dashboard",
    )
    with a_process(command, r"Scheduler at:\s+(tcp://\S+)") as (process, found):
        yield process, found[1]


@contextmanager
def a_worker(address: str, *options: str, within: str = ""):
    command = (
        sys.executable,
        "-m",
        "distributed.cli.dask_worker",
        address,
        "--nthreads",
        "1",
        "--no-dashboard",
        *options,
    )
    if within:
        command = ("ip", "netns", "exec", within, *command)
    with a_process(command, r"Registered to") as (process, _):
        yield process


@contextmanager
def a_small_disk():
    folder = Path(tempfile.mkdtemp(prefix="te-small-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


@contextmanager
def a_network(number: int):
    """A network namespace; gives its name, and the address at which it finds this one."""
    name, here, there = f"te-soak-{number}", f"10.231.{number}.1", f"10.231.{number}.2"
    one, other = f"te{number}a", f"te{number}b"
    steps = [
        f"netns add {name}",
        f"link add {one} type veth peer name {other}",
        f"link set {other} netns {name}",
        f"addr add {here}/24 dev {one}",
        f"link set {one} up",
        f"-n {name} addr add {there}/24 dev {other}",
        f"-n {name} link set {other} up",
        f"-n {name} link set lo up",
    ]
    try:
        for step in steps:
            subprocess.run(["ip", *step.split()], check=True)
        yield name, here
    finally:
        subprocess.run(["ip", "link", "del", one], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "netns", "del", name], check=False)


def main() -> int:
    """Read the command line, and let everything fail as often as it says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("workers", "schedulers", "distant", "hangs", "full", "cuts"):
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--tiles", type=int, default=12)
    given = parser.parse_args()
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "here").mkdir()
        soak = Soak(Path(folder) / "here", given.tiles)
        soak.kill_workers(given.workers)
        soak.kill_schedulers(given.schedulers)
        soak.fill_disk(given.full if root else 0)
        soak.cut_network(given.cuts if root else 0)
        soak.kill_distant_schedulers(given.distant)
        soak.hang(given.hangs)
        said = Counter(
            re.sub(r"\d+", "N", line)[:90] for line in (Path(folder) / "stderr.txt").read_text().splitlines()
        )
    for fault, count in soak.counts.items():
        print(f"{fault}: {count}")
        for (of, phase), hits in sorted(soak.phases.items()):
            if of == fault:
                print(f"    {phase}: {hits}")
    for line, count in said.most_common(15):
        print(f"    {count} x {line}")
    for failure in soak.failures:
        print(f"FAILED {failure}")
    return 1 if soak.failures else 0


if __name__ == "__main__":
    sys.exit(main())
