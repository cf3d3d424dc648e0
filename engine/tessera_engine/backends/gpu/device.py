"""The device interface: all that a backend wants of a GPU and its runtime.

It is small, so that tests put a device of their own behind it (which computes on the CPU, and has as little memory as
they like) and everything above it is tested for real without a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.gpu.batching import Shape
from tessera_engine.errors import TesseraError


class DeviceError(TesseraError):
    """The driver or the runtime says no; the message is theirs."""


class OutOfDeviceMemory(DeviceError):
    """The device has no memory left for this; less may fit."""


class PlanRefused(DeviceError):
    """The runtime doesn't take a plan: of another device, another version, or damaged."""


class DeviceFacts(NamedTuple):
    """What a plan is bound to.

    Attributes:
        name: the GPU's, as its driver has it.
        capability: compute capability, like `8.7`.
        driver: version of the driver, and of the CUDA that it has.
        runtime: name and version of what builds and runs plans.
    """

    name: str
    capability: str
    driver: str
    runtime: str


class Memory(NamedTuple):
    """Bytes of the device; on a Jetson they are the machine's own."""

    free: int
    total: int


class Built(NamedTuple):
    """What building gives: the plan, and the timings that make the next one quicker."""

    plan: bytes
    timings: bytes


Tensors = Mapping[str, Sequence[int]]
"""Input names -> their shapes."""


class Runner(Protocol):
    """A loaded plan that one stream runs; a second stream needs a second one."""

    def fit(self, inputs: Tensors) -> int:
        """Say what the next run's shapes are; not before the stream has done the last one.

        Returns:
            Bytes of the device that the run works in.

        Raises:
            DeviceError: the plan isn't for such shapes.
        """

    def enqueue(self, addresses: Mapping[str, int], work: int, work_bytes: int, stream: int) -> None:
        """Let a stream run it, behind what it has to do already.

        Args:
            addresses: where on the device each input and output lies.
            work: address of memory to work in.
            work_bytes: its size, at least what `fit` returned.
            stream: from `Device.make_stream`.

        Raises:
            OutOfDeviceMemory: no memory for it.
            DeviceError: the runtime refuses.
        """


class Plan(Protocol):
    """A plan on the device."""

    def make_runner(self) -> Runner:
        """Something that runs it.

        Raises:
            OutOfDeviceMemory: no memory for it.
        """


class Device(Protocol):
    """One GPU and the runtime on it."""

    facts: DeviceFacts

    def memory(self) -> Memory:
        """Free and total bytes, now."""

    def build(self, model: bytes, largest: Shape, timings: bytes) -> Built:
        """Make a plan for all shapes up to `largest`, best at it; takes minutes.

        Args:
            model: an ONNX file's content, checked.
            largest: no input is larger.
            timings: of an earlier build on this device, or nothing.

        Raises:
            OutOfDeviceMemory: it doesn't fit; a smaller `largest` may.
            DeviceError: the runtime can't run this model.
        """

    def load(self, plan: bytes) -> Plan:
        """Put a plan on the device.

        Raises:
            PlanRefused: it was made for something else, or is damaged.
            OutOfDeviceMemory: it doesn't fit.
        """

    def allocate(self, size: int) -> int:
        """The address of so many bytes on the device.

        Raises:
            OutOfDeviceMemory: there aren't as many.
        """

    def free(self, address: int) -> None:
        """Give memory back; nothing may use it any more."""

    def pinned(self, size: int) -> NDArray[np.uint8]:
        """(size,) bytes of this machine's memory that the device can copy from and to while others compute.

        Raises:
            OutOfDeviceMemory: there aren't as many.
        """

    def unpin(self, array: NDArray[np.uint8]) -> None:
        """Give pinned memory back."""

    def make_stream(self) -> int:
        """A queue of work: what is given to one is done in order, and beside what is given to another."""

    def copy_in(self, address: int, array: NDArray[Any], stream: int) -> None:
        """Let a stream copy pinned memory to the device; the array stays as it is until the stream is synchronised."""

    def copy_out(self, array: NDArray[Any], address: int, stream: int) -> None:
        """Let a stream copy from the device to pinned memory."""

    def synchronise(self, stream: int) -> None:
        """Wait until a stream has done all that it was given.

        Raises:
            DeviceError: something of it failed.
        """
