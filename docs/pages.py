"""The pages that `mkdocs build` makes of other sources: README and its like, commands, docstrings, notebooks."""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path, PurePosixPath
from types import FunctionType
from typing import Any

from mkdocs.structure.files import File
from mkdocs.utils import get_relative_url
from nbconvert import MarkdownExporter

ROOT = Path(__file__).resolve().parents[1]

OTHERS = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""Files of the repository's root -> pages."""

NOTEBOOK = ".ipynb"

EXPORTING = "Model files from checkpoints: tessera_export"

WIDTH = 88
"""Characters of a line of help."""

SHIM = {"https://unpkg.com/iframe-worker/shim": "vendored/iframe-worker.js"}
"""What the theme loads from elsewhere to search in pages opened from a disk -> our copy."""

LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_config(config: Any) -> Any:
    """Add the pages of commands to the navigation, in the order of `--help`."""
    pages = [{name: page} for name, page in command_pages().items()]
    place = next(i for i, each in enumerate(config.nav) if isinstance(each, dict) and "Python" in each)
    config.nav.insert(place, {"Commands": pages})
    return config


def on_files(files: Any, config: Any) -> Any:
    """Make the pages."""
    for source, page in OTHERS.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    for name, page in command_pages().items():
        files.append(File.generated(config, page, content=help_of(name)))
    files.append(File.generated(config, "python.md", content=python_reference()))
    for notebook in sorted((ROOT / "docs").glob(f"*/*{NOTEBOOK}")):
        for page, content in notebook_pages(notebook).items():
            files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links between the files of the repository lead from page to page."""
    here = PurePosixPath("docs") / page.file.src_uri
    here = next((PurePosixPath(source) for source, made in OTHERS.items() if made == page.file.src_uri), here)

    def lead(found: re.Match[str]) -> str:
        picture, text, target = found.groups()
        if "://" in target or target.startswith("#"):
            return found[0]
        name, _, anchor = target.partition("#")
        place = _normal(here.parent / name)
        if place in OTHERS:
            place = f"docs/{OTHERS[place]}"
        if place.endswith(NOTEBOOK):
            place = place.removesuffix(NOTEBOOK) + ".md"
        if not place.startswith("docs/"):
            return text
        place = posixpath.relpath(place, (PurePosixPath("docs") / page.file.src_uri).parent.as_posix())
        return f"{picture}[{text}]({place}{'#' * bool(anchor)}{anchor})"

    return LINK.sub(lead, markdown)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Let pages ask for nothing that isn't beside them."""
    for elsewhere, here in SHIM.items():
        output = output.replace(elsewhere, get_relative_url(here, page.url))
    return output


def _normal(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def command_pages() -> dict[str, str]:
    """Command -> page."""
    return {name: f"command-{name.replace(' ', '-')}.md" for name in _commands()}


def _commands() -> dict[str, Any]:
    from typer.main import get_command

    from tessera_engine.cli import app

    found: dict[str, Any] = {}
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        for inner, each in getattr(command, "commands", {"": command}).items():
            found[f"{name} {inner}".strip()] = each
    return found


def help_of(name: str) -> str:
    """The page of a command: what `--help` prints."""
    import click

    words = name.split()
    context = click.Context(
        _commands()[name], info_name=" ".join(["tessera-engine", *words]), terminal_width=WIDTH
    )
    text = context.command.get_help(context)
    return f"# {name}\n\n```\n$ tessera-engine {name} --help\n{text.rstrip()}\n```\n"


def notebook_pages(path: Path) -> dict[str, str | bytes]:
    """The page of a notebook with what it shows, and its pictures, by their places among the pages."""
    folder = path.parent.relative_to(ROOT / "docs")
    text, found = MarkdownExporter().from_filename(str(path), {"output_files_dir": f"{path.stem}-pictures"})
    made: dict[str, str | bytes] = {
        (folder / name).as_posix(): each for name, each in found["outputs"].items()
    }
    made[(folder / path.name).with_suffix(".md").as_posix()] = text
    return made


def python_reference() -> str:
    """The page of what Python users import: functions first, then types."""
    import tessera_engine
    import tessera_export

    lines = ["# Python", "", "```python", "import tessera_engine as te", "```", ""]
    values = [getattr(tessera_engine, name) for name in tessera_engine.__all__]
    values = [value for value in values if hasattr(value, "__module__")]
    lines += _section("Functions", [value for value in values if value.__name__[0].islower()])
    lines += _section("Types", [value for value in values if not value.__name__[0].islower()])
    exporting = sorted(tessera_export.__all__, key=lambda name: (not name[0].islower(), name))
    lines += _section(EXPORTING, [getattr(tessera_export, name) for name in exporting])
    return "\n".join(lines)


def _section(title: str, values: list[Any]) -> list[str]:
    """Lines of the page: a title and its functions and types."""
    lines = [f"## {title}", ""]
    for value in values:
        lines += [f"::: {value.__module__}.{value.__name__}"]
        if members := _members(value):
            lines += ["    options:", f"      members: {json.dumps(members)}"]
        lines += [""]
    return lines


def _members(of: object) -> list[str]:
    """Methods and properties of a type, in their order in the source."""
    if not isinstance(of, type):
        return []
    kinds = (FunctionType, property, classmethod)
    return [name for name, each in vars(of).items() if isinstance(each, kinds) and not name.startswith("_")]
