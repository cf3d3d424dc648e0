"""What the fused network needs from a GPU; `tessera_engine.backends.gpu.cuda.Cuda` has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from tessera_engine.backends.gpu.cuda import Argument, LaunchSize
from tessera_engine.backends.gpu.device import Memory
from tessera_engine.backends.gpu.held import Allocator


class Launcher(Allocator, Protocol):
    """A GPU that runs kernels; see `Cuda` for each method."""

    name: str

    @property
    def taken(self) -> int: ...  # noqa: D102
    def memory(self) -> Memory: ...  # noqa: D102
    def limit(self, most: int) -> None: ...  # noqa: D102
    def load_program(self, ptx: bytes, entry: str, shared: int) -> int: ...  # noqa: D102
    def launch(  # noqa: D102
        self, function: int, size: LaunchSize, arguments: Sequence[Argument], stream: int
    ) -> None: ...
    def make_stream(self) -> int: ...  # noqa: D102
    def copy_in(self, address: int, array: NDArray[Any], stream: int) -> None: ...  # noqa: D102
    def copy_out(self, array: NDArray[Any], address: int, stream: int) -> None: ...  # noqa: D102
    def synchronise(self, stream: int) -> None: ...  # noqa: D102
