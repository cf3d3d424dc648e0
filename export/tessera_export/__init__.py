"""The trainable PyTorch reference, and the export of checkpoints to model files. It needs the extra `export`.

    from tessera_export import export_model, import_checkpoint

    import_checkpoint("student_nano.pt")                        # then te.load_model("nano") finds it
    export_model("student_nano.pt", "nano.fp16.onnx", "fp16")   # one file, for GPUs

Training has commands only: `tessera-engine train` and `distil`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tessera_export.export import Description, export_model, import_checkpoint
    from tessera_export.validate import Report

_MODULES = {
    "Description": "export",
    "Report": "validate",
    "export_model": "export",
    "import_checkpoint": "export",
}
"""Where each public name lies. It is imported when it is used first: the commands of this package must start fast."""

__all__ = ["Description", "Report", "export_model", "import_checkpoint"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tessera_export.torch_needed import torch_needed

    with torch_needed(name):
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
