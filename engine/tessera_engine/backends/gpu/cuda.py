"""The CUDA driver, called with ctypes: memory, streams and copies of the first GPU that it lists.

The driver's own library exists wherever a GPU works, on workstations and on Jetsons, and its interface has not changed
for many years. So nothing else has to be installed, and no version of a toolkit has to match.
"""

from __future__ import annotations

import ctypes
import re
import sys
import threading
from collections.abc import Sequence
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tessera_engine.backends.gpu.device import DeviceError, Memory, NoDevice, OutOfDeviceMemory
from tessera_engine.backends.gpu.install import how_to_install
from tessera_engine.machine import free_of_machine

LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"

FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuDriverGetVersion": (POINTER(c_int),),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetCount": (POINTER(c_int),),
    "cuDeviceGetName": (c_char_p, c_int, c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuDevicePrimaryCtxRetain": (POINTER(c_void_p), c_int),
    "cuCtxSetCurrent": (c_void_p,),
    "cuMemGetInfo_v2": (POINTER(c_size_t), POINTER(c_size_t)),
    "cuMemAlloc_v2": (POINTER(c_uint64), c_size_t),
    "cuMemFree_v2": (c_uint64,),
    "cuMemHostAlloc": (POINTER(c_void_p), c_size_t, c_uint),
    "cuMemFreeHost": (c_void_p,),
    "cuMemcpyHtoDAsync_v2": (c_uint64, c_void_p, c_size_t, c_void_p),
    "cuMemcpyDtoHAsync_v2": (c_void_p, c_uint64, c_size_t, c_void_p),
    "cuStreamCreate": (POINTER(c_void_p), c_uint),
    "cuStreamSynchronize": (c_void_p,),
    "cuModuleLoadData": (POINTER(c_void_p), c_void_p),
    "cuModuleGetFunction": (POINTER(c_void_p), c_void_p, c_char_p),
    "cuFuncSetAttribute": (c_void_p, c_int, c_int),
    "cuLaunchKernel": (c_void_p, *[c_uint] * 7, c_void_p, POINTER(c_void_p), POINTER(c_void_p)),
    "cuGetErrorName": (c_int, POINTER(c_char_p)),
}
"""Every function that is called, with the types of its arguments. Each returns a CUresult."""

OUT_OF_MEMORY, NO_DEVICE = 2, 100
NON_BLOCKING = 1
CAPABILITY_MAJOR, CAPABILITY_MINOR, INTEGRATED = 75, 76, 18
"""CUDA_ERROR_OUT_OF_MEMORY, CUDA_ERROR_NO_DEVICE, CU_STREAM_NON_BLOCKING and attributes of a device: their numbers in
cuda.h."""

NOTHING_LISTED = "the NVIDIA driver lists no GPU: unset CUDA_VISIBLE_DEVICES if it is set, and run nvidia-smi"

NAME_BYTES = 256

MOST_DYNAMIC_SHARED = 8
"""CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES."""

WARP = 32
"""Threads of a warp."""


Argument = c_uint64 | c_int
"""Of a kernel: an address or a number."""


class LaunchSize(NamedTuple):
    """How large a launch is.

    Attributes:
        programs: of the grid, at least one.
        warps: of a program.
        shared: bytes of shared memory of a program.
    """

    programs: int
    warps: int
    shared: int


class Gpu:
    """The first GPU as the driver describes it. None of its memory is used.

    Attributes:
        name: the GPU's name.
        capability: compute capability, like `8.7`.
        driver: versions of the driver and of its CUDA.
        cuda: version of the driver's CUDA, like `12.6`.
        integrated: whether it shares the machine's memory, as on a Jetson.
    """

    def __init__(self) -> None:
        """Open the driver.

        Raises:
            NoDevice: there is no driver, or it lists no GPU.
        """
        try:
            self._library = ctypes.CDLL(LIBRARY)
        except OSError:
            raise NoDevice(
                f"there is no NVIDIA driver on this machine ({LIBRARY} is missing): {how_to_install('driver')}"
            ) from None
        for name, arguments in FUNCTIONS.items():
            function = getattr(self._library, name)
            function.argtypes, function.restype = arguments, c_int
        self._call("cuInit", 0)
        devices = self._number("cuDeviceGetCount")
        if devices < 1:
            raise NoDevice(NOTHING_LISTED)
        self._device = self._number("cuDeviceGet", 0)
        buffer = ctypes.create_string_buffer(NAME_BYTES)
        self._call("cuDeviceGetName", buffer, NAME_BYTES, self._device)
        self.name = buffer.value.decode("utf-8", "replace")
        self.capability = f"{self._attribute(CAPABILITY_MAJOR)}.{self._attribute(CAPABILITY_MINOR)}"
        self.integrated = bool(self._attribute(INTEGRATED))
        version = self._number("cuDriverGetVersion")
        self.cuda, self.driver = _cuda(version), _driver(version)

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, name)(*arguments)
        if code == NO_DEVICE:
            raise NoDevice(NOTHING_LISTED)
        if code:
            text = c_char_p()
            self._library.cuGetErrorName(code, byref(text))
            known = text.value.decode() if text.value else "an unknown error"
            kind = OutOfDeviceMemory if code == OUT_OF_MEMORY else DeviceError
            raise kind(f"{name} failed: {known} ({code})")

    def _number(self, name: str, *arguments: Any) -> int:
        found = c_int()
        self._call(name, byref(found), *arguments)
        return found.value

    def _attribute(self, number: int) -> int:
        return self._number("cuDeviceGetAttribute", number, self._device)


class Cuda(Gpu):
    """The first GPU, in the context that TensorRT uses too; see `tessera_engine.backends.gpu.device.Device`."""

    def __init__(self) -> None:
        """Take the GPU.

        Raises:
            NoDevice: there is no driver, or it lists no GPU.
        """
        super().__init__()
        context = c_void_p()
        self._call("cuDevicePrimaryCtxRetain", byref(context), self._device)
        self._context, self._thread = context, threading.local()
        self._most: int | None = None
        self._taken: dict[int, int] = {}

    @property
    def taken(self) -> int:
        """Bytes of the device that `allocate` gave and that are not free yet."""
        return sum(self._taken.values())

    def limit(self, most: int) -> None:
        """Let `allocate` give at most so many bytes from now on, those that it gave already included."""
        self._most = most

    def enter(self) -> None:
        """Give this thread access to the GPU. Each thread needs it once; more calls do nothing."""
        if not getattr(self._thread, "entered", False):
            self._call("cuCtxSetCurrent", self._context)
            self._thread.entered = True

    def memory(self) -> Memory:
        """Free and total bytes at this moment, of what this process may take."""
        self.enter()
        free, total = c_size_t(), c_size_t()
        self._call("cuMemGetInfo_v2", byref(free), byref(total))
        # On shared memory the driver counts the system's caches as used, which the system would give back
        shared = free_of_machine() if self.integrated else None
        found = Memory(min(max(free.value, shared or 0), total.value), total.value)
        if self._most is None:
            return found
        return Memory(max(0, min(found.free, self._most - self.taken)), min(found.total, self._most))

    def allocate(self, size: int) -> int:
        """Allocate bytes on the device and return their address."""
        self.enter()
        if self._most is not None and self.taken + size > self._most:
            raise OutOfDeviceMemory(
                f"the limit of {self._most / 1e6:,.0f} MB leaves no room for {size / 1e6:,.1f} MB more"
            )
        address = c_uint64()
        self._call("cuMemAlloc_v2", byref(address), size)
        self._taken[address.value] = size
        return address.value

    def free(self, address: int) -> None:
        """Release memory of the device."""
        self.enter()
        self._call("cuMemFree_v2", address)
        del self._taken[address]

    def pinned(self, size: int) -> NDArray[np.uint8]:
        """(size,) bytes of this machine's memory that the system never moves or swaps out."""
        self.enter()
        address = c_void_p()
        self._call("cuMemHostAlloc", byref(address), size, 0)
        if address.value is None:
            raise OutOfDeviceMemory(f"the driver has no {size:,} bytes of pinned memory")
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address.value))

    def unpin(self, array: NDArray[np.uint8]) -> None:
        """Release pinned memory."""
        self.enter()
        self._call("cuMemFreeHost", array.ctypes.data)

    def make_stream(self) -> int:
        """Create a stream that doesn't wait for the default stream."""
        self.enter()
        stream = c_void_p()
        self._call("cuStreamCreate", byref(stream), NON_BLOCKING)
        return int(stream.value or 0)

    def copy_in(self, address: int, array: NDArray[Any], stream: int) -> None:
        """Queue a copy to the device on a stream."""
        self.enter()
        self._call("cuMemcpyHtoDAsync_v2", address, array.ctypes.data, array.nbytes, stream)

    def copy_out(self, array: NDArray[Any], address: int, stream: int) -> None:
        """Queue a copy from the device on a stream."""
        self.enter()
        self._call("cuMemcpyDtoHAsync_v2", array.ctypes.data, address, array.nbytes, stream)

    def synchronise(self, stream: int) -> None:
        """Wait until a stream has finished all its work."""
        self.enter()
        self._call("cuStreamSynchronize", stream)

    def load_program(self, ptx: bytes, entry: str, shared: int) -> int:
        """Compile a kernel for this GPU. The driver keeps the result on the disk, so that it takes time only once.

        Args:
            ptx: its code, for this GPU's compute capability or an older one.
            entry: its name in the code.
            shared: bytes of shared memory that each launch needs.

        Raises:
            DeviceError: the driver doesn't know this version of PTX, or the GPU has too little shared memory.
        """
        self.enter()
        module, function = c_void_p(), c_void_p()
        self._call("cuModuleLoadData", byref(module), ptx + b"\0")
        self._call("cuModuleGetFunction", byref(function), module, entry.encode())
        self._call("cuFuncSetAttribute", function, MOST_DYNAMIC_SHARED, shared)
        return int(function.value or 0)

    def launch(self, function: int, size: LaunchSize, arguments: Sequence[Argument], stream: int) -> None:
        """Queue a kernel on a stream.

        Args:
            function: from `load_program`.
            size: how many programs, of how many warps, with how much shared memory.
            arguments: in the kernel's order: addresses as `c_uint64`, numbers as `c_int`.
            stream: from `make_stream`.
        """
        self.enter()
        pointers = (c_void_p * len(arguments))(*(ctypes.addressof(argument) for argument in arguments))
        grid, threads = (size.programs, 1, 1), (WARP * size.warps, 1, 1)
        self._call("cuLaunchKernel", function, *grid, *threads, size.shared, stream, pointers, None)


def _cuda(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"


def _driver(cuda: int, path: Path = Path("/proc/driver/nvidia/version")) -> str:
    """`560.35.03 (CUDA 12.6)`, or only `CUDA 12.6` if the system doesn't report the driver's own version."""
    version = f"CUDA {_cuda(cuda)}"
    try:
        found = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)\s", path.read_text(encoding="utf-8"))
    except OSError:
        found = None
    return f"{found[1]} ({version})" if found else version
