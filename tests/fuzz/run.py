"""Feed damaged inputs to every parser: `python tests/fuzz/run.py --inputs 20000 [--seconds N] [--parser NAME ...]`.

Prints one table. Exit code 1 where a parser raises anything but an expected error of one plain line, crashes, takes
longer than 5 s, grows by more than 200 MB, prints a control character, writes or connects elsewhere, or accepts what it
mustn't. Such inputs are kept in the corpus as `broke-*`, unless `--keep no` is given.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import mmap
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

if __name__ == "__main__":
    ROOT = Path(__file__).resolve().parents[2]
    ROOMS = [str(ROOT / room) for room in ("tests", "tests/helpers", "engine", "export", "kernels")]
    sys.path[:0] = ROOMS
    os.environ["PYTHONPATH"] = os.pathsep.join(ROOMS)

import pyogrio  # noqa: F401
import torch  # noqa: F401
import zarr  # noqa: F401 - so that not every process loads them
from fuzz.parsers import CORPUS, PARSERS, Parser, seeds
from fuzz.watch import KINDS, SECONDS, Broke, Place, Watch

_STATE = struct.Struct("qdqq")
"""Shared by a process and its parent: the number of the input, when it began, and how many were accepted and refused."""

HARNESS = 99
"""Exit code of a process in which the fuzzing itself failed."""

BATCH = 400
"""Inputs that one process tries; then another one begins, so that no leak adds up to a finding."""


@dataclass
class Tally:
    """What came of a parser's inputs."""

    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    seconds: float = 0.0
    broke: Counter[str] = field(default_factory=Counter)
    examples: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Input:
    """One input: which valid one it was made from, its bytes, whether it is that one, or once broke something."""

    seed: str
    data: bytes
    valid: bool = False
    known: bool = False

    @property
    def fixed(self) -> bool:
        """Whether it is tried whatever time there is."""
        return self.valid or self.known


def damaged(parser: Parser, valid: dict[str, bytes], number: int) -> Input:
    """The input of a number; the same number gives the same one."""
    rng = Random(number)
    name = rng.choice(sorted(valid))
    return Input(name, rng.choice(parser.mutations)(rng, valid[name]))


def fuzz(name: str, made: Path, inputs: int, seconds: float, keeping: bool, first: int = 0) -> Tally:
    """Try what once broke a parser, its valid inputs, and damaged ones."""
    parser, tally, start = PARSERS[name], Tally(), time.monotonic()
    valid = seeds(name, made)
    known = [Input(*_kept_as(path), known=True) for path in sorted((CORPUS / name).glob("broke-*"))]
    fixed = [*(Input(seed, data, valid=True) for seed, data in sorted(valid.items())), *known]

    def at(number: int) -> Input:
        return fixed[number] if number < len(fixed) else damaged(parser, valid, first + number - len(fixed))

    total, number = inputs + len(fixed), 0
    while number < total and time.monotonic() - start < seconds:
        number = _batch(parser, made, at, number, min(number + BATCH, total), tally, start + seconds)
        for broken in tally.examples:
            if keeping and broken >= len(fixed):
                keep(name, at(broken))
    tally.inputs, tally.seconds = number, time.monotonic() - start
    return tally


def _kept_as(path: Path) -> tuple[str, bytes]:
    return path.name.split("-", 1)[1].rsplit("-", 1)[0], path.read_bytes()


def keep(name: str, found: Input) -> None:
    """Keep an input in the corpus."""
    folder = CORPUS / name
    folder.mkdir(exist_ok=True)
    (folder / f"broke-{found.seed}-{hashlib.sha256(found.data).hexdigest()[:12]}").write_bytes(found.data)


def _batch(parser: Parser, made: Path, at, begin: int, end: int, tally: Tally, until: float) -> int:
    """Try some inputs in a process of their own; the number of the next one."""
    state = mmap.mmap(-1, _STATE.size)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        place = Place(made, Path(folder, "inputs"), Path(folder, "out"))
        place.inputs.mkdir()
        place.out.mkdir()
        child = os.fork()
        if child == 0:
            try:
                with Path(folder, "broke").open("a") as broke:
                    _work(parser, place, at, range(begin, end), until, state, broke)
            except BaseException:
                traceback.print_exc()
                os._exit(HARNESS)
            os._exit(0)
        status, killed = _wait(child, state)
        lines = Path(folder, "broke").read_text().splitlines()
    if os.waitstatus_to_exitcode(status) == HARNESS:
        raise SystemExit("the fuzzing itself failed, see above")
    done, _, accepted, refused = _STATE.unpack(state[:])
    tally.accepted += accepted
    tally.refused += refused
    for line in lines:
        said = json.loads(line)
        tally.broke[said["kind"]] += 1
        tally.examples[said["number"]] = f"{said['kind']}: {said['what']}"
    if killed or status != 0:
        kind = "hang" if killed else "crash"
        tally.broke[kind] += 1
        tally.examples[done] = f"{kind}: process ended with {status}"
    return done + 1


def _work(parser: Parser, place: Place, at, numbers: range, until: float, state: mmap.mmap, broken) -> None:
    """The child's part."""
    prepared = parser.prepare(place) if parser.prepare else None
    watch = Watch(place)
    counts = {True: 0, False: 0}
    for number in numbers:
        state[:] = _STATE.pack(number, time.monotonic(), counts[True], counts[False])
        found = at(number)
        try:
            accepted = watch.attempt(lambda: parser.parse(place, prepared, found.seed, found.data))  # noqa: B023
            counts[accepted] += 1
            if found.valid and not accepted:
                raise Broke("wrong", f"the valid input {found.seed} is refused")
        except Broke as broke:
            what = {"kind": broke.kind, "number": number, "what": str(broke)[-1500:]}
            print(json.dumps(what), file=broken, flush=True)
        state[:] = _STATE.pack(number, time.monotonic(), counts[True], counts[False])
        if time.monotonic() > until and not found.fixed:
            break
    state[:] = _STATE.pack(number, 0.0, counts[True], counts[False])


def _wait(child: int, state: mmap.mmap) -> tuple[int, bool]:
    """Wait for a process; its status, and whether it hung and was ended."""
    pause = 0.002
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status, False
        began = _STATE.unpack(state[:])[1]
        if began and time.monotonic() - began > 4 * SECONDS:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return status, True
        time.sleep(pause)
        pause = min(0.1, pause * 2)


def make_surroundings(folder: Path) -> None:
    """In another process: this one must not start threads before it forks."""
    subprocess.run(
        [sys.executable, str(Path(__file__).with_name("surroundings.py")), str(folder)],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def main() -> None:
    """Read the command line, and print a table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--inputs", type=int, default=20_000, help="damaged inputs for each parser")
    options.add_argument("--seconds", type=float, default=float("inf"), help="at most, for each parser")
    options.add_argument(
        "--parser", action="append", choices=sorted(PARSERS), help="only this one; may be repeated"
    )
    options.add_argument("--seed", type=int, default=0, help="number of the first input")
    options.add_argument(
        "--keep", choices=("yes", "no"), default="yes", help="keep what breaks in the corpus"
    )
    options.add_argument("--made", type=Path, help="surroundings that were made before")
    given = options.parse_args()
    failed = False
    with tempfile.TemporaryDirectory(prefix="fuzz-made-") as folder:
        made = given.made or Path(folder)
        if given.made is None:
            make_surroundings(made)
        print(
            f"{'parser':14}{'inputs':>8}{'accepted':>10}{'refused':>9}"
            + "".join(f"{kind:>17}" for kind in KINDS)
            + f"{'s':>8}"
        )
        for name in given.parser or PARSERS:
            tally = fuzz(name, made, given.inputs, given.seconds, given.keep == "yes", given.seed)
            failed |= bool(tally.examples)
            print(
                f"{name:14}{tally.inputs:8}{tally.accepted:10}{tally.refused:9}"
                + "".join(f"{tally.broke[kind]:17}" for kind in KINDS)
                + f"{tally.seconds:8.0f}",
                flush=True,
            )
            kinds = {
                what.strip().splitlines()[-1]: (number, what)
                for number, what in reversed(tally.examples.items())
            }
            for number, what in kinds.values():
                print(f"{name} {number}: {what}", file=sys.stderr, flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
