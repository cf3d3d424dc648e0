"""What the fused network needs from a GPU; `tessera_engine.backends.gpu.cuda.Cuda` has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tessera_engine.backends.gpu.cuda import Argument, LaunchSize
from tessera_engine.backends.gpu.device import PlainDevice


class Launcher(PlainDevice, Protocol):
    """A GPU that runs kernels; see `Cuda` for each method."""

    name: str

    @property
    def taken(self) -> int: ...  # noqa: D102
    def load_program(self, ptx: bytes, entry: str, shared: int) -> int: ...  # noqa: D102
    def launch(  # noqa: D102
        self, function: int, size: LaunchSize, arguments: Sequence[Argument], stream: int
    ) -> None: ...
