"""Messages of the library name parameters; the command line prints its own options."""

from __future__ import annotations

import pytest
from typer.main import get_command

from tessera_engine.cli import app
from tessera_engine.cli.wording import in_options, speak_for


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("give overwrite=True or another out=", "give --overwrite or another --out"),
        ("give another out=; threads=99 is too many", "give another --out; --threads 99 is too many"),
        ("stored_as='int8' contradicts", "--store 'int8' contradicts"),
        ("start=2024-01-01 and end=2024-02-01, or year=", "--from 2024-01-01 and --to 2024-02-01, or --year"),
        ("unknown=3 stays, and a == b too", "unknown=3 stays, and a == b too"),
    ],
)
def test_parameters_become_options(message, said):
    speak_for(get_command(app).commands["embed"])
    assert in_options(message) == said


@pytest.mark.parametrize("name", ["simulate", "kit"])
def test_a_folder_that_is_an_argument_is_the_output(name):
    speak_for(get_command(app).commands[name])
    assert in_options("choose another out=") == "choose another FOLDER"


def test_one_of_several_values_is_named_by_their_option():
    speak_for(get_command(app).commands["change"])
    assert in_options("choose another year=") == "choose another --years"
