"""ONNX Runtime on a GPU: a session that takes its inputs from the device's memory, and whose work is in our stream.

Not yet measured on a GPU. A session that is called with arrays copies each of them from memory that the system may
move, computes, and waits, while nothing is packed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tessera_engine.backends.gpu.device import OutOfDeviceMemory, PlainDevice, Runner, Tensors
from tessera_engine.backends.gpu.providers import (
    Provider,
    in_stream,
    is_out_of_memory,
    most_pixels,
    open_session,
    unable,
    with_limit,
)
from tessera_engine.backends.gpu.rectangular import SLOTS, RectangularBackend, most_tokens
from tessera_engine.errors import TesseraError, reason
from tessera_engine.model.file import OUTPUT_NAME, ModelFile, read_content
from tessera_engine.offline.onnx_runtime import onnx_runtime
from tessera_engine.progress import Announce

DEVICE = "cuda", 0
"""What ONNX Runtime calls the first GPU."""

ASYNCHRONOUS = "disable_synchronize_execution_providers"
"""Entry of a run's configuration: return once all is queued."""


class SessionBackend(RectangularBackend):
    """Runs all batches on one session.

    Batches overlap, windows do not: memory is planned by the name of a backend, and on the CPU nothing overlaps.
    """

    name = "onnxruntime"
    overlaps = False

    def __init__(
        self, model: ModelFile, options: Any, provider: Provider, device: PlainDevice, announce: Announce
    ) -> None:
        """Open a session.

        Args:
            model: the file, of any precision but int8, which is made for CPUs.
            options: ONNX Runtime's, for the session.
            provider: see `choose_provider`.
            device: the GPU.
            announce: called with a line when memory runs out.

        Raises:
            InputError: ONNX Runtime can't load the provider.
            ModelError: ONNX Runtime can't load the file.
        """
        stream = device.make_stream()
        super().__init__(model, device, announce, [stream] * SLOTS)
        self._options, self._provider = options, in_stream(provider, stream)
        self._runners = _open(model, options, self._provider)

    def limit_device_memory(self, size: int) -> None:
        """See `Backend.limit_device_memory`. The batches' inputs, a few MB, come on top."""
        self._progress.finish_all()
        self._provider = with_limit(self._provider, size)
        self._runners = _open(self.model, self._options, self._provider)
        self._limit = min(self._limit, most_tokens(size, self.model.facts))

    @property
    def version(self) -> str:
        """Version of ONNX Runtime."""
        return str(onnx_runtime().__version__)

    @property
    def computes_on(self) -> str:
        """The execution provider."""
        return self._provider.name

    def _most_pixels(self, s2: int, s1: int) -> int:
        return most_pixels(self._provider.name, self._limit, s2, s1)

    def _runner(self, s2: int, s1: int, slot: int) -> Runner:
        return self._runners[slot]


def _open(model: ModelFile, options: Any, provider: Provider) -> list[Runner]:
    """A session, as a runner for each slot."""
    try:
        session = open_session(read_content(model), options, provider)
    except TesseraError:
        raise
    except Exception as error:  # ONNX Runtime's have no other common base
        raise unable("load", model, error) from error
    return [_Runner(session, model) for _ in range(SLOTS)]


class _Runner:
    """A session that runs the batches of one slot. It has memory of its own to work in."""

    def __init__(self, session: Any, model: ModelFile) -> None:
        self._session, self._model = session, model
        self._options = onnx_runtime().RunOptions()
        self._options.add_run_config_entry(ASYNCHRONOUS, "1")
        self._shapes: dict[str, list[int]] = {}
        self._binding: Any = None

    def fit(self, inputs: Tensors) -> int:
        self._shapes = {name: list(shape) for name, shape in inputs.items()}
        self._shapes[OUTPUT_NAME] = [self._shapes["s2"][0], self._model.facts.dims]
        return 0

    def enqueue(self, addresses: Mapping[str, int], work: int, work_bytes: int, stream: int) -> None:
        binding = self._session.io_binding()
        for name, address in addresses.items():
            bind = binding.bind_output if name == OUTPUT_NAME else binding.bind_input
            dtype = np.int32 if name.endswith("_doy") else np.float32
            bind(name, *DEVICE, dtype, self._shapes[name], address)
        try:
            self._session.run_with_iobinding(binding, self._options)
        except Exception as error:  # ONNX Runtime's have no other common base
            if is_out_of_memory(error):
                raise OutOfDeviceMemory(reason(error)) from error
            # The graph's operators are allowed, but their shapes don't fit
            raise unable("run", self._model, error) from error
        # The one before is released only now: its batch has been waited for, else this one would not be in the slot
        self._binding = binding
