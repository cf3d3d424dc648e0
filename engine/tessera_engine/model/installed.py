"""Model files on this machine: the demo in the package, and those that the user imported.

Imported models lie in `$TESSERA_ENGINE_HOME/models`, by default under the user's data folder.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tessera_engine.errors import ModelError
from tessera_engine.files.checksums import file_sha256
from tessera_engine.model.facts import GPU_PRECISIONS, PRECISIONS
from tessera_engine.model.file import ModelFile, read_model_file

DEFAULT_MODEL = "demo"
"""The one model that every install has. Never replaced silently by one that happens to be installed too."""

HOME_VARIABLE = "TESSERA_ENGINE_HOME"


def packaged_folder() -> Path:
    """Where the demo model lies."""
    return Path(__file__).parent / "packaged"


def user_folder() -> Path:
    """Where imported models lie; may not exist yet."""
    if home := os.environ.get(HOME_VARIABLE):
        return Path(home) / "models"
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share"))
    return base / "tessera-engine" / "models"


def file_name(name: str, precision: str) -> str:
    """The file of a model at a precision."""
    return f"{name}.{precision}.onnx"


def list_models() -> list[Path]:
    """All model files that names stand for, the package's first; not opened."""
    return [
        path
        for folder in (packaged_folder(), user_folder())
        for precision in PRECISIONS
        for path in sorted(folder.glob(file_name("?*", precision)))
    ]


def _by_name() -> dict[str, dict[str, Path]]:
    """Name -> precision -> file; the package's before the user's."""
    found: dict[str, dict[str, Path]] = {}
    for path in list_models():
        name, _, precision = path.stem.rpartition(".")
        found.setdefault(name, {}).setdefault(precision, path)
    return found


def find_model(name_or_path: str, precision: str | None = None) -> Path:
    """Find the file that a name or path stands for.

    Args:
        name_or_path: `demo`, `nano`, ... or the path of an .onnx file.
        precision: one of `PRECISIONS`; None takes a path's own, and fp32 for a name.

    Raises:
        ModelError: no such model, or not at that precision.
    """
    if name_or_path.endswith(".onnx") or "/" in name_or_path or os.sep in name_or_path:
        path = Path(name_or_path)
        if not path.is_file():
            raise ModelError(
                f"no model file {path}; give a file, or a name that 'tessera-engine model list' shows"
            )
        return path
    wanted = precision or "fp32"
    found = _by_name()
    if name_or_path not in found:
        known = ", ".join(sorted(found)) or "none"
        hint = f"import {name_or_path}" if name_or_path.endswith(".pt") else "import FILE.pt"
        raise ModelError(
            f"unknown model '{name_or_path}'; models on this machine: {known}; a TESSERA checkpoint becomes one "
            f"with 'tessera-engine model {hint}'"
        )
    if wanted not in found[name_or_path]:
        how = "make a file with 'tessera-engine export' and give its path"
        if wanted not in GPU_PRECISIONS:
            how = "import its checkpoint again to make all precisions"
        raise ModelError(
            f"model '{name_or_path}' is not on this machine as {wanted}, only as "
            f"{', '.join(found[name_or_path])}; {how}"
        )
    return found[name_or_path][wanted]


def precisions(name: str) -> tuple[str, ...]:
    """The precisions that a named model is there in, fp32 first.

    Raises:
        ModelError: no such model.
    """
    find_model(name)
    return tuple(precision for precision in PRECISIONS if precision in _by_name()[name])


def checksum_file(model: Path) -> Path:
    """Where a model file's sha256 is kept, as `sha256sum` writes it."""
    return model.with_name(f"{model.name}.sha256")


def record_checksum(model: Path) -> None:
    """Write down a finished model file's sha256, by which `open_model` knows it again."""
    checksum_file(model).write_text(f"{file_sha256(model)}  {model.name}\n", encoding="utf-8")


def _check_recorded(model: ModelFile) -> None:
    """A flipped bit in a weight is a model like any other: only its sha256 tells."""
    recorded = checksum_file(model.path)
    if not recorded.is_file():
        return
    with recorded.open(encoding="ascii", errors="replace") as file:
        words = file.read(1000).split()
    if not words or words[0] != model.sha256:
        raise ModelError(
            f"{model.path} is not the file that was stored: its sha256 is {model.sha256[:12]}..., {recorded.name} "
            f"has {(words or ['nothing'])[0][:12]}...; import or fetch the model again with --overwrite"
        )


def open_model(name_or_path: str, precision: str | None = None) -> ModelFile:
    """Find a model file and read it.

    Args:
        name_or_path: see `find_model`.
        precision: see `find_model`; a file of another precision is refused, but for Q/DQ where int8 is asked for.

    Raises:
        ModelError: not found, not a model file, of another precision, or not the one whose sha256 was recorded.
    """
    model = read_model_file(find_model(name_or_path, precision))
    _check_recorded(model)
    facts = model.facts
    # Int8 with Q/DQ is int8 as well; a name never finds it when int8 is asked for
    if precision not in (None, facts.precision) and not (precision == "int8" and facts.is_int8):
        hint = "leave out --int8" if precision == "int8" else f"give --precision {facts.precision}"
        raise ModelError(
            f"{model.path} is a {facts.precision} model, {precision} was asked for; {hint} or give another file"
        )
    return model
