"""What the engine finds on this machine, and what is missing for which purpose."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from tessera_engine.backends.choosing import choose
from tessera_engine.backends.fused import ISA_VARIABLE
from tessera_engine.backends.gpu.found import look
from tessera_engine.backends.gpu.install import machine
from tessera_engine.backends.gpu.plans import plans_folder
from tessera_engine.backends.registry import backend_names, backend_record
from tessera_engine.machine import default_memory
from tessera_engine.model.installed import list_models, user_folder
from tessera_kernels.encoder.isa import available
from tessera_kernels.places import in_words

DRIVERS = {
    "GTiff": "GeoTIFF",
    "JP2OpenJPEG": "JPEG 2000 (Sentinel-2 SAFE)",
}
"""GDAL drivers -> what they read."""


def examine() -> dict[str, Any]:
    """Look at CPU, memory, backends, GDAL and models."""
    backend, _, why = choose("auto")
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_name(),
        "threads": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "instruction_sets": list(available()),
        "forced_instruction_set": os.environ.get(ISA_VARIABLE),
        "memory_by_default": f"{default_memory() / 1e9:.1f} GB",
        "backend": f"{backend}: {why}",
        "packages": _on_cpu(),
        "gpu": _gpu(),
        "gdal": _gdal(),
        "compiled_kernels": in_words(),
        "models": [path.name for path in list_models()],
        "model_folder": str(user_folder()),
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def _on_cpu() -> dict[str, str]:
    """The backends for CPUs: their versions, or how to install them."""
    records = [backend_record(name) for name in backend_names()]
    parts = {record.name: record.find("cpu") for record in records if "cpu" in record.runs}
    return {name: part.version or part.missing for name, part in parts.items()}


def _gpu() -> dict[str, str]:
    """The GPU's driver and the backends for GPUs: their versions, or how to install them."""
    found = look()
    parts = {"driver": found.gpu, **found.backends}
    return {name: part.version or part.missing for name, part in parts.items()} | {
        "machine": machine() or "no Jetson",
        "plans": str(plans_folder()),
    }


def _gdal() -> dict[str, str]:
    import rasterio
    from rasterio.env import Env

    with Env() as env:
        drivers = set(env.drivers())
    found = {what: "yes" if driver in drivers else "missing" for driver, what in DRIVERS.items()}
    return {"version": rasterio.__gdal_version__, **found}
