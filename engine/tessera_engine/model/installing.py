"""Model files put where the engine finds them by name: one file a model and precision, its sha256 beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tessera_engine.errors import InputError
from tessera_engine.files.publish import partial_folder
from tessera_engine.files.record import Record
from tessera_engine.files.result import Identity, result_file
from tessera_engine.files.user_folders import HOME_VARIABLE
from tessera_engine.files.windows import unusable
from tessera_engine.model.facts import NAME
from tessera_engine.model.installed import (
    checksum_file,
    file_name,
    packaged_folder,
    record_checksum,
    user_folder,
)


def checked_name(name: str) -> str:
    """The name of a model, as it is.

    Raises:
        InputError: it is not valid.
    """
    if not NAME.fullmatch(name):
        raise InputError(
            f"name={name} is not valid; use letters, digits, '.', '_' and '-', not first '.' or '-'"
        )
    reason = unusable(name)
    if reason is not None:  # on Windows; a model is carried from system to system
        raise InputError(f"name={name} is not valid: {reason}; choose another name=")
    return name


def target_file(name: str, precision: str) -> Path:
    """Where a model of the user's lies at a precision; may not exist yet.

    Raises:
        InputError: the name is not valid, or a model of the package has it.
    """
    target = user_folder() / file_name(checked_name(name), precision)
    if (packaged_folder() / target.name).exists():
        raise InputError(f"'{name}' is a model of the package itself; choose another name=")
    return target


def is_installed(target: Path) -> bool:
    """Whether a model file and its sha256 are there, and no interrupted command left work on either."""
    places = (target, checksum_file(target))
    begun = any(Record(partial_folder(Path(os.path.realpath(place)))).exists for place in places)
    return not begun and all(place.exists() for place in places)


@contextmanager
def installing(target: Path, overwrite: bool, identity: Identity) -> Iterator[Path]:
    """Give the name of a model file to write. It becomes `target` when the with-block succeeds, its sha256 beside it.

    Args:
        target: see `target_file`.
        overwrite: replace a file there.
        identity: see `tessera_engine.files.result`.

    Raises:
        InputError: a file is there already, or the folder can't be written.
    """
    try:
        user_folder().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"can't make the folder {user_folder()}: {error.strerror}; set {HOME_VARIABLE} to another folder"
        ) from None
    with result_file(target, overwrite, identity) as made:
        yield made
        # Between these steps, an old checksum would make a good file look damaged
        checksum_file(target).unlink(missing_ok=True)
    record_checksum(target)
