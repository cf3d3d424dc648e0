"""OpenVINO on the CPU: the same model files, for those who have it; the extra `openvino`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.base import Backend
from tessera_engine.backends.rectangles import batches, rectangle
from tessera_engine.errors import MissingExtra, ModelError
from tessera_engine.model.file import OUTPUT_NAME, ModelFile, read_content
from tessera_engine.tokens import PackedTokens, sequence

try:
    import openvino
except ModuleNotFoundError as error:
    raise MissingExtra("openvino", "openvino", "--backend openvino") from error

BATCH_TOKENS = 4096
"""As for ONNX Runtime."""


class OpenVinoBackend(Backend):
    """Rectangular batches of pixels of one length, filled up with multiplicity 0."""

    name = "openvino"

    def __init__(self, model: ModelFile, threads: int) -> None:
        super().__init__(model)
        # The CPU plugin would run float32 models in bfloat16 where the CPU has it: that is another model
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": "f32",
        }
        try:
            core = openvino.Core()
            compiled = core.compile_model(core.read_model(read_content(model)), "CPU", settings)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ModelError(f"OpenVINO can't load {model.path}: {reason}; use another --backend") from error
        self._request = compiled.create_infer_request()

    @property
    def version(self) -> str:
        """Of OpenVINO."""
        return str(openvino.__version__).split("-")[0]

    @property
    def computes_on(self) -> str:
        """The device."""
        return "CPU"

    def _run(self, tokens: PackedTokens) -> NDArray[np.float32]:
        tokens = sequence(tokens, self.model.facts.generation)
        embedding = np.empty((len(tokens), self.model.facts.dims), np.float32)
        for pixels in batches(tokens, BATCH_TOKENS):
            inputs = rectangle(tokens.s2, pixels, "s2") | rectangle(tokens.s1, pixels, "s1")
            embedding[pixels] = self._request.infer(inputs)[OUTPUT_NAME]
        return embedding
