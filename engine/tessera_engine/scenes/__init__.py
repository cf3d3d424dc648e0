"""Scenes on disk, of any layout, opened by `open_scene`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tessera_engine.scenes.open import open_scene

__all__ = ["open_scene"]


def __getattr__(name: str) -> Any:
    # Imported at first use: the command line reads the registry beside this file, and must not wait for NumPy.
    if name in __all__:
        from tessera_engine.scenes.open import open_scene

        return open_scene
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
