"""TensorRT's Python binding behind the device interface, for TensorRT 10.3 and later, 11 included.

It uses only names that versions 10 and 11 both have. Networks are strongly typed: the model file says which tensors
are float16 or int8, and TensorRT changes none of that. Version 11 has no other networks; version 10 needs a flag for
it, which 11 still accepts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tessera_engine.backends.gpu.batching import Shape, input_shapes
from tessera_engine.backends.gpu.cuda import Cuda
from tessera_engine.backends.gpu.device import (
    Built,
    DeviceError,
    DeviceFacts,
    OutOfDeviceMemory,
    PlanRefused,
    Tensors,
)
from tessera_engine.backends.gpu.install import how_to_install, machine
from tessera_engine.errors import InputError, MissingExtra

try:
    import tensorrt as trt
except ModuleNotFoundError as error:
    if machine():
        raise InputError(f"TensorRT's Python package is missing: {how_to_install('tensorrt')}") from error
    raise MissingExtra("tensorrt", "tensorrt", "backend=tensorrt") from error
except (ImportError, OSError) as error:
    raise InputError(
        f"TensorRT is installed, but its libraries can't be loaded: {error}; see 'tessera-engine doctor'"
    ) from error

VERSION = str(trt.__version__)

OLDEST = (10, 3)

RESIZE = "RUNTIME_ACTIVATION_RESIZE_10_10"
"""A feature of 10.10 and later: a batch takes the memory that it needs itself, not that of the plan's largest batch."""

WORKSPACE_SHARE = 0.5
"""Share of the free memory that a build may use to try kernels."""


class _Log(trt.ILogger):  # type: ignore[misc]
    """Keeps the errors that TensorRT logs. A call that fails returns nothing, and only the log has the reason."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self._errors: list[str] = []

    def log(self, severity: Any, msg: str) -> None:
        """Called by TensorRT."""
        if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
            self._errors.append(" ".join(msg.split()))

    def error(self, what: str, kind: type[DeviceError] = DeviceError) -> DeviceError:
        """The logged errors as an exception: OutOfDeviceMemory if that is the reason, else of the given kind."""
        errors, self._errors = self._errors, []
        text = " ".join(errors).lower().replace(" ", "")
        if "outofmemory" in text or "cudaerrormemoryallocation" in text:
            kind = OutOfDeviceMemory
        return kind(f"TensorRT {VERSION} {what}: {errors[0] if errors else 'no reason was logged'}")


class TensorRtDevice(Cuda):
    """The first GPU with TensorRT; see `tessera_engine.backends.gpu.device.Device`."""

    def __init__(self) -> None:
        """Take the GPU.

        Raises:
            DeviceError: there is none.
            InputError: TensorRT is too old.
        """
        super().__init__()
        if tuple(int(part) for part in VERSION.split(".")[:2]) < OLDEST:
            raise InputError(
                f"TensorRT {VERSION} is too old, expected {'.'.join(map(str, OLDEST))} or later; on a Jetson, "
                "install JetPack 6.1 or later"
            )
        self.facts = DeviceFacts(self.name, self.capability, self.driver, f"TensorRT {VERSION}")
        self._log = _Log()
        self._runtime: Any = None

    def _make(self, kind: Any, failure: str) -> Any:
        try:
            return kind(self._log)
        except TypeError:  # the bindings raise this if the object can't be made
            raise self._log.error(failure) from None

    def build(self, model: bytes, largest: Shape, timings: bytes) -> Built:
        """See `tessera_engine.backends.gpu.device.Device.build`."""
        self.enter()
        builder = self._make(trt.Builder, "can't begin to build")
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, self._log)
        if not parser.parse(model):
            reasons = [parser.get_error(i).desc() for i in range(parser.num_errors)]
            raise DeviceError(
                f"TensorRT {VERSION} can't read the model: {' '.join((reasons or ['no reason'])[0].split())}; "
                "export it again, or give backend=onnxruntime"
            )
        config = builder.create_builder_config()
        free = self.memory().free
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, int(WORKSPACE_SHARE * free))
        if hasattr(trt.PreviewFeature, RESIZE):
            config.set_preview_feature(getattr(trt.PreviewFeature, RESIZE), True)
        cache = config.create_timing_cache(timings)
        if not config.set_timing_cache(cache, False):
            config.set_timing_cache(config.create_timing_cache(b""), False)
        profile = builder.create_optimization_profile()
        for name, shape in input_shapes(largest).items():
            profile.set_shape(name, (1, 1, *shape[2:]), shape, shape)
        config.add_optimization_profile(profile)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise self._log.error("can't build the model")
        return Built(bytes(plan), bytes(config.get_timing_cache().serialize()))

    def load(self, plan: bytes) -> _Plan:
        """See `tessera_engine.backends.gpu.device.Device.load`."""
        self.enter()
        if self._runtime is None:
            self._runtime = self._make(trt.Runtime, "can't run plans")
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise self._log.error("refuses the plan", PlanRefused)
        return _Plan(self, engine, self._log)


class _Plan:
    def __init__(self, device: TensorRtDevice, engine: Any, log: _Log) -> None:
        self._device, self._engine, self._log = device, engine, log

    def make_runner(self) -> _Runner:
        self._device.enter()
        # Slots give it memory: as much as a batch needs, and not as much as the largest batch
        context = self._engine.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        if context is None:
            raise self._log.error("can't make a context")
        return _Runner(self._device, context, self._log)


class _Runner:
    def __init__(self, device: TensorRtDevice, context: Any, log: _Log) -> None:
        self._device, self._context, self._log = device, context, log

    def fit(self, inputs: Tensors) -> int:
        self._device.enter()
        for name, shape in inputs.items():
            if not self._context.set_input_shape(name, tuple(shape)):
                raise self._log.error(f"can't use {name} of shape {tuple(shape)}")
        return int(self._context.update_device_memory_size_for_shapes())

    def enqueue(self, addresses: Mapping[str, int], work: int, work_bytes: int, stream: int) -> None:
        self._device.enter()
        self._context.set_device_memory(work, work_bytes)
        for name, address in addresses.items():
            if not self._context.set_tensor_address(name, address):
                raise self._log.error(f"can't use the address of {name}")
        if not self._context.execute_async_v3(stream):
            raise self._log.error("can't run the plan")
