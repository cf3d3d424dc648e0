"""Feed damaged inputs to every parser: `PYTHONPATH=tests/helpers:engine:export:kernels python tests/fuzz/run.py --inputs 20000`.

Fails where a parser raises anything but an expected error, takes longer than 5 s, or accepts what it mustn't; or
where the process grows by more than 200 MB. What broke something is kept in the corpus.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from fuzz.parsers import CORPUS, PARSERS, Parser, damaged, valid_inputs

from tessera_engine.errors import TesseraError

SECONDS, GROWTH = 5.0, 200.0
"""Longest that an input may take; MB that the process may grow."""


class Hang(Exception):
    """An input took too long."""


@dataclass
class Tally:
    """What came of a parser's inputs."""

    accepted: int = 0
    refused: int = 0
    slowest: float = 0.0
    growth: float = 0.0
    broke: int = 0


def attempt(parser: Parser, data: bytes, folder: Path) -> bool:
    """Give one input to a parser; whether it was accepted.

    Raises:
        Exception: whatever isn't an expected error of one line.
    """
    path = folder / parser.file_name
    path.write_bytes(data)
    signal.signal(signal.SIGALRM, _hang)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        parser.parse(path)
    except TesseraError as error:
        if len(str(error).splitlines()) != 1 or not str(error).isprintable():
            raise AssertionError(f"the message is not one plain line: {str(error)[:300]!r}") from error
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return True


def _hang(*_: object) -> None:
    raise Hang(f"longer than {SECONDS} s")


def fuzz(name: str, inputs: int, seed: int) -> Tally:
    """Try a parser's valid inputs, then damaged ones."""
    parser, tally = PARSERS[name], Tally()
    with tempfile.TemporaryDirectory() as folder:
        for data in valid_inputs(name):
            if not attempt(parser, data, Path(folder)):
                raise SystemExit(f"{name}: a valid input of the corpus is refused")
        before = _megabytes()
        for i in range(inputs):
            data = damaged(name, seed + i)
            start = time.perf_counter()
            try:
                accepted = attempt(parser, data, Path(folder))
            except Exception:
                tally.broke += 1
                kept = CORPUS / name / f"broke-{hashlib.sha256(data).hexdigest()[:12]}"
                kept.write_bytes(data)
                print(f"{name}, seed {seed + i}: kept as {kept}\n{traceback.format_exc()}", file=sys.stderr)
            else:
                tally.accepted += accepted
                tally.refused += not accepted
            tally.slowest = max(tally.slowest, time.perf_counter() - start)
        tally.growth = _megabytes() - before
    return tally


def _megabytes() -> float:
    """The most that this process has had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Read the command line, and print a table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("parsers", nargs="*", default=[])
    options.add_argument("--inputs", type=int, default=20_000)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    failed = False
    print(
        f"{'parser':12} {'inputs':>8} {'accepted':>9} {'refused':>8} {'broke':>6} {'slowest s':>10} {'growth MB':>10}"
    )
    for name in given.parsers or PARSERS:
        tally = fuzz(name, given.inputs, given.seed)
        failed |= tally.broke > 0 or tally.growth > GROWTH or tally.slowest > SECONDS
        print(
            f"{name:12} {given.inputs:8} {tally.accepted:9} {tally.refused:8} {tally.broke:6} {tally.slowest:10.3f} "
            f"{tally.growth:10.1f}",
            flush=True,
        )
    sys.exit(failed)


if __name__ == "__main__":
    main()
