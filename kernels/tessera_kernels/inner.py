"""Functions that only other kernels call: compiled once, inside the kernels that call them.

numba optimises each function by itself, makes machine code of it, links it into its callers, and does all of that again
there. What only kernels call needs neither. Its LLVM code is linked as it is, and optimised with the caller's: half of
the time of a first run went there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

F = TypeVar("F", bound=Callable[..., Any])


class _Codegen:
    """The real one, but for what would need machine code."""

    def __init__(self, codegen: Any) -> None:
        self._codegen = codegen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codegen, name)

    def set_env(self, name: str, environment: Any) -> None:
        """Do nothing. Exceptions, printing and object mode need the environment; kernels have none of these."""


class _LinkedLibrary(JITCodeLibrary):
    """LLVM code of one function and of what it calls, for linking only."""

    @property
    def codegen(self) -> Any:
        return _Codegen(self._codegen)

    def get_pointer_to_function(self, name: str) -> int:
        return 0

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()  # type: ignore[no-untyped-call]
        self._finalized = True


class _InnerCompiler(Compiler):
    def __init__(
        self,
        typingctx: Any,
        targetctx: Any,
        library: Any,
        args: Any,
        return_type: Any,
        flags: Any,
        locals: Any,
    ) -> None:
        linked = _LinkedLibrary(targetctx.codegen(), "inner")  # type: ignore[no-untyped-call]
        super().__init__(  # type: ignore[no-untyped-call]
            typingctx, targetctx, linked, args, return_type, flags, locals
        )


INNER: Any = {
    "error_model": "numpy",
    "nogil": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "pipeline_class": _InnerCompiler,
}
"""Options of such a function. numba's error model for numpy has no branches for division by zero."""


def inner(function: F) -> F:
    """A decorator like `numba.njit`, for functions that Python doesn't call."""
    compiled: F = njit(**INNER)(function)
    return compiled
