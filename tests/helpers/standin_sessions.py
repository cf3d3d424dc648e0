"""ONNX Runtime's sessions on a GPU without one, over `StandInDevice`: work is queued on the stream that was given.

What is bound is checked against the graph when it runs, and read from the device's memory when the stream is waited
for, so that memory which is released or filled again too early gives an error or wrong embeddings.
"""

from __future__ import annotations

import weakref

import numpy as np
import onnxruntime

TYPES = {"tensor(float)": np.float32, "tensor(int32)": np.int32}


class StandInBinding:
    def __init__(self, session):
        self.session, self.inputs, self.outputs = session, {}, {}

    def bind_input(self, name, device_type, device_id, element_type, shape, buffer_ptr):
        assert (device_type, device_id) == ("cuda", 0)
        (wanted,) = (each for each in self.session.real.get_inputs() if each.name == name)
        assert TYPES[wanted.type] is element_type, name
        assert len(wanted.shape) == len(shape), name
        self.inputs[name] = np.dtype(element_type), tuple(shape), buffer_ptr

    def bind_output(self, name, device_type, device_id, element_type, shape, buffer_ptr):
        assert (device_type, device_id, name) == ("cuda", 0, "embedding")
        self.outputs[name] = np.dtype(element_type), tuple(shape), buffer_ptr


class StandInSession:
    """`most_pixels`: of a batch; larger ones are out of memory."""

    def __init__(self, device, real, providers):
        self.device, self.real, self.asked = device, real, providers
        self.most_pixels, self.fails_with = None, None

    def get_providers(self):
        return [self.asked[0][0], "CPUExecutionProvider"]

    def io_binding(self):
        return StandInBinding(self)

    def run(self, *given):
        raise AssertionError("copies from memory that may move, and waits")

    def run_with_iobinding(self, binding, options):
        assert options.get_run_config_entry("disable_synchronize_execution_providers") == "1"
        assert binding.session is self
        assert binding.inputs.keys() == {each.name for each in self.real.get_inputs()}
        if self.fails_with:
            raise self.fails_with
        pixels = binding.inputs["s2"][1][0]
        if self.most_pixels is not None and pixels > self.most_pixels:
            raise RuntimeError("[E] bfc_arena: Failed to allocate memory for requested buffer of size 5")
        device, alive = self.device, weakref.ref(binding)
        stream = int(self.asked[0][1]["user_compute_stream"])
        device.shapes_run.append((pixels, binding.inputs["s2"][1][1], binding.inputs["s1"][1][1]))

        def memory(dtype, shape, address):
            size = int(np.prod(shape)) * dtype.itemsize
            return device.blocks[address][:size].view(dtype).reshape(shape)

        def work():
            bound = alive()
            assert bound is not None, "what was bound is released before its work is done"
            (found,) = self.real.run(None, {name: memory(*given) for name, given in bound.inputs.items()})
            goal = memory(*bound.outputs["embedding"])
            assert (goal.shape, goal.dtype) == (found.shape, found.dtype)
            goal[...] = found

        device.streams[stream].append(work)


def open_standins(monkeypatch, device):
    """Let every session on a GPU be a stand-in; gives those that were opened."""
    real, opened = onnxruntime.InferenceSession, []

    def session(content, options, providers):
        if providers == ["CPUExecutionProvider"]:
            return real(content, options, providers=providers)
        opened.append(
            StandInSession(device, real(content, options, providers=["CPUExecutionProvider"]), providers)
        )
        return opened[-1]

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    return opened
