"""Kill every writing command, at every step of publishing and at random moments, and look at what is left.

After each kill the old result or the new one stands under its name, whole; the same command given again gives the bytes
of an uninterrupted run; and nothing is left beside.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soak.cases import HOME, Case
from soak.lives import Ended, Plan, is_of_the_swap, live

CODES = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}

Contents = dict[str, bytes]


@dataclass
class Figures:
    """What happened.

    Attributes:
        kills: by command and signal.
        steps: by step of publishing and signal.
        outcomes: of the kills: the old or the new stood there.
        failures: what was wrong, a line each.
    """

    kills: Counter = field(default_factory=Counter)
    steps: Counter = field(default_factory=Counter)
    outcomes: Counter = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(self.kills.values())


def contents(path: Path) -> Contents:
    """The bytes of the files at a path; of item.json and of times in other files what doesn't tell the time."""
    if path.is_file():
        return {"": path.read_bytes()}
    files = {each.relative_to(path).as_posix(): each for each in path.rglob("*") if each.is_file()}
    found = {name: each.read_bytes() for name, each in files.items()}
    for name in found:
        if name.endswith("item.json"):
            found[name] = json.dumps(_without_times(json.loads(found[name]))).encode()
    return found


def _without_times(value: Any) -> Any:
    """JSON without the times at which something was made, and without the checksums over them."""
    if isinstance(value, list):
        return [_without_times(each) for each in value]
    if not isinstance(value, dict):
        return value
    times = ("created", "datetime", "end_datetime", "tessera:item_sha256")
    return {name: _without_times(each) for name, each in value.items() if name not in times}


def beside(folder: Path) -> list[str]:
    """Names in the folder, and in its home."""
    home = folder / "home" / "models"
    return sorted(os.listdir(folder)) + (sorted(os.listdir(home)) if home.is_dir() else [])


class Trial:
    """A case with what is expected of it."""

    def __init__(self, case: Case, made: Path, work: Path) -> None:
        self.case, self.made, self.work = case, made, work
        folder = self.fresh()
        self.old = contents(folder / case.out) if case.old else None
        ended = live(case, folder, made, Plan())
        assert ended.code == 0, f"{case.name}: {ended.said}"
        self.new, self.beside = contents(folder / case.out), beside(folder)
        self.seconds = ended.seconds
        self.steps = {True: ended.steps}
        ended = live(case, self.fresh(), made, Plan(exchange=False))
        assert ended.code == 0, f"{case.name}, in two steps: {ended.said}"
        self.steps[False] = ended.steps

    def fresh(self) -> Path:
        """An empty folder with the old result in it."""
        folder = self.work / "here"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        if self.case.old:
            old = self.made / self.case.old
            (folder / self.case.out).parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if old.is_dir() else shutil.copy2)(old, folder / self.case.out)
        return folder

    def kill(self, plan: Plan, look: bool, figures: Figures) -> None:
        """One kill, the same command again, and every check.

        Args:
            plan: of the kill.
            look: look at the result by another command in between.
            figures: for what is found.
        """
        case, folder = self.case, self.fresh()
        ended = live(case, folder, self.made, plan)
        number = signal.Signals(plan.number)
        if ended.code == 0 and plan.moment:
            return  # it had finished just then
        figures.kills[case.command, number.name] += 1
        for wrong in self._after(ended, folder, plan, look, figures):
            figures.failures.append(
                f"{case.name}, {number.name} at {plan.step or f'{plan.moment:.3f} s'} "
                f"({self._step(plan)}), {'one step' if plan.exchange else 'two steps'}: {wrong}"
            )

    def _step(self, plan: Plan) -> str:
        return self.steps[plan.exchange][plan.step - 1] if plan.step else "at random"

    def _after(self, ended: Ended, folder: Path, plan: Plan, look: bool, figures: Figures) -> Iterator[str]:
        from tessera_engine.files.partial import finish_or_undo

        case, target = self.case, folder / self.case.out
        said = ended.said.strip().splitlines()
        if not ended.steps and plan.moment:
            pass  # it was still loading, and had no handler of signals
        elif ended.code not in (0, CODES[signal.Signals(plan.number)]):
            yield f"exit {ended.code}: {ended.said[-300:]}"
        if ended.missing and plan.exchange:
            yield "for a moment nothing was there"
        if ended.code > 0 and ended.steps and not (said and said[-1].startswith("interrupted: ")):
            yield f"it doesn't say that it was interrupted: {said[-1:]}"
        if look:
            finish_or_undo(target)
        is_there = os.path.lexists(target)
        if self.old is not None and (look or plan.exchange) and not is_there:
            yield "nothing is there"
        state = contents(target) if is_there else None
        partly = case.several
        now = "new" if state == self.new else "old" if state == self.old else "neither"
        figures.outcomes[now] += 1
        if now == "neither" and is_there and not partly:
            yield f"what is there is neither the old nor the new: {differing(state, self.new)}"
        if partly and is_there:
            yield from self._halves(state)
        if (
            ended.code > 0
            and ended.steps
            and said
            and ("is there" in said[-1]) != (now == "new")
            and not partly
        ):
            yield f"it says '{said[-1]}', and {now} is there"
        # A kill after the last step can't be told from a command that ended well
        complete = now == "new" and beside(folder) == self.beside
        again = live(case, folder, self.made, Plan(plan.exchange))
        if again.code != 0 and not (complete and again.code == 2):
            yield f"again: exit {again.code}: {again.said[-300:]}"
        if not os.path.lexists(target):
            yield "again: nothing is there"
        elif differs := differing(contents(target), self.new):
            yield f"again: other bytes in {differs}"
        if beside(folder) != self.beside:
            yield f"again: left over: {sorted(set(beside(folder)) - set(self.beside))}"

    def _halves(self, state: Contents) -> Iterator[str]:
        """Of several results in a folder, what is neither the old one nor the new one."""
        for name in sorted({path.split("/")[0] for path in state}):
            found, new, old = (
                {path: each for path, each in of.items() if path.split("/")[0] == name}
                for of in (state, self.new, self.old or {})
            )
            if ".partial" not in name and found not in (new, old):
                yield f"{name} is neither the old nor the new"


def differing(found: Contents, expected: Contents) -> list[str]:
    """Names of files that differ."""
    return [name for name in sorted(found.keys() | expected.keys()) if found.get(name) != expected.get(name)][
        :5
    ]


def warm(trials: list[Case], made: Path, work: Path) -> None:
    """Import and compile here what the commands need, so that their forks begin at once."""
    from tessera_engine.cli import main
    from tessera_engine.files import last_step

    assert os.environ["OMP_NUM_THREADS"] == "1", "threads of OpenMP don't survive a fork"
    kept = os.getcwd(), list(sys.argv), {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    streams = os.dup(1), os.dup(2)
    folder = work / "warm"
    folder.mkdir()
    os.chdir(folder)
    os.environ[HOME] = str(folder / "home")
    quiet = os.open(os.devnull, os.O_WRONLY)
    try:
        for number in (1, 2):
            os.dup2(quiet, number)
        done = set()
        for case in trials:
            if "--append" in case.words or (case.command, case.format) in done:
                continue
            done.add((case.command, case.format))
            sys.argv = ["tessera-engine", *case.line(made)]
            try:
                main()
            except SystemExit as ended:
                if ended.code:
                    raise RuntimeError(f"{case.name}: exit {ended.code}") from None
            shutil.rmtree(folder)
            folder.mkdir()
            os.chdir(folder)
        import gc

        gc.collect()
    finally:
        for number, stream in enumerate(streams, 1):
            os.dup2(stream, number)
            os.close(stream)
        os.close(quiet)
        os.chdir(kept[0])
        sys.argv = kept[1]
        for number, handler in kept[2].items():
            signal.signal(number, handler)
        last_step.begin()
        shutil.rmtree(folder)


def soak(trials: list[Trial], kills: int, seconds: float, seed: int, report=None) -> Figures:
    """Kill until there were so many kills, or until the time is over.

    Most kills are at a step of publishing: the step and signal that were hit least so far, in a command that takes that
    step. The others are at any step or moment of any command.
    """
    rng, figures, until = random.Random(seed), Figures(), time.monotonic() + seconds
    places: dict[str, list[tuple[Trial, bool, int]]] = {}
    for trial in trials:
        for exchange, steps in trial.steps.items():
            for number, of in enumerate(is_of_the_swap(steps), 1):
                if of:
                    places.setdefault(steps[number - 1], []).append((trial, exchange, number))
    aims = [(step, signal.Signals(number).name) for step in places for number in CODES]
    figures.steps.update(dict.fromkeys(aims, 0))
    while figures.total < kills and time.monotonic() < until:
        kind = rng.random()
        if kind < 0.8:
            least = min(figures.steps.values())
            step, name = rng.choice([aim for aim in aims if figures.steps[aim] == least])
            takers = places[step]
            trial, exchange, at = rng.choices(takers, [taker[0].case.weight for taker in takers])[0]
            figures.steps[step, name] += 1
            plan = Plan(exchange, signal.Signals[name], at)
        else:
            trial = rng.choices(trials, [each.case.weight for each in trials])[0]
            exchange, number = rng.random() < 0.5, rng.choice(list(CODES))
            if kind < 0.9:
                plan = Plan(exchange, number, rng.randint(1, len(trial.steps[exchange])))
            else:
                plan = Plan(exchange, number, moment=rng.uniform(0.001, trial.seconds))
        trial.kill(plan, rng.random() < 0.5, figures)
        if report is not None:
            report(figures)
    return figures
