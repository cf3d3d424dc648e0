"""A small process whose forks publish something, each with a signal after one of its steps.

Forking the process of the tests, with all that they have loaded, takes a tenth of a second; forking this one takes none.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

from places import ROOT

from tessera_engine.files import publish
from tessera_engine.files.result import result_file, result_folder, result_pair

ITEM = '{"properties": {"tessera:made": 1}, "assets": {"content": {"href": "content"}}}'


def write(folder, content):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "item.json").write_text(ITEM)
    (folder / "content").write_text(content)


def make(out, content="new", overwrite=False):
    with result_folder(out, overwrite, {"content": content}) as folder:
        write(folder, content)


def replace(out):
    make(out, overwrite=True)


def part(out):
    """A part of a result, which the same command uses as it is."""
    if not out.exists():
        with result_file(out, False, None) as made:
            made.write_text("new")


def pair(out):
    """A folder, and a file that one command makes with it."""
    with result_pair(out, out.with_name("file"), False, {"content": "new"}) as (folder, made):
        write(folder, "new")
        made.write_text("new")


def bare(out):
    """A folder that is no output, such as a kit."""
    with result_folder(out, False, {"content": "new"}) as folder:
        (folder / "content").write_text("new")


WORKS = {work.__name__: work for work in (make, replace, part, pair, bare)}

STEPS = (
    (os, "fsync"), (os, "ftruncate"), (Path, "mkdir"), (Path, "rename"), (Path, "replace"), (Path, "unlink"),
    (Path, "touch"), (Path, "rmdir"), (Path, "write_text"), (publish, "_renameat2"), (shutil, "rmtree"),
)  # fmt: skip


@contextmanager
def lives():
    """Start the small process. Gives `live(work, out, number, step, exchange)`.

    It does a work of `WORKS`, with a signal after a step (0: none), and gives how many steps were taken; 0: it was
    killed.
    """
    path = os.pathsep.join(str(ROOT / room) for room in ("engine", "kernels", "tests/helpers"))
    with subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        env=os.environ | {"PYTHONPATH": path},
    ) as process:  # fmt: skip

        def live(work, out, number, step, exchange):
            process.stdin.write(json.dumps([work.__name__, str(out), number, step, exchange]) + "\n")
            return int(process.stdout.readline())

        yield live


def _live(work, out, number, step, exchange):
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        _be(work, out, number, step, exchange, writing)
    os.close(writing)
    os.waitpid(process, 0)
    with os.fdopen(reading) as said:
        return int(said.read() or 0)


def _be(work, out, number, step, exchange, writing):
    """Do the work. Does not return."""
    taken = 0

    def after(module, name):
        honest = getattr(module, name)

        def call(*arguments, **options):
            nonlocal taken
            result = honest(*arguments, **options)
            taken += 1
            if taken == step:
                os.kill(os.getpid(), number)
            return result

        setattr(module, name, call)

    def stop(number, frame):
        raise SystemExit

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, stop)
    if not exchange:
        publish._renameat2 = lambda *names: False
    for module, name in STEPS:
        after(module, name)
    with suppress(BaseException):
        work(out)
    os.write(writing, str(taken).encode())
    os._exit(0)


if __name__ == "__main__":
    os.fsync = lambda descriptor: None  # no test cuts the power
    for line in sys.stdin:
        name, place, *plan = json.loads(line)
        print(_live(WORKS[name], Path(place), *plan), flush=True)
