"""One life of a command: a fork of this process, in which everything is imported and compiled, and how it ends."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from soak.cases import HOME, Case

PUBLISHES = re.compile(
    r"replace record.new record|(_renameat2|rename|replace) output (TARGET|beside|replaced)"
)
"""A step with which publishing begins."""

LONGEST = 120.0
"""Seconds after which a life counts as hanging."""


@dataclass(frozen=True)
class Plan:
    """How a life ends, and how it replaces folders.

    Attributes:
        exchange: by an exchange of two names; else by two renames, as on other systems.
        number: the signal; None: none.
        step: the step after which it is sent; 0: none.
        moment: seconds after which it is sent, where there is no step.
        fault: called in the life before it begins, to make the disk fail.
    """

    exchange: bool = True
    number: int | None = None
    step: int = 0
    moment: float = 0.0
    fault: Callable[[], None] | None = None


@dataclass(frozen=True)
class Ended:
    """How a life ended.

    Attributes:
        code: exit code, negative for a signal.
        said: what it wrote to stderr.
        steps: the names of the steps that it took; of all only if no SIGKILL ended it.
        missing: whether nothing was at the watched name at some moment.
        seconds: that it lasted.
    """

    code: int
    said: str
    steps: list[str]
    missing: bool
    seconds: float


def live(case: Case, folder: Path, made: Path, plan: Plan) -> Ended:
    """Run a case's command in a folder, and watch its result's name if something is there."""
    log, steps = folder.with_name("stderr"), folder.with_name("steps")
    log.write_bytes(b"")
    steps.write_bytes(b"")
    started = time.monotonic()
    process = os.fork()
    if process == 0:
        _be(case, folder, made, plan, log, steps)
    target, missing, status = folder / case.out, False, None
    watched = os.path.lexists(target)
    while status is None:
        ended, state = os.waitpid(process, os.WNOHANG)
        if ended:
            status = state
        elif watched:
            missing |= not os.path.lexists(target)
            time.sleep(0.0001)
        else:
            time.sleep(0.001)
        lasted = time.monotonic() - started
        if plan.moment and plan.number is not None and lasted > plan.moment and status is None:
            os.kill(process, plan.number)
            plan = Plan(plan.exchange)
        if lasted > LONGEST:
            os.kill(process, signal.SIGKILL)
            raise AssertionError(f"{case.name}: longer than {LONGEST} s: {log.read_text()}")
    said = log.read_text(errors="replace")
    return Ended(
        os.waitstatus_to_exitcode(status),
        said,
        steps.read_text().splitlines(),
        missing,
        time.monotonic() - started,
    )


def _be(case: Case, folder: Path, made: Path, plan: Plan, log: Path, steps: Path) -> None:
    """Be the life. Does not return."""
    code = 99
    try:
        os.chdir(folder)
        os.environ[HOME] = str(folder / "home")
        for number, path in ((1, os.devnull), (2, str(log))):
            os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), number)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        _count_steps(folder / case.out, plan, os.open(steps, os.O_WRONLY | os.O_APPEND))
        if plan.fault is not None:
            plan.fault()
        sys.argv = ["tessera-engine", *case.line(made)]
        from tessera_engine.cli import main

        main()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _count_steps(target: Path, plan: Plan, record: int) -> None:
    """Note each step on the disk with which a result is made, and send the signal after the chosen one."""
    target, taken = Path(os.path.realpath(target)), 0

    def role(path: object) -> str:
        """What a path is in the making of a result, in a word; empty for other paths."""
        if not isinstance(path, (str, Path)):
            return ""
        full = Path(os.path.abspath(path))
        if full.name.endswith(".partial.done"):
            return "DONE"
        partial = next((i for i, part in enumerate(full.parts) if part.endswith(".partial")), None)
        if partial is not None:
            inside = full.parts[partial + 1 :]
            return "PARTIAL" if not inside else inside[0] if len(inside) == 1 else f"{inside[0]}/..."
        if full.is_relative_to(target):
            return "TARGET"
        return "beside" if target.parent in (full, full.parent) else ""

    def after(module: object, name: str) -> None:
        honest = getattr(module, name)

        def call(*arguments, **options):
            nonlocal taken
            where = [role(each) for each in arguments[: 2 if "rename" in name or name == "replace" else 1]]
            result = honest(*arguments, **options)
            # The exchange is tried everywhere, and does nothing where there is none
            if any(where) and result is not False:
                taken += 1
                os.write(record, f"{name} {' '.join(filter(None, where))}\n".encode())
                if taken == plan.step and plan.number is not None:
                    os.kill(os.getpid(), plan.number)
            return result

        setattr(module, name, call)

    from tessera_engine.files import durable, partial, publish

    if not plan.exchange:
        publish._renameat2 = lambda *names: False
    for module in (durable, publish, partial):
        for name in ("sync_file", "sync_folder", "sync_all"):
            if hasattr(module, name):
                after(module, name)
    for name in ("mkdir", "rename", "replace", "unlink", "touch", "rmdir", "write_text"):
        after(Path, name)
    after(publish, "_renameat2")
    after(shutil, "rmtree")


def is_of_the_swap(steps: list[str]) -> list[bool]:
    """Which steps belong to publishing: from the first record or result that takes its name on."""
    first = next((i for i, step in enumerate(steps) if PUBLISHES.match(step)), len(steps))
    return [i >= first for i in range(len(steps))]
