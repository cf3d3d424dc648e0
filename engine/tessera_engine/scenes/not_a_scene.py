"""Why a path can't be opened as a scene, and what the user probably meant."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from tessera_engine.errors import InputError
from tessera_engine.files.document import Damaged
from tessera_engine.files.inside import inside
from tessera_engine.files.nearby import no_such_folder
from tessera_engine.files.output import is_output, read_json_item
from tessera_engine.files.partial import finish_or_undo
from tessera_engine.scenes.registry import LAYOUTS, Layout, all_phrases, layouts_of

_SHOWN = 5
"""Names that a message lists."""

_SHAPES = (".csv", ".geojson", ".gpkg", ".kml", ".parquet", ".shp")
"""Endings of files that no layout has outside of its folder: they stand at the wrong place in the command."""

_DEPTH = 3
_MOST_FOLDERS = 1000
"""How far below a folder scenes are looked for, only to name them: a user may have typed a whole drive."""


def check_folder(path: Path) -> Path:
    """Return the path if it is a folder that may be a scene.

    Raises:
        InputError: it doesn't exist, is a file, or is an output of this engine.
    """
    finish_or_undo(path)
    if not path.exists():
        raise no_such_folder(path)
    if not path.is_dir():
        raise _is_file(path)
    if is_output(path):
        raise InputError(f"{path} is {_output_in_words(path)}")
    around = _output_around(path)
    if around is not None:
        raise InputError(f"{path} is a part of the output {around}; give {around}")
    return path


def _output_around(path: Path) -> Path | None:
    """The output of which a folder is a part, such as the store in it or a group of that."""
    for folder in path.parents[:_DEPTH]:
        if is_output(folder):
            return folder if path.relative_to(folder).parts[0] in set(_parts(folder)) else None
    return None


def _parts(output: Path) -> Iterator[str]:
    """The names of the files and folders in an output that its item names."""
    assets = read_json_item(output).get("assets")
    for asset in assets.values() if isinstance(assets, dict) else ():
        href = asset.get("href") if isinstance(asset, dict) else None
        yield from PurePosixPath(href).parts[:1] if isinstance(href, str) else ()


def check_no_scenes_below(folder: Path) -> None:
    """Make sure that a folder without usable products isn't the parent of scenes.

    Raises:
        InputError: it is; the message names the scenes.
    """
    scenes = [str(each) for each in _scenes_below(folder)]
    if scenes:
        raise InputError(
            f"{folder} is not a scene, but there are scenes in it: {_some(scenes)}; give one of them"
        )


def no_layout(folder: Path, layout: str | None, others: Sequence[str] = ()) -> InputError:
    """The error for a folder in which no layout was found.

    Args:
        folder: the folder.
        layout: the only layout that was looked for; None: all.
        others: names of the layouts that the folder does have, where `layout` isn't one of them.
    """
    if layout is not None and others:
        return InputError(
            f"{folder} has the layout {' and '.join(others)}, expected layout='{layout}': "
            f"{LAYOUTS[layout].looks_like}; give the layout that it has, or leave out layout="
        )
    names = sorted(entry.name for entry in folder.iterdir())
    expected = LAYOUTS[layout].looks_like if layout is not None else f"one of: {all_phrases()}"
    if not names:
        return InputError(f"{folder} is an empty folder, expected {expected}")
    links = sorted(
        entry.name for entry in folder.iterdir() if entry.is_symlink() and not inside(folder, entry)
    )
    followed = f" (links that lead out of the folder are not followed: {_some(links)})" if links else ""
    return InputError(
        f"{folder} is not a scene of a known layout: it has {_some(names)}{followed}; expected {expected}"
    )


def tile_layouts(folder: Path) -> list[str]:
    """The names of the tile layouts that a folder has, damaged or not."""
    return [each.name for each in layouts_of("tile") if _has_layout(folder, each)]


def _is_file(path: Path) -> InputError:
    folder = path.parent
    if path.suffix == ".onnx":
        return InputError(f"{path} is a model file, expected a scene folder; give the model as model=")
    if path.suffix.lower() in _SHAPES:
        return InputError(f"{path} is a table or a file of shapes, expected the folder of a scene or output")
    if is_output(folder):
        return InputError(
            f"{path} is a file, expected a scene folder; {folder} is {_output_in_words(folder)}"
        )
    if tile_layouts(folder):
        return InputError(f"{path} is a file of the scene {folder}; give the folder: {folder}")
    return InputError(
        f"{path} is a file, expected a scene folder; give the folder that holds all files of the scene, such as "
        f"{folder}"
    )


def _output_in_words(folder: Path) -> str:
    scene = None
    with suppress(OSError, Damaged):
        scene = read_json_item(folder)["properties"].get("tessera:scene")
    made_from = f" ('{scene[:80]}')" if isinstance(scene, str) else ""
    return (
        f"an output of this engine, not a scene; give the scene folder that it was made from{made_from}, or use info, "
        "verify, convert, similar, change or map, which take outputs"
    )


def _has_layout(folder: Path, layout: Layout) -> bool:
    try:
        return layout.open_folder(folder) is not None
    except InputError:  # it has the layout, with something wrong in it
        return True
    except OSError:  # the folder can't be read
        return False


def _scenes_below(folder: Path) -> Iterator[Path]:
    """Folders below this one that have a tile layout. Products would have been found at any depth already."""
    level, seen = [folder], 0
    for _ in range(_DEPTH):
        deeper = []
        for parent in level:
            for each in _subfolders(parent):
                seen += 1
                if seen > _MOST_FOLDERS:
                    return
                if tile_layouts(each):
                    yield each
                else:
                    deeper.append(each)
        level = deeper


def _subfolders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [
                each.name
                for each in entries
                if each.is_dir(follow_symlinks=False) and not each.name.startswith(".")
            ]
    except OSError:
        return []
    return [folder / name for name in sorted(names)]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
