"""TESSERA embeddings offline: scenes in, embeddings out. Never imports torch.

    import tessera_engine as te

    model = te.load_model("demo", precision="int8")
    te.embed("scene_dir", model, out="scene.embeddings")

Scenes:     open_scene, embed
Models:     load_model
Embeddings: open_embeddings, convert, picture, similar, change, map, evaluate, verify

Each function takes its input first (a path, or what open_scene, load_model or open_embeddings gave), then `out`, then
options by name, as the command line spells them. `help(tessera_engine.embed)` lists them. Errors are `TesseraError`s.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tessera_engine.api import Embedded, Model, embed, load_model
    from tessera_engine.errors import InputError, SceneWarning, TesseraError
    from tessera_engine.formats.embeddings.base import Embeddings
    from tessera_engine.formats.opening import open_embeddings
    from tessera_engine.running.convert import convert
    from tessera_engine.scene import Scene, Window
    from tessera_engine.scenes import open_scene

_MODULES = {
    "Embedded": "api",
    "Embeddings": "formats.embeddings.base",
    "InputError": "errors",
    "Model": "api",
    "Scene": "scene",
    "SceneWarning": "errors",
    "TesseraError": "errors",
    "Window": "scene",
    "convert": "running.convert",
    "embed": "api",
    "load_model": "api",
    "open_embeddings": "formats.opening",
    "open_scene": "scenes",
}
"""Name -> the module that has it. It is imported at first use, so that `import tessera_engine` takes no time."""

__all__ = [
    "Embedded",
    "Embeddings",
    "InputError",
    "Model",
    "Scene",
    "SceneWarning",
    "TesseraError",
    "Window",
    "convert",
    "embed",
    "load_model",
    "open_embeddings",
    "open_scene",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("tessera-engine")
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
