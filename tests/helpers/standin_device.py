"""A device without a GPU: plans are run by ONNX Runtime on the CPU, and everything else is as strict as CUDA is.

What a stream is given happens when it is synchronised and not before, so that memory which is filled again too early,
or read before it is there, gives wrong embeddings. Memory is counted, and there is as little of it as a test likes.
"""

from __future__ import annotations

import json
from itertools import count

import numpy as np
import onnxruntime

from tessera_engine.backends.gpu.batching import Shape
from tessera_engine.backends.gpu.device import (
    Built,
    DeviceError,
    DeviceFacts,
    Memory,
    OutOfDeviceMemory,
    PlanRefused,
)

FACTS = DeviceFacts("NVIDIA Stand-in 1", "8.7", "540.4.0 (CUDA 12.6)", "TensorRT 10.3.0")

WORK_BYTES_A_TOKEN = 1000

DTYPES = {"s2_doy": np.int32, "s1_doy": np.int32}


class StandInDevice:
    def __init__(self, total=1 << 40, facts=FACTS, build_bytes_a_token=0, resizes=True):
        self.resizes = resizes  # or takes as much memory for any batch as for the plan's largest
        self.facts, self.total, self.used = facts, total, 0
        self.build_bytes_a_token = build_bytes_a_token
        self.peak = 0
        self.blocks: dict[int, np.ndarray] = {}
        self.streams: dict[int, list] = {}
        self.builds: list[Shape] = []
        self.timings_given: list[bytes] = []
        self.shapes_run: list[tuple[int, int, int]] = []
        self.busy: list[int] = []  # how many streams have something to do, as each batch is enqueued
        self.refuses = None
        self._addresses = count(1 << 12, 1 << 40)
        self._pinned: list[np.ndarray] = []

    def memory(self):
        return Memory(self.total - self.used, self.total)

    def limit(self, most):
        self.total = most

    def build(self, model, largest, timings):
        if largest.tokens * self.build_bytes_a_token > self.total - self.used:
            raise OutOfDeviceMemory("the builder ran out of memory")
        self.builds.append(largest)
        self.timings_given.append(timings)
        header = json.dumps({"facts": self.facts, "largest": largest}).encode()
        return Built(header + b"\n" + model, b"timings of " + str(len(self.builds)).encode())

    def load(self, plan):
        if self.refuses:
            raise PlanRefused(self.refuses)
        header, _, model = plan.partition(b"\n")
        found = json.loads(header)
        assert tuple(found["facts"]) == self.facts, "the engine gave a foreign plan to the runtime"
        return StandInPlan(self, model, Shape(*found["largest"]))

    def allocate(self, size):
        if size > self.total - self.used:
            raise OutOfDeviceMemory(f"no {size} bytes")
        address = next(self._addresses)
        self.blocks[address] = np.full(size, 0xAB, np.uint8)
        self.used += size
        self.peak = max(self.peak, self.used)
        return address

    def free(self, address):
        self.used -= len(self.blocks.pop(address))

    def pinned(self, size):
        self._pinned.append(np.full(size, 0xCD, np.uint8))
        return self._pinned[-1]

    def unpin(self, array):
        self._pinned = [each for each in self._pinned if each is not array]

    def make_stream(self):
        stream = len(self.streams) + 1
        self.streams[stream] = []
        return stream

    def _check_pinned(self, array):
        assert any(np.shares_memory(array, each) for each in self._pinned), "not pinned"

    def copy_in(self, address, array, stream):
        self._check_pinned(array)

        def copy():
            block = self.blocks[address]
            block[: array.nbytes] = array.reshape(-1).view(np.uint8)

        self.streams[stream].append(copy)

    def copy_out(self, array, address, stream):
        self._check_pinned(array)

        def copy():
            array.reshape(-1).view(np.uint8)[...] = self.blocks[address][: array.nbytes]

        self.streams[stream].append(copy)

    def synchronise(self, stream):
        todo, self.streams[stream] = self.streams[stream], []
        for each in todo:
            each()


class StandInPlan:
    def __init__(self, device, model, largest):
        self.device, self.largest = device, largest
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def make_runner(self):
        return StandInRunner(self)


class StandInRunner:
    def __init__(self, plan):
        self.plan, self.device, self.stream, self.inputs = plan, plan.device, None, {}

    def _shape(self):
        return Shape(*self.inputs["s2"][:2], self.inputs["s1"][1])

    def fit(self, inputs):
        self.inputs = dict(inputs)
        shape, largest = self._shape(), self.plan.largest
        if any(mine > most for mine, most in zip(shape, largest, strict=True)):
            raise DeviceError(f"{shape} is beyond the profile {largest}")
        return (shape if self.device.resizes else largest).tokens * WORK_BYTES_A_TOKEN

    def enqueue(self, addresses, work, work_bytes, stream):
        device, inputs = self.device, self.inputs
        assert self.stream in (None, stream), "one runner on two streams"
        assert work_bytes >= self._shape().tokens * WORK_BYTES_A_TOKEN
        assert len(device.blocks[work]) >= work_bytes
        self.stream = stream
        device.shapes_run.append(self._shape())
        device.busy.append(sum(bool(todo) for todo in device.streams.values()))

        def run():
            given = {}
            for name, shape in inputs.items():
                dtype = np.dtype(DTYPES.get(name, np.float32))
                size = int(np.prod(shape)) * dtype.itemsize
                given[name] = device.blocks[addresses[name]][:size].view(dtype).reshape(shape)
            (result,) = self.plan.session.run(["embedding"], given)
            device.blocks[addresses["embedding"]][: result.nbytes] = result.reshape(-1).view(np.uint8)

        device.streams[stream].append(run)
