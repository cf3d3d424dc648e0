"""Without PyTorch, commands and functions of this package say how to install it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tessera_engine.errors import MissingExtra


@contextmanager
def torch_needed(purpose: str) -> Iterator[None]:
    """Turn a missing PyTorch, in the imports of the with-block, into an error that says how to install it.

    Args:
        purpose: what needs it, like "train".

    Raises:
        MissingExtra: PyTorch is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtra("torch", "export", purpose) from None
