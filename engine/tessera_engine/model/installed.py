"""Model files on this machine: the demo model in the package, and those that the user imported.

Imported models are in `$TESSERA_ENGINE_HOME/models`, by default in the user's data folder.
"""

from __future__ import annotations

import os
from pathlib import Path

from tessera_engine.errors import InputError, ModelError
from tessera_engine.files.checksums import file_sha256
from tessera_engine.files.nearby import nearest, unknown
from tessera_engine.files.result import result_file
from tessera_engine.files.text import write_text
from tessera_engine.files.user_folders import data_folder
from tessera_engine.model.facts import GPU_PRECISIONS, PRECISIONS
from tessera_engine.model.file import ModelFile, read_model_file
from tessera_engine.model.published import PUBLISHED

DEFAULT_MODEL = "demo"
"""The one model that every installation has. An imported model never takes its place silently."""


def packaged_folder() -> Path:
    """Where the demo model is."""
    return Path(__file__).parent / "packaged"


def user_folder() -> Path:
    """Where imported models are; may not exist yet."""
    return data_folder("models")


def file_name(name: str, precision: str) -> str:
    """The file name of a model at a precision."""
    return f"{name}.{precision}.onnx"


def list_models() -> list[Path]:
    """All model files that have a name here, the package's first; none is opened."""
    return [
        path
        for folder in (packaged_folder(), user_folder())
        for precision in PRECISIONS
        for path in sorted(folder.glob(file_name("?*", precision)))
    ]


def _by_name() -> dict[str, dict[str, Path]]:
    """Name -> precision -> file; the package's files take priority over the user's."""
    found: dict[str, dict[str, Path]] = {}
    for path in list_models():
        name, _, precision = path.stem.rpartition(".")
        found.setdefault(name, {}).setdefault(precision, path)
    return found


def is_model_name(target: str) -> bool:
    """Whether text names a model on this machine. Such text means the model, even if a folder has the same name."""
    return target in _by_name()


def is_path(name_or_path: str) -> bool:
    """Whether text is the path of a model file and not a model's name: it has a separator, or ends in .onnx."""
    return name_or_path.endswith(".onnx") or "/" in name_or_path or os.sep in name_or_path


def check_model(name_or_path: str | os.PathLike[str], precision: str | None = None) -> None:
    """Check the type and the value of what `find_model` takes.

    Raises:
        InputError: names the parameter, what came and what is expected.
    """
    if not isinstance(name_or_path, str | os.PathLike):
        raise InputError(f"name_or_path={name_or_path!r} is not a model's name or a model file")
    if precision is not None and precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)


def find_model(name_or_path: str | os.PathLike[str], precision: str | None = None) -> Path:
    """Find the file that a name or path refers to.

    Args:
        name_or_path: `demo`, `nano`, ... or the path of an .onnx file.
        precision: one of `PRECISIONS`; None: any for a path, fp32 for a name.

    Raises:
        InputError: see `check_model`.
        ModelError: no such model, or not at that precision.
    """
    check_model(name_or_path, precision)
    name = os.fspath(name_or_path)
    if is_path(name):
        if not Path(name).is_file():
            raise _no_file(Path(name))
        return Path(name)
    wanted = precision or "fp32"
    found = _by_name()
    if name not in found:
        raise _no_model(name, list(found))
    if wanted not in found[name]:
        how = "make a file with 'tessera-engine export' and give its path"
        if wanted not in GPU_PRECISIONS:
            how = "import its checkpoint again to make all precisions"
        raise ModelError(
            f"model '{name}' is not on this machine as {wanted}, only as {', '.join(found[name])}; {how}"
        )
    return found[name][wanted]


def _no_file(path: Path) -> ModelError:
    try:
        beside = sorted(each.name for each in path.parent.iterdir() if each.suffix == path.suffix)
    except OSError:  # the folder is missing too, or can't be read
        beside = []
    meant = nearest(path.name, beside)
    hint = f"did you mean {path.with_name(meant)}?" if meant else "see 'tessera-engine model list' for models"
    return ModelError(f"no model file {path}; {hint}")


def _no_model(name: str, known: list[str]) -> ModelError:
    what = f"unknown model '{name}'; models on this machine: {', '.join(sorted(known)) or 'none'}"
    if name in PUBLISHED:
        return ModelError(
            f"the published model '{name}' is not on this machine; get it with 'tessera-engine model fetch {name}'"
        )
    meant = nearest(name, [*known, *PUBLISHED])
    if meant in known:
        return ModelError(f"{what}; did you mean '{meant}'?")
    if meant is not None:
        return ModelError(f"{what}; did you mean '{meant}'? Get it with 'tessera-engine model fetch {meant}'")
    if name.endswith(".pt"):
        return ModelError(f"{what}; make a model of a checkpoint with 'tessera-engine model import {name}'")
    return ModelError(
        f"{what}; get a published one with 'tessera-engine model fetch {next(iter(PUBLISHED))}'"
    )


def precisions(name: str) -> tuple[str, ...]:
    """The precisions in which a named model is on this machine, fp32 first.

    Raises:
        ModelError: no such model, or the name is a file's.
    """
    find_model(name)
    if name not in _by_name():
        raise ModelError(
            f"{name} is a file, expected the name of a model on this machine: see 'tessera-engine model list'"
        )
    return tuple(precision for precision in PRECISIONS if precision in _by_name()[name])


def checksum_file(model: Path) -> Path:
    """Where a model file's sha256 is recorded, as `sha256sum` writes it."""
    return model.with_name(f"{model.name}.sha256")


def record_checksum(model: Path) -> None:
    """Record a finished model file's sha256, so that `open_model` can check it later."""
    sha256 = file_sha256(model)
    with result_file(checksum_file(model), overwrite=True, identity={}) as made:
        write_text(made, f"{sha256}  {model.name}\n")


def check_recorded(model: ModelFile) -> None:
    """Compare a model file with the sha256 beside it, if there is one.

    A flipped bit in a weight still gives a valid model; only the sha256 shows the damage.

    Raises:
        ModelError: it is another.
    """
    recorded = checksum_file(model.path)
    if not recorded.is_file():
        return
    with recorded.open(encoding="ascii", errors="replace") as file:
        words = file.read(1000).split()
    if not words or words[0] != model.sha256:
        raise ModelError(
            f"{model.path} has changed since it was made: its sha256 is {model.sha256[:12]}..., {recorded.name} "
            f"has {(words or ['nothing'])[0][:12]}...; import, fetch or add the model again with overwrite=True"
        )


def open_model(name_or_path: str | os.PathLike[str], precision: str | None = None) -> ModelFile:
    """Find a model file and read it.

    Args:
        name_or_path: see `find_model`.
        precision: see `find_model`. A file of another precision is refused, except a qdq file for int8.

    Raises:
        InputError: see `check_model`.
        ModelError: not found, not a model file, another precision, or another sha256 than the recorded one.
    """
    model = read_model_file(find_model(name_or_path, precision))
    check_recorded(model)
    facts = model.facts
    # A qdq file is int8 too; a name never finds it if int8 is asked for
    if precision not in (None, facts.precision) and not (precision == "int8" and facts.is_int8):
        raise ModelError(
            f"{model.path} is a model file in {facts.precision}, not in {precision}; give "
            f"precision={facts.precision} or another file"
        )
    return model
