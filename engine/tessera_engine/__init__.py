"""TESSERA embeddings offline: scenes in, embeddings out. Never imports torch.

import tessera_engine as te

model = te.load_model("demo", precision="int8")
te.embed("scene_dir", model, out="scene.embeddings")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tessera_engine.api import Embedded, Model, embed, load_model
    from tessera_engine.formats.embeddings.base import Embeddings
    from tessera_engine.formats.opening import open_embeddings
    from tessera_engine.scene import Window
    from tessera_engine.scenes import open_scene

__all__ = [
    "Embedded",
    "Embeddings",
    "Model",
    "Window",
    "embed",
    "load_model",
    "open_embeddings",
    "open_scene",
]


def __getattr__(name: str) -> Any:
    # Imported at first use: `tessera-engine --help` shall not wait for numba and rasterio.
    if name == "__version__":
        from importlib.metadata import version

        return version("tessera-engine")
    if name == "open_scene":
        from tessera_engine.scenes import open_scene

        return open_scene
    if name == "Window":
        from tessera_engine.scene import Window

        return Window
    if name in ("Embeddings", "open_embeddings"):
        from tessera_engine.formats import opening as embeddings

        return getattr(embeddings, name)
    if name in __all__:
        from tessera_engine import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
