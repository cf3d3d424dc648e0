"""Kernels of the fused network run by Triton's interpreter, for the stand-in of the driver."""

from __future__ import annotations

import ctypes
import inspect
import traceback

import numpy as np
import torch
import triton.language as tl

from tessera_engine.backends.gpu.fused.programs import find_programs
from tessera_export.gpu_kernels.build import NUMBERS, POINTERS, constants, kernels

DTYPES = {"fp32": np.float32, "fp16": np.float16, "i32": np.int32, "i8": np.int8}
RUNNER = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_uint,
    ctypes.c_uint,
    ctypes.c_uint,
    ctypes.POINTER(ctypes.c_void_p),
)


class Interpreted:
    """What the stand-in driver calls for a launch.

    Attributes:
        launched: name and number of programs of each launch.
        spoil: called with a kernel's name and its arguments by name after it has run.
    """

    def __init__(self, library, facts, config, exact=False):
        """With `exact`, products take float32 in place of float16."""
        self.library, self.config, self.exact = library, config, exact
        self.keys = {}
        self.programs, self.functions = find_programs(facts), kernels()
        self.dtype_of = {name: DTYPES[dtype] for dtype, names in POINTERS.items() for name in names}
        self.launched, self.spoil = [], None
        library.standin_size.argtypes, library.standin_size.restype = [ctypes.c_void_p], ctypes.c_size_t
        self.callback = RUNNER(self.run)
        library.standin_set_runner(self.callback)

    def run(self, name, programs, threads, shared, arguments):
        try:
            self._run(name.decode(), programs, threads, shared, arguments)
        except Exception:
            # An exception can't pass through C
            traceback.print_exc()
            return 719  # CUDA_ERROR_LAUNCH_FAILED
        return 0

    def _run(self, name, programs, threads, shared, arguments):
        carried, kernel = self.programs.kernels[name], self.functions[name]
        assert (threads, shared) == (32 * carried.warps, carried.shared)
        fixed = constants(kernel, self.config, carried.rows, tl.float32 if self.exact else tl.float16)
        names = [each for each in inspect.signature(kernel.fn).parameters if each not in fixed]
        given = {}
        for index, each in enumerate(names):
            if each in NUMBERS:
                given[each] = ctypes.cast(arguments[index], ctypes.POINTER(ctypes.c_int))[0]
                continue
            address = ctypes.cast(arguments[index], ctypes.POINTER(ctypes.c_uint64))[0]
            assert address % 16 == 0, f"{name}: {each} lies at {address:#x}"
            size = self.library.standin_size(address)
            assert size, f"{name}: {each} is no memory of the device"
            block = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
            given[each] = torch.from_numpy(block.view(self.dtype_of[each]))
            if self.exact and each == "mat":
                given[each] = given[each].float()
            elif self.exact and each == "keys":
                given[each] = self.keys.setdefault((address, size), torch.empty(size // 2))
        for extra in range(2):
            assert ctypes.cast(arguments[len(names) + extra], ctypes.POINTER(ctypes.c_uint64))[0] == 0
        kernel[(programs,)](**given, **fixed)
        self.launched.append((name, programs))
        if self.spoil:
            self.spoil(name, given)
