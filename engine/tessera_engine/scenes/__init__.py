"""One module a layout of scenes on disk; which one a folder has is found by looking at it."""

from __future__ import annotations

from pathlib import Path

from tessera_engine.errors import InputError
from tessera_engine.scene import Reader, Scene


def open_scene(path: str | Path) -> Scene:
    """Open a scene folder: a d-pixel tile or a folder of such tiles.

    Only headers and dates are read; observations are read window by window.

    Args:
        path: the folder.

    Raises:
        InputError: no such folder, no known layout, or something in it is missing, damaged or disagrees.
    """
    folder = Path(path)
    if not folder.exists():
        raise InputError(f"no such folder: {folder}")
    if not folder.is_dir():
        raise InputError(f"{folder} is a file, expected a scene folder")
    return Scene(folder.resolve().name, str(folder), _reader(folder))


def _reader(folder: Path) -> Reader:
    from tessera_engine.scenes import dpixel, tiles

    if dpixel.is_tile(folder):
        return dpixel.DPixelTile(folder)
    tile_folders = [sub for sub in folder.iterdir() if sub.is_dir() and dpixel.is_tile(sub)]
    if tile_folders:
        return tiles.TileFolder(tile_folders)
    names = sorted(entry.name for entry in folder.iterdir())
    if not names:
        raise InputError(f"{folder} is empty, expected a scene: a d-pixel tile or a folder of such tiles")
    found = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    raise InputError(
        f"{folder} has no layout that is known: found {found}; expected a d-pixel tile "
        f"({dpixel.BANDS}, {dpixel.MASKS}, {dpixel.DOYS}, ...) or a folder of such tiles"
    )
