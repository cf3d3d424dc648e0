"""A folder that appears complete under its name, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tessera_engine.errors import InputError
from tessera_engine.files.output import PartialOutput


@contextmanager
def result_folder(out: Path, overwrite: bool) -> Iterator[Path]:
    """Give a folder to write into. It becomes `out` when the with-block succeeds, and is removed if not.

    Args:
        out: where the results will appear.
        overwrite: replace earlier results there, if they are a folder of this engine by its item.json.

    Raises:
        InputError: something stands there already, another process writes there, an unfinished run of `embed` works
            there, or the place can't be written.
    """
    place = PartialOutput(out)
    unfinished = place.begun
    try:
        if unfinished:
            raise InputError(
                f"{place.folder} belongs to an unfinished run; give its command again to finish it first, or choose "
                "another out="
            )
        place.check_target(overwrite)
        place.clear()
        yield place.make_output()
        place.publish(overwrite)
    finally:
        place.close(keep=unfinished)
