"""Kill publishing alone, at every step: small files and folders take their names as results of commands do.

A process without models and libraries forks in milliseconds, so that each step meets each signal many times.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from soak.kill import CODES, Figures
from soak.lives import Plan, count_steps, is_of_the_swap

ITEM = '{"properties": {"tessera:made": 1}, "assets": {"content": {"href": "inside/content"}}}'


def _folder(out: Path) -> None:
    from tessera_engine.files.result import result_folder

    with result_folder(out, "old" in out.parent.name, {"content": "new"}) as made:
        (made / "item.json").write_text(ITEM)
        (made / "inside").mkdir()
        (made / "inside" / "content").write_text("new")


def _file(out: Path) -> None:
    from tessera_engine.files.result import result_file

    with result_file(out, "old" in out.parent.name, {"content": "new"}) as made:
        made.write_text("new")


def _part(out: Path) -> None:
    from tessera_engine.files.partial import finish_or_undo
    from tessera_engine.files.result import result_file

    finish_or_undo(out)
    if not out.exists():
        with result_file(out, False, None) as made:
            made.write_text("new")


CASES: dict[str, Callable[[Path], None]] = {
    "folder": _folder, "folder for an old one": _folder, "file": _file, "file for an old one": _file, "part": _part,
}  # fmt: skip
"""Name -> what writes the result; a part of a result has no record."""


def soak(place: Path, times: int) -> Figures:
    """Kill after each step of publishing, so many times by each signal, with one step and with two.

    Args:
        place: a folder to work in.
        times: 0: once by one signal, with one step.
    """
    # Once here, not in each of the thousands of lives
    import tessera_engine.cli.app
    import tessera_engine.files.result  # noqa: F401

    figures = Figures()
    for name, work in CASES.items():
        for exchange in (True, False)[: 2 if times else 1]:
            _, steps = _live(work, _fresh(place, name), Plan(exchange), place)
            swap = is_of_the_swap(steps)
            for number in list(CODES)[: None if times else 1]:
                for at, (step, of) in enumerate(zip(steps, swap, strict=True), 1):
                    for turn in range(max(1, times) if of else min(1, times)):
                        figures.kills[f"publishing a {name}", number.name] += 1
                        if of:
                            figures.steps[step, number.name] += 1
                        plan = Plan(exchange, number, at)
                        for wrong in _kill(place, name, plan, turn % 2 == 1, at == len(steps), figures):
                            figures.failures.append(f"{name}, {number.name} at {at} ({step}): {wrong}")
    return figures


def _fresh(place: Path, name: str) -> Path:
    folder = place / name.replace(" ", "-")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    out = folder / "out"
    if "old" in name and name.startswith("folder"):
        (out / "inside").mkdir(parents=True)
        (out / "item.json").write_text(ITEM)
        (out / "inside" / "content").write_text("old")
    elif "old" in name:
        out.write_text("old")
    return folder


def _content(out: Path) -> str | None:
    path = out / "inside" / "content" if out.is_dir() else out
    return path.read_text() if path.exists() else None


def _kill(place: Path, name: str, plan: Plan, look: bool, last: bool, figures: Figures) -> list[str]:
    """What was wrong."""
    from tessera_engine.files.partial import finish_or_undo

    work, folder, wrong = CASES[name], _fresh(place, name), []
    old = _content(folder / "out")
    code, _ = _live(work, folder, plan, place)
    if code not in (0, CODES[signal.Signals(plan.number)]):
        wrong.append(f"exit {code}")
    if look:
        finish_or_undo(folder / "out")
    found = _content(folder / "out")
    figures.outcomes["new" if found == "new" else "old" if found == old else "neither"] += 1
    if found not in (("new", old) if look or plan.exchange else ("new", old, None)):
        wrong.append(f"{found!r} is there")
    done = found == "new" and sorted(os.listdir(folder)) == ["out"]
    again, _ = _live(work, folder, Plan(plan.exchange), place)
    # After the last step nothing shows that the process had not ended
    if again and not (done and again == 2 and (last or code == 0)):
        wrong.append(f"again: exit {again}")
    if _content(folder / "out") != "new" or sorted(os.listdir(folder)) != ["out"]:
        wrong.append(f"again: {_content(folder / 'out')!r} in {sorted(os.listdir(folder))}")
    return wrong


def _live(work: Callable[[Path], None], folder: Path, plan: Plan, place: Path) -> tuple[int, list[str]]:
    """The exit code of a process that does the work, and its steps."""
    record = place / "steps"
    record.write_bytes(b"")
    child = os.fork()
    if child == 0:
        _be(work, folder, plan, record)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, record.read_text().splitlines()


def _be(work: Callable[[Path], None], folder: Path, plan: Plan, record: Path) -> None:
    """Do the work as the command line does. Does not return."""
    from tessera_engine.cli.signals import interruptible
    from tessera_engine.errors import InputError

    code = 0
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        count_steps(folder / "out", plan, os.open(record, os.O_WRONLY | os.O_APPEND))
        with interruptible("give the same command again"):
            work(folder / "out")
    except InputError:
        code = 2
    except BaseException:
        code = 99
    finally:
        sys.stderr.flush()
        os._exit(code)
