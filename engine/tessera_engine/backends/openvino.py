"""OpenVINO on the CPU, if the extra `openvino` is installed. It runs the same model files."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from functools import partial
from importlib import metadata
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.base import Backend, BackendRecord, Part
from tessera_engine.backends.rectangles import batches, rectangle
from tessera_engine.errors import MissingExtra, ModelError
from tessera_engine.model.facts import PRECISIONS
from tessera_engine.model.file import OUTPUT_NAME, ModelFile, read_content
from tessera_engine.offline.open_vino import open_vino
from tessera_engine.progress import Announce
from tessera_engine.tokens import PackedTokens, sequence
from tessera_kernels.cpu import has_bfloat16

BATCH_TOKENS = 4096
"""Tokens of one batch, padding included, as for ONNX Runtime."""

BYTES = 200_000_000
"""Memory of the library, of its compiled model and of a batch, besides what the fused kernels take."""


class OpenVinoBackend(Backend):
    """Runs rectangular batches of pixels of one length, padded with tokens of multiplicity 0.

    Raises:
        MissingExtra: OpenVINO is not installed.
        ModelError: OpenVINO can't load the file.
    """

    name = "openvino"

    def __init__(self, model: ModelFile, threads: int, hint: str = "f32") -> None:
        """Load a model file.

        Args:
            model: the file.
            threads: CPU threads.
            hint: what floats are computed in: `f32` or `bf16`. On CPUs with bfloat16 the plugin's default would be
                that, which is another model.
        """
        super().__init__(model)
        openvino = _openvino()
        self._hint = hint
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": hint,
        }
        try:
            core = openvino.Core()
            compiled = core.compile_model(core.read_model(read_content(model)), "CPU", settings)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ModelError(f"OpenVINO can't load {model.path}: {reason}; give another backend=") from error
        self._version = str(openvino.__version__).split("-")[0]
        self._request = compiled.create_infer_request()

    @property
    def version(self) -> str:
        """Version of OpenVINO."""
        return self._version

    @property
    def computes_on(self) -> str:
        """OpenVINO's name of the device, and the hint if it isn't float32."""
        return "CPU" if self._hint == "f32" else f"CPU, {self._hint}"

    def _run(self, tokens: PackedTokens) -> NDArray[np.float32]:
        tokens = sequence(tokens, self.model.facts.generation)
        embedding = np.empty((len(tokens), self.model.facts.dims), np.float32)
        for pixels in batches(tokens, BATCH_TOKENS):
            inputs = rectangle(tokens.s2, pixels, "s2") | rectangle(tokens.s1, pixels, "s1")
            embedding[pixels] = self._request.infer(inputs)[OUTPUT_NAME]
        return embedding


def _missing() -> MissingExtra:
    return MissingExtra("openvino", "openvino", "backend=openvino")


def _openvino() -> ModuleType:
    try:
        module: ModuleType = open_vino()
    except ModuleNotFoundError as error:
        raise _missing() from error
    return module


def _find(device: str) -> Part:
    if importlib.util.find_spec("openvino") is None:
        return Part(None, str(_missing()))
    return Part(metadata.version("openvino"))


def _load(model: ModelFile, threads: int, device: str, announce: Announce) -> Backend:
    return OpenVinoBackend(model, threads)


def _forms(files: Mapping[str, ModelFile], threads: int) -> dict[str, Callable[[], Backend]]:
    hints = ["f32", *(["bf16"] if has_bfloat16() else [])]
    ways = [("fp32", hint) for hint in hints[1:]] + [("qdq", hint) for hint in hints]
    return {
        f"{precision} {hint}": partial(OpenVinoBackend, files[precision], threads, hint)
        for precision, hint in ways
        if precision in files
    }


BACKEND = BackendRecord("openvino", {"cpu": PRECISIONS}, _find, _load, bytes=BYTES, forms=_forms)
