"""TESSERA embeddings offline: scenes in, embeddings out. Never imports torch.

    import tessera_engine as te

    model = te.load_model("demo", precision="int8")
    te.embed("scene_dir", model, out="scene.embeddings")

Scenes:     open_scene, embed, embed_many
Models:     load_model
Embeddings: open_embeddings, convert, picture, sample, similar, change, map,
            evaluate, segment, verify
Maps:       apply, suggest, sample_design, area, from_to

Each function takes its input first (a path, or what open_scene, load_model or open_embeddings gave), then `out`, then
options by name, as the command line names them. `help(tessera_engine.embed)` lists them. Errors are `TesseraError`s.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tessera_engine.analysis.areas.design import Design, sample_design
    from tessera_engine.analysis.areas.measure import area
    from tessera_engine.analysis.areas.result import Areas
    from tessera_engine.analysis.change import Changed, change
    from tessera_engine.analysis.maps.apply import Applied, apply
    from tessera_engine.analysis.maps.evaluate import evaluate
    from tessera_engine.analysis.maps.evaluation import Evaluation
    from tessera_engine.analysis.maps.make import Map, map
    from tessera_engine.analysis.sampling.sample import Sampled, sample
    from tessera_engine.analysis.segments.make import Segments, segment
    from tessera_engine.analysis.similar import Similar, similar
    from tessera_engine.analysis.suggest import Suggested, suggest
    from tessera_engine.analysis.transitions.make import from_to
    from tessera_engine.analysis.transitions.result import FromTo
    from tessera_engine.api import Embedded, embed
    from tessera_engine.errors import InputError, SceneWarning, TesseraError
    from tessera_engine.formats.embeddings.base import Embeddings
    from tessera_engine.formats.opening import open_embeddings
    from tessera_engine.jobs.many import JobResult, embed_many
    from tessera_engine.pictures.make import Picture, picture
    from tessera_engine.running.convert import convert
    from tessera_engine.running.loading import Model, load_model
    from tessera_engine.scene import Scene, Window
    from tessera_engine.scenes import open_scene
    from tessera_engine.verification.verify import Verified, verify

_MODULES = {
    "Applied": "analysis.maps.apply",
    "Areas": "analysis.areas.result",
    "Changed": "analysis.change",
    "Design": "analysis.areas.design",
    "Embedded": "api",
    "Embeddings": "formats.embeddings.base",
    "Evaluation": "analysis.maps.evaluation",
    "FromTo": "analysis.transitions.result",
    "InputError": "errors",
    "JobResult": "jobs.many",
    "Map": "analysis.maps.make",
    "Model": "running.loading",
    "Picture": "pictures.make",
    "Sampled": "analysis.sampling.sample",
    "Scene": "scene",
    "SceneWarning": "errors",
    "Segments": "analysis.segments.make",
    "Similar": "analysis.similar",
    "Suggested": "analysis.suggest",
    "TesseraError": "errors",
    "Verified": "verification.verify",
    "Window": "scene",
    "apply": "analysis.maps.apply",
    "area": "analysis.areas.measure",
    "change": "analysis.change",
    "convert": "running.convert",
    "embed": "api",
    "embed_many": "jobs.many",
    "evaluate": "analysis.maps.evaluate",
    "from_to": "analysis.transitions.make",
    "load_model": "running.loading",
    "map": "analysis.maps.make",
    "open_embeddings": "formats.opening",
    "open_scene": "scenes",
    "picture": "pictures.make",
    "sample": "analysis.sampling.sample",
    "sample_design": "analysis.areas.design",
    "segment": "analysis.segments.make",
    "similar": "analysis.similar",
    "suggest": "analysis.suggest",
    "verify": "verification.verify",
}
"""Name -> the module that has it. It is imported at first use, so that `import tessera_engine` takes no time."""

__all__ = [
    "Applied",
    "Areas",
    "Changed",
    "Design",
    "Embedded",
    "Embeddings",
    "Evaluation",
    "FromTo",
    "InputError",
    "JobResult",
    "Map",
    "Model",
    "Picture",
    "Sampled",
    "Scene",
    "SceneWarning",
    "Segments",
    "Similar",
    "Suggested",
    "TesseraError",
    "Verified",
    "Window",
    "apply",
    "area",
    "change",
    "convert",
    "embed",
    "embed_many",
    "evaluate",
    "from_to",
    "load_model",
    "map",
    "open_embeddings",
    "open_scene",
    "picture",
    "sample",
    "sample_design",
    "segment",
    "similar",
    "suggest",
    "verify",
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
