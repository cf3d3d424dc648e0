"""The application with which commands register, and what all of them share: options, errors, signals."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import threading
import traceback
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer
from typer.main import get_command

from tessera_engine.cli import console
from tessera_engine.cli.help_page import Application
from tessera_engine.cli.usage import PROGRAM, in_one_line, is_help
from tessera_engine.cli.wording import speak_for
from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files import last_step
from tessera_engine.files.windows import too_long
from tessera_engine.offline.process import go_offline
from tessera_engine.scenes.registry import LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM, *filter(None, [getattr(signal, "SIGBREAK", None)]))
"""Which ask a process to end. Windows raises SIGBREAK for Ctrl-Break and when the window is closed."""

_LISTEN_SECONDS = 0.2
"""Seconds between two looks for Ctrl-C: on Windows a waiting thread gets the signal only when it wakes up."""

_NEAR = 60
"""Characters of a text that a message shows before and after the one that is wrong."""
PUBLISHED = "the new result is there; give the same command again to remove what is left of the work on it"

DEBUG_VARIABLE = "TESSERA_ENGINE_DEBUG"

_UsageError: Any = typer.BadParameter.__base__
"""What the parser of the command line raises. Typer exports no name for it."""

app = Application(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models = Application(help="List, carry, import and download models.", no_args_is_help=True)
app.add_typer(models, name="model")

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and no notes.")]
Device = Annotated[
    str,
    typer.Option(
        rich_help_panel="Model",
        help="auto, cpu or cuda. auto uses a GPU if something that runs the model on it is installed.",
    ),
]
DeviceMemory = Annotated[
    str | None,
    typer.Option(
        rich_help_panel="How it runs",
        metavar="SIZE",
        help="Limit of the GPU's memory, like 8GB. Default: what is free.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(rich_help_panel="How it runs", min=1, help="Number of CPU threads. Default: all."),
]

Memory = Annotated[
    str | None,
    typer.Option(
        rich_help_panel="How it runs",
        help="Memory limit, like 2GB. Default: half of the free memory, at most 4GB.",
    ),
]

Layout = Annotated[
    str | None,
    typer.Option(
        rich_help_panel="Scene and time",
        help=f"Read only this layout: {', '.join(LAYOUTS)}. Default: all that the folder has.",
    ),
]
Year = Annotated[
    int | None,
    typer.Option(
        rich_help_panel="Scene and time",
        help="Use this year only. Default: the year with most dates. For d-pixel tiles: the year that they are of.",
    ),
]
From = Annotated[
    datetime | None,
    typer.Option(
        "--from",
        rich_help_panel="Scene and time",
        formats=["%Y-%m-%d"],
        metavar="DATE",
        help="The first day to use; needs --to.",
    ),
]
To = Annotated[
    datetime | None,
    typer.Option(
        "--to",
        rich_help_panel="Scene and time",
        formats=["%Y-%m-%d"],
        metavar="DATE",
        help="The last day to use, at most 12 months after --from.",
    ),
]
Season = Annotated[
    str | None,
    typer.Option(
        rich_help_panel="Scene and time",
        metavar="FIRST:LAST",
        help="Use a season, in whole months (2023-11:2024-06) or days (2023-11-15:2024-06-30). d-pixel tiles need "
        "--year too.",
    ),
]
Like = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel="Scene and time",
        help="For products: resample to this raster's grid. Default: their own 10 m grid.",
        metavar="FILE",
    ),
]
S1Units = Annotated[
    str | None,
    typer.Option(
        rich_help_panel="Scene and time",
        help="For products: units of Sentinel-1 (power, amplitude, db or code). Default: what the products say.",
    ),
]


def main() -> None:
    """Run the command line. An expected error is one line on stderr and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that can't show every character of a name still shows the others
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    console.keep_libraries_plain()
    go_offline()
    path, command = _given_command(sys.argv[1:])
    speak_for(command)
    logging.getLogger("tessera_kernels").addHandler(_NOTICES)
    try:
        _refuse_empty(sys.argv[1:])
        sys.exit(_command()(prog_name=PROGRAM, standalone_mode=False))
    except _UsageError as error:
        if is_help(error):
            error.show()
            sys.exit(error.exit_code)
        wrong = InputError(in_one_line(error, sys.argv[1:], path, command))
        _give_up(str(wrong), wrong.exit_code)
    except TesseraError as error:
        _give_up(str(error), error.exit_code)
    except OSError as error:
        # A full disk, a missing drive, a file without permission: too many cases to name each
        where = f" ({error.filename})" if error.filename else ""
        reason = too_long(error.filename) if isinstance(error.filename, str) else None
        _give_up(f"{reason or error.strerror or error}{where}", 1)
    except MemoryError:
        _give_up("out of memory; give a smaller --memory or --window", 1)
    except UnicodeEncodeError as error:
        if error.reason != "surrogates not allowed":
            raise
        near = error.object[max(0, error.start - _NEAR) : error.end + _NEAR]
        _give_up(f"the name '{near}' is not UTF-8; rename that file or folder", 2)
    except ImportError as error:
        if "map segment" not in str(
            error
        ):  # what the system says where a library doesn't fit into the memory
            raise
        _give_up("the system has no memory for a library; raise its limit (ulimit -v)", 1)
    except RuntimeError as error:
        if "start new thread" not in str(error):
            raise
        _give_up(
            "the system has no memory for another thread; raise its limit (ulimit -v), or give fewer --threads",
            1,
        )


def _refuse_empty(words: Sequence[str]) -> None:
    """Refuse an empty value, which nobody means: as a path it would be the current folder.

    Raises:
        InputError: there is one.
    """
    for before, word in zip(("", *words), words, strict=False):
        if not word or (word.startswith("--") and word.endswith("=")):
            name = word.rstrip("=") or (before if before.startswith("-") else "an argument")
            raise InputError(
                f"{name} is empty; is a variable of the shell not set? Give a value, or leave it out"
            )


class _Notices(logging.Handler):
    """Notices of the kernels, which know no console: one line to stderr each."""

    def emit(self, record: logging.LogRecord) -> None:
        from tessera_engine.cli import console

        console.say(f"warning: {record.getMessage()}")


_NOTICES = _Notices()


@cache
def _command() -> Any:
    """The application as click sees it, made once: typer reads the parameters of all commands for it."""
    return get_command(app)


def _given_command(words: Sequence[str]) -> tuple[Sequence[str], Any]:
    """The words that name a command, and the click command; the whole application if they name none."""
    command = _command()
    for i, word in enumerate(words):
        if word not in getattr(command, "commands", ()):
            return words[:i], command
        command = command.commands[word]
    return words, command


def _give_up(message: str, exit_code: int) -> NoReturn:
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exc()
    console.say(f"error: {message}")
    sys.exit(exit_code)


def _version(show: bool) -> None:
    if show:
        from importlib.metadata import version

        console.print_line(f"tessera-engine {version('tessera-engine')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Compute TESSERA embeddings of a year of Sentinel-2 and Sentinel-1, offline.

    "tessera-engine COMMAND --help" explains a command. --install-completion lets the Tab key complete commands and
    options in your shell.
    """


def exit_code_of(number: int) -> int:
    """The exit code of a process that a signal of `SIGNALS` ends; Ctrl-Break counts as Ctrl-C."""
    return 128 + (signal.SIGTERM if number == signal.SIGTERM else signal.SIGINT)


class _Stop(BaseException):
    """The process received a signal that asks it to end."""

    def __init__(self, number: int, published: bool) -> None:
        self.exit_code = exit_code_of(number)
        self.published = published


@contextmanager
def interruptible(advice: str, published: str = PUBLISHED) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the process at once, with exit code 130 or 143.

    A signal that comes when everything is done is ignored, see `tessera_engine.files.last_step`.

    Args:
        advice: what the last line says after "interrupted" if no result was published: what is left, and how to
            continue.
        published: what it says if one was.
    """

    def stop(number: int, frame: object) -> None:
        stage = last_step.end(number)
        if stage is None:
            return
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)  # a second signal must not disturb the last line
        raise _Stop(number, stage is last_step.Stage.PUBLISHED)

    for number in SIGNALS:
        signal.signal(number, stop)
    try:
        yield
    except BaseException as error:
        # What a signal interrupts may fail while it is tidied up; it is removed by the next command then
        stopped: BaseException | None = error
        while stopped is not None and not isinstance(stopped, _Stop):
            stopped = stopped.__context__
        if stopped is None:
            raise
        console.say(f"interrupted: {published if stopped.published else advice}")
        sys.stdout.flush()
        sys.stderr.flush()
        # Not sys.exit, which waits for threads that may be deep in a kernel. Everything to keep is on the disk already.
        os._exit(stopped.exit_code)
    finally:
        # Only the end of the process is left. A signal now must not make a finished run look interrupted
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)


def aside(work: Callable[[], T]) -> T:
    """Run `work` in another thread and return its result. This thread stays free for signals meanwhile."""
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:
            result.set_exception(error)

    thread = threading.Thread(target=run, name="tessera-work", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_LISTEN_SECONDS)
    return result.result()
