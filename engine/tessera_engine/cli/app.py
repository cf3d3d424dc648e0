"""The application with which commands register, and how a command ends that can't be carried out."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.main import get_command

from tessera_engine.cli import console
from tessera_engine.cli.help_page import Application
from tessera_engine.cli.streams import prepare_streams
from tessera_engine.cli.usage import PROGRAM, in_one_line, is_help
from tessera_engine.cli.wording import speak_for
from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files.windows import too_long
from tessera_engine.offline.process import go_offline

if TYPE_CHECKING:
    from collections.abc import Sequence


_NEAR = 60
"""Characters of a text that a message shows before and after the one that is wrong."""

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


def main() -> None:
    """Run the command line. An expected error is one line on stderr and an exit code."""
    prepare_streams()
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
