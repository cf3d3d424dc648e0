"""Which GPU is in this machine, which backends are installed for it, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tessera_engine.backends.base import Part
from tessera_engine.backends.gpu.cuda import Gpu
from tessera_engine.backends.gpu.device import DeviceError
from tessera_engine.backends.registry import backend_names, backend_record
from tessera_engine.model.facts import ModelFacts


class Found(NamedTuple):
    """What is installed for a GPU.

    Attributes:
        gpu: the GPU with its driver.
        backends: name -> what is installed, for each backend that can run on a GPU; empty if there is no GPU.
    """

    gpu: Part
    backends: Mapping[str, Part]

    def why_not(self, precision: str, facts: ModelFacts | None) -> str:
        """Why no model of this precision can be run on a GPU here, in one line.

        Args:
            precision: of the model file.
            facts: of the model, if it is known.
        """
        if self.gpu.version is None:
            return self.gpu.missing
        reasons = []
        for name, part in self.backends.items():
            record = backend_record(name)
            if precision not in record.runs["cuda"]:
                reason = (
                    f"runs {', '.join(record.runs['cuda'])} files, not {precision}; give another precision="
                )
            elif facts is not None and record.why_not is not None and record.why_not(facts):
                reason = str(record.why_not(facts))
            else:
                reason = part.missing
            reasons.append(f"{name}: {reason}")
        return f"{self.gpu.version} was found, but nothing that runs this model on it: {'; '.join(reasons)}"


def look() -> Found:
    """Look for a GPU and for the backends that can use it. The GPU itself is not touched."""
    try:
        gpu = Gpu()
    except DeviceError as error:
        return Found(Part(None, str(error)), {})
    records = [backend_record(name) for name in backend_names()]
    return Found(
        Part(f"{gpu.name}, compute capability {gpu.capability}, driver {gpu.driver}"),
        {record.name: record.find("cuda") for record in records if "cuda" in record.runs},
    )
