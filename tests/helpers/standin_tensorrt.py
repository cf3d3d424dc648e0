"""A `tensorrt` module without a GPU: the classes that we use, over ONNX Runtime and a driver whose memory is ours.

Whether the real module has these names with these arguments is what test_names.py says; this one is there so that
the code that calls them runs at all.
"""

from __future__ import annotations

import ctypes
import enum

import numpy as np
import onnxruntime

__version__ = "10.3.0"

HEAD = b"stand-in plan "


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class NetworkDefinitionCreationFlag(enum.IntEnum):
    EXPLICIT_BATCH = 0
    STRONGLY_TYPED = 1


class ExecutionContextAllocationStrategy(enum.IntEnum):
    STATIC = 0
    ON_PROFILE_CHANGE = 1
    USER_MANAGED = 2


class MemoryPoolType(enum.IntEnum):
    WORKSPACE = 0


class PreviewFeature(enum.IntEnum):
    RUNTIME_ACTIVATION_RESIZE_10_10 = 0


class ITimingCache:
    def __init__(self, content):
        self.content = content

    def serialize(self):
        return memoryview(b"timings")


class IOptimizationProfile:
    def __init__(self):
        self.shapes = {}

    def set_shape(self, input, min, opt, max):
        assert all(a <= b <= c for a, b, c in zip(min, opt, max, strict=True))
        self.shapes[input] = max


class INetworkDefinition:
    model = b""


class ParserError:
    def desc(self):
        return "no importer\nregistered for this operator"


class OnnxParser:
    num_errors = 1

    def __init__(self, network, logger):
        self.network = network

    def parse(self, model):
        self.network.model = model
        return not model.startswith(b"broken")

    def get_error(self, index):
        return ParserError()


class IBuilderConfig:
    def __init__(self):
        self.profiles, self.cache, self.pools = [], None, {}

    def set_memory_pool_limit(self, pool, pool_size):
        self.pools[pool] = pool_size

    def set_preview_feature(self, feature, enable):
        assert enable

    def create_timing_cache(self, serialized_timing_cache):
        return ITimingCache(serialized_timing_cache)

    def set_timing_cache(self, cache, ignore_mismatch):
        if cache.content not in (b"", b"timings"):
            return False
        self.cache = cache
        return True

    def get_timing_cache(self):
        return self.cache

    def add_optimization_profile(self, profile):
        self.profiles.append(profile)
        return 0


class Builder:
    fails_with = ""

    def __init__(self, logger):
        self.logger = logger

    def create_network(self, flags):
        assert flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED
        return INetworkDefinition()

    def create_builder_config(self):
        return IBuilderConfig()

    def create_optimization_profile(self):
        return IOptimizationProfile()

    def build_serialized_network(self, network, config):
        assert config.cache is not None
        assert config.pools[MemoryPoolType.WORKSPACE] > 0
        if Builder.fails_with:
            self.logger.log(ILogger.WARNING, "this is not the reason")
            self.logger.log(ILogger.ERROR, Builder.fails_with)
            return None
        (profile,) = config.profiles
        return memoryview(HEAD + repr(profile.shapes).encode() + b"\n" + network.model)


class Runtime:
    def __init__(self, logger):
        self.logger = logger

    def deserialize_cuda_engine(self, serialized_engine):
        if not serialized_engine.startswith(HEAD):
            self.logger.log(ILogger.ERROR, "Serialization assertion failed: magic tag does not match")
            return None
        head, _, model = serialized_engine.partition(b"\n")
        return ICudaEngine(eval(head[len(HEAD) :]), model)


class ICudaEngine:
    def __init__(self, largest, model):
        self.largest = largest
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = (
            1  # more of them spin, and take turns with themselves on a busy machine
        )
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def create_execution_context(self, strategy):
        assert strategy == ExecutionContextAllocationStrategy.USER_MANAGED
        return IExecutionContext(self)


class IExecutionContext:
    def __init__(self, engine):
        self.engine, self.shapes, self.addresses, self.given = engine, {}, {}, 0

    def set_input_shape(self, name, shape):
        if any(mine > most for mine, most in zip(shape, self.engine.largest[name], strict=True)):
            return False
        self.shapes[name] = shape
        return True

    def update_device_memory_size_for_shapes(self):
        return 1000 * int(np.prod(self.shapes["s2_doy"]))

    def set_device_memory(self, memory, size):
        assert memory % 16 == 0
        self.given = size

    def set_tensor_address(self, name, memory):
        self.addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle):
        assert stream_handle
        assert self.given >= self.update_device_memory_size_for_shapes()

        def at(name, shape, dtype):
            size = int(np.prod(shape)) * 4
            buffer = (ctypes.c_uint8 * size).from_address(self.addresses[name])
            return np.frombuffer(buffer, dtype).reshape(shape)

        given = {
            name: at(name, shape, np.int32 if name.endswith("doy") else np.float32)
            for name, shape in self.shapes.items()
        }
        (result,) = self.engine.session.run(["embedding"], given)
        at("embedding", result.shape, np.float32)[...] = result
        return True
