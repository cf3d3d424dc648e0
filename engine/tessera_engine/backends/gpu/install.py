"""How to install what a GPU needs, as lines to type. They differ between workstations and Jetsons."""

from __future__ import annotations

import re
from pathlib import Path

from tessera_engine.errors import install_hint

RELEASE = Path("/etc/nv_tegra_release")
"""On a Jetson this file names the release of its system: `# R36 (release), REVISION: 4.3, ...`."""

JETPACKS = {36: "JetPack 6", 38: "JetPack 7"}
"""First number of the release -> JetPack."""

LINES = {
    "driver": {
        "": "install NVIDIA's driver with the system's package manager, then restart",
        "JetPack": "flash the Jetson with JetPack 6.1 or later; its driver is part of the system",
    },
    "tensorrt": {
        "": f"{install_hint('tensorrt')} (for drivers of CUDA 12 and of CUDA 13)",
        "JetPack": "sudo apt install python3-libnvinfer, in a virtual environment with --system-site-packages",
    },
    "onnxruntime": {
        "": "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'onnxruntime-gpu[cuda,cudnn]==1.31.1' "
        "(drivers of CUDA 13; of CUDA 12: ==1.26.0)",
        "JetPack": "pip uninstall -y onnxruntime, then onnxruntime-gpu from NVIDIA's Jetson index, not from PyPI",
    },
    "torch": {
        "": "pip uninstall -y torch && pip install torch (builds for Linux have CUDA, except those named +cpu)",
        "JetPack": "torch from NVIDIA's Jetson index, not from PyPI",
    },
}
"""What is missing -> kind of machine -> the line."""


def machine(release: Path = RELEASE) -> str:
    """`JetPack 6`, `JetPack 7` or `JetPack` on a Jetson; empty on any other machine."""
    try:
        found = re.match(r"#\s*R(\d+)", release.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ""
    return JETPACKS.get(int(found[1]), "JetPack") if found else "JetPack"


def how_to_install(what: str, release: Path = RELEASE) -> str:
    """The line that installs a driver, `tensorrt`, `onnxruntime` or `torch` for this machine's GPU."""
    return LINES[what]["JetPack" if machine(release) else ""]
