"""A command line that can't be understood: one line that starts with "error: ", and exit code 2, for every command."""

from __future__ import annotations

import pytest
from command_tree import COMMANDS, SINGLE

from tessera_engine.cli.wording import arguments_of, spelled


def refused(run, *words):
    code, out, err = run(*words)
    assert (code, out, err.count("\n")) == (2, "", 1), (words, err)
    assert err.startswith("error: ")
    return err.removeprefix("error: ")


@pytest.fixture(params=["", "20"])
def terminal(request, monkeypatch):
    """How wide it is: of unknown width, and so narrow that a parser would fold its lines."""
    if request.param:
        monkeypatch.setenv("COLUMNS", request.param)
        monkeypatch.setenv("TERMINAL_WIDTH", request.param)
        monkeypatch.setenv("FORCE_COLOR", "1")


def test_an_unknown_option_is_named_by_every_command(run, terminal):
    for path, _ in COMMANDS:
        said = refused(run, *path, "--no-such-thing")
        assert "--no-such-thing" in said
        assert " ".join(["tessera-engine", *path, "--help"]) in said


def test_an_argument_too_many_is_named_by_every_command(run, terminal):
    tried = 0
    for path, command in SINGLE:
        if any(each.nargs == -1 for each in arguments_of(command)):
            continue
        tried += 1
        needed = [
            word
            for each in command.params
            if each.param_type_name == "option" and each.required
            for word in [max(each.opts, key=len), *["1"] * each.nargs]
        ]
        said = refused(run, *path, *needed, *["1"] * len(arguments_of(command)), "left over")
        assert "left over" in said, path
    assert tried > 10


def test_what_is_missing_is_named_by_every_command(run, terminal):
    tried = 0
    for path, command in SINGLE:
        required = [each for each in command.params if each.required]
        if not required:
            continue
        tried += 1
        said = refused(run, *path)
        assert " ".join(["tessera-engine", *path]) in said
        for each in required:
            assert spelled(each) in said
    assert tried > 15


def test_an_option_without_its_value_is_named_by_every_command(run, terminal):
    for path, command in SINGLE:
        for option in command.params:
            if option.param_type_name == "option" and not option.is_flag:
                name = max(option.opts, key=len)
                assert refused(run, *path, name).count(name) >= 2  # it, and how it is given


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        (["modle"], ("'modle'", "'model'")),
        (["model", "lst"], ("tessera-engine model", "'lst'", "'list'")),
        (["zzz"], ("'zzz'", "tessera-engine --help")),
        (["map", "--lables", "x"], ("--lables", "--labels?")),
        (["map", "-lables", "x"], (" -lables;", "--labels?")),
        (["embed", "x", "--int8=3"], ("--int8",)),
        (["embed", "x", "--window", "1", "2", "3"], ("--window", "4", "COL ROW WIDTH HEIGHT")),
        (["embed", "x", "--window", "1", "2", "3", "y"], ("--window", "'y'", "a whole number")),
        (["embed", "x", "--threads", "0"], ("--threads", "'0'", "at least 1")),
        (["bench", "--pixels", "100000000000"], ("'100000000000'", "10,000,000")),
        (["embed", "--nope\x1b[2J\nsecond"], ("\\x1b[2J\\nsecond",)),
        (["embed"], ("SCENE", "--jobs")),
        (["sample", "a"], ("SOURCES... SHAPES --out OUT",)),
    ],
)
def test_a_mistake_says_what_came_and_what_was_expected(run, terminal, words, facts):
    said = refused(run, *words)
    assert [fact for fact in facts if fact not in said] == [], said


def test_a_group_alone_shows_its_help(run):
    for words in ([], ["model"]):
        code, out, err = run(*words)
        assert (code, out) == (2, "")
        assert "Commands:" in err
