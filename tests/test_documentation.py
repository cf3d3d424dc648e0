"""Pages and program agree: every command and option is documented and exists, and the pages' Python runs."""

from __future__ import annotations

import os
import re
import shlex
from itertools import chain

import pytest
from places import ROOT
from typer.main import get_command

from tessera_engine.cli import app

README = ROOT / "README.md"
PAGES = [README, *sorted(ROOT.glob("C*.md")), *sorted((ROOT / "docs").glob("*.md"))]
PROGRAM = "tessera-engine"

NEEDS_INPUTS = ("areas.md", "geotessera.md", "seasons.md", "stores.md")
"""Pages whose Python reads outputs that take long to make: test_commands_on_pages.py runs it."""


def find_commands(command, path=()):
    """Every command by its path: ("embed",), ("model", "list"), ..."""
    if not hasattr(command, "commands"):
        return {path: command}
    return dict(
        chain.from_iterable(
            find_commands(sub, (*path, name)).items() for name, sub in command.commands.items()
        )
    )


COMMANDS = find_commands(get_command(app))
OPTIONS = {name for command in COMMANDS.values() for param in command.params for name in param.opts} | {
    "--help",
    "--version",
}
EVERY_COMMAND = pytest.mark.parametrize("path", list(COMMANDS), ids=" ".join)
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def command_of(words):
    """The path of the command that the words begin with."""
    path = next((path for path in COMMANDS if tuple(words[: len(path)]) == path), None)
    assert path is not None, f"there is no command '{' '.join(words[:2])}'"
    return path


def parse(line):
    """Parse a command line as the program would, and do nothing with it; gives the command's path."""
    words = shlex.split(re.sub(r" > \S+$", "", line), comments=True)
    assert words.pop(0) == PROGRAM
    path = command_of(words)
    COMMANDS[path].make_context(" ".join(path), words[len(path) :])
    return path


def blocks(text):
    """The text of each fenced block of commands and sessions; those of a named language are left out."""
    return re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def python_blocks(page):
    """The fenced Python of a page."""
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def run_python(page, folder):
    """Run a page's Python in a folder, each block with names of its own."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        for block in python_blocks(page):
            exec(compile(block, page.name, "exec"), {})
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def after_the_readme(tmp_path_factory):
    """A folder with a small simulated scene, in which the README's Python ran."""
    from tessera_engine.simulate import simulate

    folder = tmp_path_factory.mktemp("readme")
    simulate(folder / "scene_dir", size=64)
    run_python(README, folder)
    return folder


def lines_typed(text):
    """The program's lines in the blocks."""
    lines = chain.from_iterable(block.splitlines() for block in blocks(text))
    return [line.removeprefix("$ ") for line in lines if line.removeprefix("$ ").startswith(f"{PROGRAM} ")]


def spans(text):
    """Code within sentences and tables."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


@EVERY_COMMAND
def test_help_says_what_it_does_with_an_example_that_parses(path):
    about = COMMANDS[path].help
    assert about.strip().splitlines()[0].endswith((".", ":"))
    examples = re.findall(r"Example: (.+)", about)
    assert examples, "the docstring has no line 'Example: tessera-engine ...'"
    for example in examples:
        assert parse(example) == path


@EVERY_COMMAND
def test_every_option_and_argument_has_help(path):
    command = COMMANDS[path]
    silent = [param.name for param in command.params if not (param.help or "").strip()]
    assert silent == []


def test_the_readme_lists_every_command():
    listed = README.read_text(encoding="utf-8").split("\n## Commands\n")[1].split("\n## ")[0]
    assert {parse(line) for line in lines_typed(listed)} == set(COMMANDS)


@EVERY_PAGE
def test_command_lines_on_the_pages_parse(page):
    text = page.read_text(encoding="utf-8")
    for line in lines_typed(text):
        parse(line)
    for span in spans(text):
        if span.startswith(f"{PROGRAM} "):
            words = span.split()[1:]
            # A command's name alone speaks of the command
            if tuple(words) != command_of(words):
                parse(span)


def test_the_readmes_python_embeds_a_scene(after_the_readme):
    assert (after_the_readme / "scene.embeddings" / "item.json").is_file()


@pytest.mark.parametrize(
    "page",
    # The tutorial's needs what its commands make: see test_tutorial.py
    [page for page in PAGES[1:] if python_blocks(page) and page.name not in ("tutorial.md", *NEEDS_INPUTS)],
    ids=lambda page: page.name,
)
def test_python_on_the_pages_runs(page, after_the_readme):
    run_python(page, after_the_readme)


@EVERY_PAGE
def test_options_that_the_pages_speak_of_are_there(page):
    for span in spans(page.read_text(encoding="utf-8")):
        if not span.startswith(("--", f"{PROGRAM} ", *(" ".join(path) + " " for path in COMMANDS))):
            continue  # another program's
        unknown = set(re.findall(r"(?<!\S)--[a-z0-9-]+", span)) - OPTIONS
        assert not unknown, f"`{span}`"


def where_defined(name):
    """The file that should define the first part of a dotted name that is no module, and that part; None: none."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        module = next(root for root in ROOMS if root.name == parts[0]).parent.joinpath(*parts[:end])
        for file in (module.with_suffix(".py"), module / "__init__.py"):
            if file.is_file():
                return file, parts[end] if end < len(parts) else None
    return None


ROOMS = [ROOT / "kernels/tessera_kernels", ROOT / "engine/tessera_engine", ROOT / "export/tessera_export"]
NAME = re.compile(r"`((?:tessera_kernels|tessera_engine|tessera_export)(?:\.[A-Za-z_]\w*)+)(?:\([^`]*\))?`")
ENTRY_POINTS = {"tessera_engine.backends", "tessera_engine.commands"}
"""Groups of entry points, which are written like modules."""


def names_without_object(text):
    """The dotted names in docstrings and comments that aren't defined where they say; a name in `__all__` counts."""
    for name in set(NAME.findall(text)) - ENTRY_POINTS:
        file, defined = where_defined(name)
        if defined is not None:
            there = rf"^(?:async )?(?:def|class) {defined}\b|^{defined}\b[^=\n]*=|^    \"{defined}\""
            if not re.search(there, file.read_text(), re.MULTILINE):
                yield name


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_names_in_docstrings_are_those_of_something(room):
    # The hash of the sources of the GPU's kernels belongs to what was compiled from them
    files = [file for file in room.rglob("*.py") if file.parent.name != "gpu_kernels"]
    wrong = {str(file): found for file in files if (found := sorted(names_without_object(file.read_text())))}
    assert not wrong


def test_a_name_of_nothing_is_found():
    here, gone = (
        "tessera_engine.formats.embeddings.stored.Source",
        "tessera_engine.formats.embeddings.base.Source",
    )
    assert list(names_without_object(f"see `{here}`, `{gone}` and `tessera_engine.embed`")) == [gone]


@EVERY_PAGE
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_page_is_reached_from_the_readme():
    reached, left = {README}, [README]
    while left:
        page = left.pop()
        for target in re.findall(r"\]\(([^)#]+\.md)\)", page.read_text(encoding="utf-8")):
            found = (page.parent / target).resolve()
            if found in PAGES and found not in reached:
                reached.add(found)
                left.append(found)
    assert [page.name for page in PAGES if page not in reached] == []


def test_a_wrong_line_is_found():
    for line in (
        "tessera-engine embed",
        "tessera-engine embed a --nonsense",
        "tessera-engine verify a --year x",
    ):
        with pytest.raises(Exception, match=r"(?i)missing|no such option|not a valid"):
            parse(line)
    with pytest.raises(AssertionError, match="there is no command 'embody"):
        parse("tessera-engine embody a")
