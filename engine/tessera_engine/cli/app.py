"""The application that commands register with, and what they share."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import traceback
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer
from typer.main import get_command

from tessera_engine.cli.wording import speak_for
from tessera_engine.errors import MissingExtra, TesseraError
from tessera_engine.scenes.registry import LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_LISTEN_SECONDS = 0.2
"""Windows tells a thread of Ctrl-C only when it wakes up."""

DEBUG_VARIABLE = "TESSERA_ENGINE_DEBUG"

app = typer.Typer(
    help="Turn a year of Sentinel-2 and Sentinel-1 over a place into TESSERA embeddings, offline.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models = typer.Typer(help="Models on this machine.", no_args_is_help=True)
app.add_typer(models, name="model")

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and no notes.")]
Device = Annotated[
    str,
    typer.Option(help="auto, cpu or cuda. auto: a GPU where TensorRT or ONNX Runtime for one is installed."),
]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads. Default: all.")]

Memory = Annotated[
    str | None, typer.Option(help="Most memory to use, like 2GB. Default: half of what is free, at most 4GB.")
]

Layout = Annotated[
    str | None,
    typer.Option(help=f"Read this layout only: {', '.join(LAYOUTS)}. Default: all that the folder has."),
]
Year = Annotated[
    int | None, typer.Option(help="Of products: this year only. Default: the one with most dates.")
]
From = Annotated[
    datetime | None,
    typer.Option(
        "--from", formats=["%Y-%m-%d"], metavar="DATE", help="Of products: from this day on; with --to."
    ),
]
To = Annotated[
    datetime | None,
    typer.Option("--to", formats=["%Y-%m-%d"], metavar="DATE", help="The last day, at most 12 months later."),
]
Like = Annotated[
    Path | None,
    typer.Option(help="Bring products to this raster's grid. Default: their own, 10 m.", metavar="FILE"),
]
S1Units = Annotated[
    str | None,
    typer.Option(help="What Sentinel-1 products hold, if not what they say: power, amplitude, db or code."),
]


def main() -> None:
    """Entry point: expected errors are one line on stderr and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that can't show a folder's name shall show what it can
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    speak_for(_given_command(sys.argv[1:]))
    try:
        app(prog_name="tessera-engine")
    except TesseraError as error:
        _give_up(str(error), error.exit_code)
    except OSError as error:
        # The disk is full, a drive is gone, a file may not be read: not ours to foresee one by one
        where = f" ({error.filename})" if error.filename else ""
        _give_up(f"{error.strerror or error}{where}", 1)
    except MemoryError:
        _give_up("out of memory; give a smaller --memory or --window", 1)
    except RuntimeError as error:
        if "start new thread" not in str(error):
            raise
        _give_up(
            "the system gives no memory for another thread; allow more (ulimit -v), or give fewer --threads",
            1,
        )


def _given_command(words: Sequence[str]) -> Any:
    """The click command that the words begin with; the whole application if they name none."""
    command: Any = get_command(app)
    for word in words:
        if word not in getattr(command, "commands", ()):
            break
        command = command.commands[word]
    return command


def _give_up(message: str, exit_code: int) -> NoReturn:
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exc()
    from tessera_engine.cli import console

    console.say(f"error: {message}")
    sys.exit(exit_code)


def _version(show: bool) -> None:
    if show:
        from importlib.metadata import version

        print(f"tessera-engine {version('tessera-engine')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


class _Stop(BaseException):
    """A signal that asks the process to end."""

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number


@contextmanager
def interruptible(how_to_go_on: str) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the process at once, with a line that says how to go on and code 130 or 143."""

    def stop(number: int, frame: object) -> NoReturn:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)  # a second one shall not disturb the first one's last line
        raise _Stop(number)

    for number in _SIGNALS:
        signal.signal(number, stop)
    try:
        yield
    except _Stop as stopped:
        print(f"interrupted: {how_to_go_on}", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        # Not sys.exit: that waits for threads, which may be deep in a kernel. Whatever must last is on the disk.
        os._exit(stopped.exit_code)
    finally:
        # Only the end of the process is left: a signal now must not make what is finished look interrupted
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)


def aside(work: Callable[[], T]) -> T:
    """Do something in another thread and wait for it, so that this thread hears signals whatever is computed."""
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


@contextmanager
def export_extra(purpose: str) -> Iterator[None]:
    """The command line sits above all rooms; the engine below it never imports the export room."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtra("torch", "export", purpose) from None
