"""Kills, failing disks, readers and damaged inputs, for an hour: `make soak`. One table at the end.

    python tests/soak/run.py --minutes 60

The table and every failure also go to `dist/soak.txt`, that of the kills already while it runs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
SHARES = {"kills": 0.6, "faults": 0.15, "readers": 0.05, "inputs": 0.2}
"""Of the time."""


def prepared(folder: Path) -> None:
    """Start this process again with the failing disk preloaded, and without threads that a fork would lose."""
    from soak.faults import LIBRARY, compile_faults

    if LIBRARY in os.environ:
        return
    library = compile_faults(folder)
    wanted = {"LD_PRELOAD": str(library), LIBRARY: str(library), "OMP_NUM_THREADS": "1"}
    os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | wanted)


def main() -> int:
    """Read the command line, soak, and print the table; 1 where something failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--kills", type=int, default=1_000_000, help="at most")
    parser.add_argument("--faults", type=int, default=1_000_000, help="at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help="a command, or a case of it like 'map saved': disturb only these; may be repeated",
    )
    parser.add_argument(
        "--short",
        action="store_true",
        help="20 kills, 6 faults, one case of each way to write: for the tests",
    )
    options = parser.parse_args()
    if options.short:
        options.kills, options.faults = 20, 6
    sys.path[:0] = [str(ROOT / part) for part in ("tests", "tests/helpers", "engine", "export", "kernels")]
    place = Path(tempfile.gettempdir()) / f"soak-{os.getpid()}"  # the same process starts again
    place.mkdir(exist_ok=True)
    prepared(place)
    from soak import faults, kill, publishing, readers
    from soak.cases import SHORT, cases, make_inputs

    work = place / "work"
    made, seconds = work / "made", options.minutes * 60
    work.mkdir()
    # Before this process grows
    alone = kill.Figures() if options.only else publishing.soak(place, 0 if options.short else 10)
    make_inputs(made)
    every = [case for case in cases() if not options.only or {case.command, case.name} & set(options.only)]
    if options.short:
        every = [case for case in every if case.name in SHORT.values()]
    kill.warm(every, made, work)
    trials = [kill.Trial(case, made, work) for case in every]
    begun = time.monotonic()

    def report(kills) -> None:
        if not options.short and kills.total % 20 == 0:
            keep([*kill_table(alone), *kill_table(kills), *alone.failures, *kills.failures])

    kills = kill.soak(trials, options.kills, SHARES["kills"] * seconds, options.seed, report)
    failing = faults.soak(trials, options.faults, SHARES["faults"] * seconds, options.seed)
    reading = readers.Readings()
    if not options.only:
        reading = readers.soak(made, work, 2 if options.short else SHARES["readers"] * seconds)
    inputs = (0, "") if options.short or options.only else fuzz(SHARES["inputs"] * seconds)
    lines = [*kill_table(alone), *kill_table(kills), *table(failing, reading, inputs)]
    lines.append(f"{(time.monotonic() - begun) / 60:.1f} minutes")
    failures = [*alone.failures, *kills.failures, *failing.failures, *reading.failures]
    if not options.short:
        keep([*lines, *failures])
    print("\n".join([*lines, *failures]))
    shutil.rmtree(place)
    return int(bool(failures) or inputs[0] != 0)


def keep(lines: list[str]) -> None:
    """Write what has been found so far."""
    (ROOT / "dist").mkdir(exist_ok=True)
    (ROOT / "dist" / "soak.txt").write_text("\n".join(lines) + "\n")


def kill_table(kills) -> list[str]:
    """Kills in lines: by command and signal, by step and signal."""
    if not kills.total:
        return []
    lines = [f"{'kills':50} {'KILL':>6} {'TERM':>6} {'INT':>6}"]
    for command in sorted({command for command, _ in kills.kills}):
        counts = [kills.kills[command, f"SIG{name}"] for name in ("KILL", "TERM", "INT")]
        lines.append(f"  {command:48} {counts[0]:6} {counts[1]:6} {counts[2]:6}")
    lines.append("steps of publishing")
    for step in sorted({step for step, _ in kills.steps}):
        counts = [kills.steps[step, f"SIG{name}"] for name in ("KILL", "TERM", "INT")]
        lines.append(f"  {step:48} {counts[0]:6} {counts[1]:6} {counts[2]:6}")
    fewest = min(kills.steps.values(), default=0)
    return [
        *lines,
        f"kills: {kills.total}, a step at least {fewest} times by each signal; failures: {len(kills.failures)}",
    ]


def table(failing, reading, inputs) -> list[str]:
    """The rest of the result in lines."""
    lines = []
    for kind, count in failing.hits.items():
        lines.append(f"  {kind:30} {count:6} times, got over {failing.survived[kind]}")
    lines.append(f"faults of the disk: {sum(failing.hits.values())}; failures: {len(failing.failures)}")
    lines.append(
        f"readers: {reading.reads} reads of {reading.published} versions; failures: {len(reading.failures)}"
    )
    lines.append(f"damaged inputs: exit {inputs[0]}")
    return [*lines, *inputs[1].splitlines()]


def fuzz(seconds: float) -> tuple[int, str]:
    """The exit code and the table of `tests/fuzz/run.py`, for so long at most."""
    inputs = max(10, int(seconds * 20))
    path = os.pathsep.join(
        str(ROOT / part) for part in ("tests", "tests/helpers", "engine", "export", "kernels")
    )
    without = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run(
        [sys.executable, str(TESTS / "fuzz" / "run.py"), "--inputs", str(inputs)],
        env=without | {"PYTHONPATH": path}, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


if __name__ == "__main__":
    sys.path[:0] = [str(TESTS)]
    sys.exit(main())
