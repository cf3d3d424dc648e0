"""Command lines run in one process under strace: what they connected to, wrote and read."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from places import ROOT

MARK = "/@case/"
"""A path that doesn't exist. Looking for it under a command's name marks in the trace where that command begins."""

CALLS = (
    "socket,connect,bind,open,openat,openat2,creat,mkdir,mkdirat,mknod,mknodat,rename,renameat,renameat2,link,linkat,"
    "symlink,symlinkat,unlink,unlinkat,rmdir,truncate,chmod,fchmodat,access,faccessat,faccessat2"
)

_WRITES = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND")
_LOOKS_UP_USERS = '"/var/run/nscd/socket"'
"""The C library asks this daemon of the same machine, if it runs, for the name of the user."""

_OPENS = ("open", "openat", "openat2")
_SYSTEM = ("/dev/null", "/dev/tty", "/dev/shm/", "/proc/self/", "/proc/thread-self/")


@dataclass
class Trace:
    """What one command line did.

    Attributes:
        code: its exit code; None: it raised an exception that the command line doesn't expect.
        out: its stdout.
        err: its stderr, with a traceback if it raised one.
        sockets: sockets of the internet that it made, and everything that it connected to.
        written: paths that it created, changed or removed.
        read: paths that it opened for reading; of those that exist, without links.
    """

    code: int | None = None
    out: str = ""
    err: str = ""
    sockets: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)


@cache
def why_not() -> str:
    """Why nothing can be traced here; empty if it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    done = subprocess.run(["strace", "-f", "-e", "trace=open", "true"], capture_output=True, check=False)
    return "" if done.returncode == 0 else "strace may not trace processes here"


@cache
def _without_network() -> tuple[str, ...]:
    """How to start a process without network interfaces; empty where that isn't allowed."""
    for words in (("unshare", "-n"), ("unshare", "-rn")):
        if (
            shutil.which(words[0])
            and not subprocess.run([*words, "true"], capture_output=True, check=False).returncode
        ):
            return words
    return ()


def _with_loopback_alone() -> tuple[str, ...]:
    """How to start a process whose only network interface is that of its own machine; empty where that can't be."""
    words = _without_network()
    if not words or shutil.which("ip") is None:
        return ()
    return (*words, "sh", "-c", 'ip link set lo up && exec "$0" "$@"')


def traced(
    commands: dict[str, list[str]], folder: Path, loopback: bool = False, **environment: str
) -> dict[str, Trace]:
    """Run command lines one after the other, in one process without a network where that is allowed.

    Args:
        commands: name -> arguments of `tessera-engine`, or `-c` and Python code.
        folder: where they run; it holds the trace too.
        loopback: let them speak to their own machine.
        environment: changes of it.
    """
    log, given, results = (folder / name for name in ("trace.log", "commands.json", "results.json"))
    given.write_text(json.dumps(commands))
    paths = [str(ROOT / name) for name in ("engine", "export", "kernels")]
    subprocess.run(
        [
            *(_with_loopback_alone() if loopback else _without_network()), "strace", "-f", "-qq", "-y", "-s", "4096", "--seccomp-bpf", "-e", f"trace={CALLS}",
            "-o", log, sys.executable, __file__, given, results,
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        check=True,
    )  # fmt: skip
    traces = {name: Trace(**found) for name, found in json.loads(results.read_text()).items()}
    _fill(traces, log, folder)
    return traces


def _fill(traces: dict[str, Trace], log: Path, folder: Path) -> None:
    unfinished: dict[str, str] = {}
    # What is opened as the first command's libraries are loaded counts as its own
    current = next(iter(traces.values()))
    for line in log.read_text(errors="replace").splitlines():
        pid, _, text = line.partition(" ")
        text = text.lstrip()
        if text.endswith("<unfinished ...>"):
            unfinished[pid] = text.removesuffix("<unfinished ...>")
            continue
        if resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", text):
            text = unfinished.pop(pid, "") + resumed[1]
        if not (call := re.match(r"(\w+)\((.*)\)\s+= (.*)", text)):
            continue
        name, arguments, result = call.groups()
        if f'"{MARK}' in arguments:
            current = traces[arguments.split(MARK)[1].split('"')[0]]
        elif name in ("socket", "connect", "bind"):
            if _LOOKS_UP_USERS not in arguments and (name == "connect" or "AF_INET" in arguments):
                current.sockets.append(text)
        elif not name.startswith(("access", "faccess")):
            opened = name in _OPENS
            found = _paths(arguments, folder)
            if opened and (real := re.search(r"<(/.*)>", result)):
                found = [real[1].removesuffix(" (deleted)")]
            to = current.read if opened and not _WRITES.search(arguments) else current.written
            to += [path for path in found if not path.startswith(_SYSTEM)]


def _paths(arguments: str, folder: Path) -> list[str]:
    """The paths among a call's arguments, absolute; a relative one belongs to the open folder before it."""
    found = []
    for place, path in re.findall(r'(?:(?:\d+|AT_FDCWD)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"', arguments):
        found.append(os.path.normpath(os.path.join(place or folder, path)))
    return found


def _run_all(given: Path, results: Path) -> None:
    """In the traced process: run the commands."""
    import contextlib
    import io
    import traceback

    from tessera_engine import cli

    found = {}
    for name, arguments in json.loads(given.read_text()).items():
        os.access(f"{MARK}{name}", os.F_OK)
        out, err, code = io.StringIO(), io.StringIO(), 0
        sys.argv = ["tessera-engine", *arguments]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                if arguments[0] == "-c":
                    exec(arguments[1], {})
                else:
                    cli.main()
            except SystemExit as end:
                code = end.code or 0
            except BaseException:
                code = None
                traceback.print_exc()
        found[name] = {"code": code, "out": out.getvalue(), "err": err.getvalue()}
    results.write_text(json.dumps(found))


if __name__ == "__main__":
    _run_all(Path(sys.argv[1]), Path(sys.argv[2]))
