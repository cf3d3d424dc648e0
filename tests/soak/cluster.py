"""Faults of a cluster, many times: killed workers and schedulers, a cut network, a full disk, a worker that hangs.

    python tests/soak/cluster.py --workers 100 --schedulers 20 --cuts 3 --full 1

After each fault the command goes on, or the same command given again does; the output has the bytes of a single run,
and nothing is left beside it. Cutting the network and the full disk need root (`ip netns`, `mount`); they are skipped
without. Prints one line a fault and a table; exit 1 where something failed.
"""

from __future__ import annotations

import argparse
import json
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
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
sys.path[:0] = [str(TESTS / "helpers"), *(str(ROOT / room) for room in ("engine", "kernels"))]

ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join(str(ROOT / room) for room in ("engine", "export", "kernels"))
}
ENGINE = (sys.executable, "-m", "tessera_engine")
LIMIT = 900
"""Seconds of one command."""


def contents(out: Path) -> dict[str, bytes]:
    """The files of an output; of item.json what doesn't tell the time."""
    files = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    item = json.loads(files["item.json"])
    for word in ("created", "tessera:item_sha256"):
        item["properties"].pop(word)
    return files | {"item.json": json.dumps(item).encode()}


class Soak:
    """One scene, its output by a single run, and the faults found."""

    def __init__(self, folder: Path, tiles: int) -> None:
        from affine import Affine
        from made_up import ORIGIN, made_up_arrays, write_tile

        self.folder, self.rng = folder, random.Random(0)
        for number in range(tiles):
            place = ORIGIN @ Affine.translation(600 * (number % 4), 600 * (number // 4))
            write_tile(folder / "scene" / f"tile{number}", made_up_arrays(64, 96, 30, seed=number), place)
        self.failures: list[str] = []
        self.counts: Counter[str] = Counter()
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
        out = self.folder / "out"
        if code != 0:
            self.failures.append(f"{fault}: exit {code}")
        elif contents(out) != self.expected:
            self.failures.append(f"{fault}: other bytes")
        left = [name for name in os.listdir(self.folder) if name not in (*self.clean, "out")]
        if code == 0 and left:
            self.failures.append(f"{fault}: left {left}")
        for name in (*left, "out"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def done(self, fault: str) -> None:
        """Count a fault."""
        self.counts[fault] += 1
        print(
            f"{time.strftime('%H:%M:%S')} {fault} {self.counts[fault]}, {len(self.failures)} failures",
            flush=True,
        )

    # Faults

    def kill_workers(self, kills: int) -> None:
        """Kill workers of local clusters at random moments, several in a run."""
        while self.counts["worker killed"] < kills:
            life = self.run("out", "--cluster", "local:2")
            for _ in range(self.rng.randint(6, 14)):
                time.sleep(self.rng.uniform(0.5, 5))
                victims = workers_of(life.pid)
                if life.poll() is None and victims and cells(self.folder / "out.partial") is not None:
                    with suppress(ProcessLookupError):
                        os.kill(self.rng.choice(victims), signal.SIGKILL)
                        self.done("worker killed")
            self.check("worker killed", life.wait(LIMIT))

    def kill_schedulers(self, kills: int) -> None:
        """Kill the process with the scheduler (and the command) of local clusters at random moments, and go on."""
        while self.counts["scheduler killed"] < kills:
            for _ in range(self.rng.randint(3, 6)):
                life = self.run("out", "--cluster", "local:2")
                while life.poll() is None and cells(self.folder / "out.partial") is None:
                    time.sleep(0.05)
                with suppress(subprocess.TimeoutExpired):
                    life.wait(self.rng.uniform(0, 8))
                if life.poll() is None:
                    life.kill()
                    life.wait()
                    self.done("scheduler killed")
            self.check("scheduler killed", self.run("out", "--cluster", "local:2").wait(LIMIT))

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


def cells(partial: Path) -> int | None:
    """Finished cells of an unfinished run; None before it gives out the first."""
    try:
        names = os.listdir(partial / "staging")
    except OSError:
        return None
    return sum(name.endswith(".mark") for name in names) if "token" in names else None


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
    for line, count in said.most_common(15):
        print(f"    {count} x {line}")
    for failure in soak.failures:
        print(f"FAILED {failure}")
    return 1 if soak.failures else 0


if __name__ == "__main__":
    sys.exit(main())
