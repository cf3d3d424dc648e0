"""Compiled kernels, kept on disk from one process to the next.

numba's own cache trusts its files: one that a power cut left empty ends every later run. It also shares an index
between processes that compile at the same time, and looks only at the source file of the outermost function. Here each
compiled function is a file of its own:

    <module>.<function>-<sources>-<key>.nbc    the sha256 of its name and of what follows; numba's pickle

`sources` stands for the code that the function consists of, see `tessera_kernels.sources`, and `key` for everything
else that it depends on. A file appears complete or not at all. One that isn't whole is never unpickled, and the
function is compiled again.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import secrets
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import llvmlite
import numba
from numba import njit
from numba.core import sigutils
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from tessera_kernels.places import KEPT, PACKAGE, kernels_folder, log
from tessera_kernels.sources import sources

F = TypeVar("F", bound=Callable[..., Any])

_SUM_BYTES = hashlib.sha256().digest_size

_PARTIAL = ".partial"

_ABANDONED_SECONDS = 3600
"""Age of an unfinished file whose process must have ended."""


def kernel(**options: Any) -> Callable[[F], F]:
    """A decorator like `numba.njit`, for functions that Python calls. What is compiled is kept on disk.

    Args:
        options: see `numba.njit`.
    """

    def decorate(function: F) -> F:
        compiled: Any = njit(**{"no_cfunc_wrapper": True, **options})(function)
        if compiled is not function:  # as it is where NUMBA_DISABLE_JIT is set
            compiled._cache = KernelCache(function, options)
        return compiled

    return decorate


class KernelCache(NullCache):
    """The kept compilations of one function, as numba's dispatcher asks for them."""

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        self._function, self._options = function, options

    @property
    def cache_path(self) -> str | None:
        """The folder; None where nothing is kept."""
        folder = kernels_folder()
        return None if folder is None else str(folder)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function for a signature; None where it isn't kept, or not whole."""
        target_context.refresh()
        folder = kernels_folder()
        if folder is None:
            return None
        path = folder / self._file_name(sig, target_context.codegen())
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            return _announce_damage(path, error.strerror)
        payload = content[_SUM_BYTES:]
        if content[:_SUM_BYTES] != _sum(path, payload):
            return _announce_damage(path, "its checksum is wrong" if content else "it is empty")
        try:
            kept = CompileResult._rebuild(target_context, *pickle.loads(payload))
            if kept.signature.args != sigutils.normalize_signature(sig)[0]:
                raise ValueError("it is of another signature")
        except Exception as error:  # whatever numba makes of what another build of it has written
            return _announce_damage(path, str(error))
        return kept

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled function. If that fails, this process still has it."""
        folder = kernels_folder()
        if folder is None or data.lifted or data.library.has_dynamic_globals:  # the last two can't be kept
            return
        path = folder / self._file_name(sig, data.codegen)
        payload = dumps(data._reduce())
        try:
            _write(path, _sum(path, payload) + payload)
        except OSError as error:
            _announce("compiled kernels can't be kept in %s (%s); the next run compiles them again",
                      folder, error.strerror)  # fmt: skip
        else:
            _tidy(path)

    def _file_name(self, sig: Any, codegen: Any) -> str:
        function = self._function
        captured = [cell.cell_contents for cell in function.__closure__ or ()]
        depends_on = (
            sys.implementation.cache_tag,
            numba.__version__,
            llvmlite.__version__,
            sorted(self._options.items()),
            sigutils.normalize_signature(sig)[0],
            codegen.magic_tuple(),
            function.__code__.co_code,
            dumps(captured) if captured else b"",
        )
        key = hashlib.sha256(repr(depends_on).encode()).hexdigest()[:24]
        name = f"{function.__module__.removeprefix(f'{PACKAGE.name}.')}.{function.__qualname__}"
        return f"{name.replace('<', '').replace('>', '')}-{sources(function.__module__)}-{key}.nbc"


def _sum(path: Path, payload: bytes) -> bytes:
    return hashlib.sha256(f"{path.name}\0".encode() + payload).digest()


def _write(path: Path, content: bytes) -> None:
    """Write a file that is complete and on the disk when it appears."""
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}{_PARTIAL}")
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    if sys.platform != "win32":
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _tidy(path: Path) -> None:
    """Remove what other code compiled of the same function, and what killed processes didn't finish of it."""
    this = KEPT.match(path.name)
    assert this is not None
    abandoned = time.time() - _ABANDONED_SECONDS
    with suppress(OSError):  # another process may do the same
        for other in path.parent.glob(f"{this['function']}-*"):
            kept = KEPT.match(other.name)
            if kept is None or kept["function"] != this["function"]:
                continue
            forgotten = other.suffix == _PARTIAL and other.stat().st_mtime < abandoned
            if forgotten or kept["sources"] != this["sources"]:
                other.unlink(missing_ok=True)


_announced: set[str] = set()


def _announce(message: str, *values: object) -> None:
    """One line of a kind is enough: what is wrong with one file is wrong with most."""
    if message not in _announced:
        _announced.add(message)
        log.warning(message, *values)


def _announce_damage(path: Path, reason: str | None) -> None:
    _announce("compiled kernels in %s are damaged (%s: %s); they are compiled again",
              path.parent, path.name, " ".join((reason or "").split()) or "it can't be read")  # fmt: skip
