"""The code that a module's compiled kernels depend on: its own and that of all it imports in this package.

What a function calls is compiled into it, so compiled code is as old as the oldest of these files.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache

from tessera_kernels.places import PACKAGE

_IMPORTED = re.compile(rf"^\s*(?:from|import)\s+{PACKAGE.name}\.?([\w.]*)", re.MULTILINE)

_RELATIVE = re.compile(r"^\s*from\s+\.", re.MULTILINE)


def _read() -> dict[str, str]:
    """The text of all modules, by their names without the package's. An `__init__` has the name of its folder."""
    texts = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        texts[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return texts


_TEXTS = _read()
"""Read before the code is imported: an edit during a run belongs to the next one."""


@cache
def sources(module: str) -> str:
    """A digest of the code that functions of a module may consist of.

    Args:
        module: its full name. For one of another package the digest is that of all code of this one.
    """
    own = module.removeprefix(f"{PACKAGE.name}.")
    needed = _closure(own) if own in _TEXTS and own != module else set(_TEXTS)
    digest = hashlib.sha256()
    for name in sorted(needed):
        digest.update(f"{name}\0{_TEXTS[name]}\0".encode())
    return digest.hexdigest()[:12]


def _closure(module: str) -> set[str]:
    """A module and all that it imports, directly or not."""
    found, waiting = {module}, [module]
    while waiting:
        text = _TEXTS[waiting.pop()]
        if _RELATIVE.search(text):
            return set(_TEXTS)
        for name in _IMPORTED.findall(text):
            # Of a package, any module may be meant
            new = {
                each for each in _TEXTS if each == name or f"{each}.".startswith(f"{name}." if name else "")
            }
            waiting += new - found
            found |= new
    return found
