"""The one way to ONNX Runtime: imported only where it computes, and without its telemetry.

Since 1.31 it keeps a device id and a database of events in the user's cache folder and looks up the host that collects
them, as soon as it is imported, unless this variable of the environment is set before.
"""

from __future__ import annotations

import os
from importlib import metadata, util
from typing import Any

_SILENT = "ORT_DISABLE_TELEMETRY"

_PACKAGES = ("onnxruntime-gpu", "onnxruntime")
"""What may bring the module `onnxruntime`. Where both are installed, the GPU build is the one that was meant."""


def onnx_runtime() -> Any:
    """The module `onnxruntime`.

    Raises:
        ModuleNotFoundError: it isn't installed.
    """
    os.environ[_SILENT] = "1"
    import onnxruntime

    return onnxruntime


def installed_version() -> str | None:
    """The version of ONNX Runtime, without starting it; None if it isn't installed."""
    if util.find_spec("onnxruntime") is None:
        return None
    for package in _PACKAGES:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return "of unknown version"  # another package's build
