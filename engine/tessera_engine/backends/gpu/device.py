"""The device interface: everything that a backend needs from a GPU and its runtime.

It is small, so that tests can provide a device of their own, which computes on the CPU and has as little memory as a
test needs. All code above the interface is tested in this way without a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.gpu.batching import Shape
from tessera_engine.errors import InputError, TesseraError


class DeviceError(TesseraError):
    """The driver or the runtime reports an error; the message is theirs."""


class NoDevice(DeviceError, InputError):
    """A GPU was asked for on a machine that has none, or no driver."""

    exit_code = InputError.exit_code


class OutOfDeviceMemory(DeviceError):
    """The device has too little free memory; a smaller batch may fit."""


class PlanRefused(DeviceError):
    """The runtime rejects a plan: it is for another device or version, or damaged."""


def smaller_batches(
    name: str, memory: Memory, model: str, batches: str, enough: bool, error: DeviceError
) -> str:
    """The line about smaller batches, after memory ran out.

    Args:
        name: of the device.
        memory: what it has.
        model: its label.
        batches: how large they are from now on, in words.
        enough: whether a pixel fits into such a batch.
        error: what the driver or runtime says.

    Raises:
        TesseraError: no pixel fits.
    """
    free, total = memory.free / 1e6, memory.total / 1e6
    if not enough:
        raise TesseraError(
            f"{name} has {free:,.0f} of {total:,.0f} MB free, too little for one pixel of model {model}: {error}; "
            "end other programs that use it, or give device=cpu"
        ) from error
    return f"{name} is out of memory ({free:,.0f} MB free): continuing with batches of {batches}"


def lost(name: str, error: object) -> DeviceError:
    """What to raise where a device fails in the middle of its work.

    Args:
        name: of the device.
        error: what its driver or runtime says.
    """
    return DeviceError(
        f"{name} stopped working: {error}; what is finished is kept: once the device works again (nvidia-smi shows "
        "it; a restart may help), give the same command again"
    )


class DeviceFacts(NamedTuple):
    """What a plan depends on.

    Attributes:
        name: the GPU's name, from its driver.
        capability: compute capability, like `8.7`.
        driver: versions of the driver and of its CUDA.
        runtime: name and version of the library that builds and runs plans.
    """

    name: str
    capability: str
    driver: str
    runtime: str


class Memory(NamedTuple):
    """The device's memory in bytes. On a Jetson it is the machine's memory."""

    free: int
    total: int


class Built(NamedTuple):
    """The results of a build: the plan, and timings that make the next build faster."""

    plan: bytes
    timings: bytes


Tensors = Mapping[str, Sequence[int]]
"""Input name -> shape."""


class Runner(Protocol):
    """Runs a loaded plan on one stream. A second stream needs a second runner."""

    def fit(self, inputs: Tensors) -> int:
        """Set the shapes of the next run. The stream must have finished the previous one.

        Returns:
            Bytes of the device's memory that the run needs to work in.

        Raises:
            DeviceError: the plan is not for such shapes.
        """

    def enqueue(self, addresses: Mapping[str, int], work: int, work_bytes: int, stream: int) -> None:
        """Queue a run on a stream, after the work that is queued already.

        Args:
            addresses: name -> address on the device, for each input and output.
            work: address of the memory to work in.
            work_bytes: its size, at least what `fit` returned.
            stream: from `Device.make_stream`.

        Raises:
            OutOfDeviceMemory: too little memory.
            DeviceError: the runtime reports another error.
        """


class Plan(Protocol):
    """A plan on the device."""

    def make_runner(self) -> Runner:
        """Create a runner.

        Raises:
            OutOfDeviceMemory: too little memory.
        """


class PlainDevice(Protocol):
    """One GPU as its driver has it: memory, streams and copies."""

    def memory(self) -> Memory:
        """Free and total bytes at this moment, of what this process may take."""

    def limit(self, most: int) -> None:
        """Let `allocate` give at most so many bytes from now on, those that it gave already included."""

    def allocate(self, size: int) -> int:
        """Allocate bytes on the device and return their address.

        Raises:
            OutOfDeviceMemory: too few are free.
        """

    def free(self, address: int) -> None:
        """Release memory. Nothing may use it afterwards."""

    def pinned(self, size: int) -> NDArray[np.uint8]:
        """(size,) bytes of this machine's memory that the device can copy from and to while it computes.

        Raises:
            OutOfDeviceMemory: too few are free.
        """

    def unpin(self, array: NDArray[np.uint8]) -> None:
        """Release pinned memory."""

    def make_stream(self) -> int:
        """Create a queue of work. Work in one stream runs in order, work in different streams at the same time."""

    def copy_in(self, address: int, array: NDArray[Any], stream: int) -> None:
        """Queue a copy of pinned memory to the device. The array must not change until the stream is synchronised."""

    def copy_out(self, array: NDArray[Any], address: int, stream: int) -> None:
        """Queue a copy from the device to pinned memory."""

    def synchronise(self, stream: int) -> None:
        """Wait until a stream has finished all its work.

        Raises:
            DeviceError: part of the work failed.
        """


class Device(PlainDevice, Protocol):
    """A GPU with a runtime that builds plans and runs them."""

    facts: DeviceFacts

    def build(self, model: bytes, largest: Shape, timings: bytes) -> Built:
        """Build a plan for all shapes up to `largest`, optimised for `largest`. This takes minutes.

        Args:
            model: content of a checked ONNX file.
            largest: the largest shape of a batch.
            timings: timings of an earlier build on this device, or empty.

        Raises:
            OutOfDeviceMemory: it doesn't fit; a smaller `largest` may fit.
            DeviceError: the runtime can't run this model.
        """

    def load(self, plan: bytes) -> Plan:
        """Load a plan onto the device.

        Raises:
            PlanRefused: it is for another device or version, or damaged.
            OutOfDeviceMemory: it doesn't fit.
        """
