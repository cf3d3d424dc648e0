"""A folder as it was when it was opened, even if a new one takes its name meanwhile.

Outputs are replaced as a whole (see `tessera_engine.files.publish`). Whoever reads several files of one must not get
some of the old and some of the new. On Linux the files are opened through the folder's descriptor, so that all of
them are of the folder that was opened. A shared lock on it keeps the writer from removing it (see
`tessera_engine.files.durable.is_read`); whoever reads it last removes it. Elsewhere a replacement is noticed, and is an
error.
"""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files.durable import lock_shared
from tessera_engine.files.partial import finish_or_undo

_DESCRIPTORS = Path("/proc/self/fd")


class Pinned:
    """A folder that is being read.

    Attributes:
        path: as it was given, for messages.
        here: through which its files are opened.
    """

    def __init__(self, path: Path) -> None:
        """Open the folder.

        Raises:
            OSError: it isn't a folder, or can't be read.
        """
        self.path = self.here = path
        self._status = path.stat()
        if sys.platform == "win32":  # which can't open folders
            return
        while True:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            if lock_shared(descriptor) and _is_at(descriptor, path):
                break
            os.close(descriptor)  # it has just been replaced
        self._status = os.fstat(descriptor)
        weakref.finalize(self, _release, descriptor, path)
        if (_DESCRIPTORS / str(descriptor)).is_dir():
            # By the number of this process, so that its children can use it too
            self.here = Path(f"/proc/{os.getpid()}/fd/{descriptor}")

    @contextmanager
    def reading(self) -> Iterator[Path]:
        """Give `here`, and turn errors about files there into errors about the path that was given.

        Raises:
            TesseraError: the folder was replaced, and this system can't read the old one any more.
        """
        try:
            yield self.here
        except TesseraError as error:
            self._check_same()
            error.args = (str(error).replace(str(self.here), str(self.path)),)
            raise
        except OSError as error:
            self._check_same()
            if isinstance(error.filename, str):
                error.filename = error.filename.replace(str(self.here), str(self.path))
            raise
        self._check_same()

    def _check_same(self) -> None:
        if self.here != self.path:
            return
        with suppress(OSError):
            if os.path.samestat(self._status, self.path.stat()):
                return
        raise TesseraError(
            f"{self.path} was replaced or removed while it was read; open it again, or give the command again"
        )


def _is_at(descriptor: int, path: Path) -> bool:
    return os.path.samestat(os.fstat(descriptor), path.stat())


def _release(descriptor: int, path: Path) -> None:
    with suppress(OSError, InputError):
        replaced = not path.exists() or not _is_at(descriptor, path)
        os.close(descriptor)
        if replaced:
            finish_or_undo(path)
