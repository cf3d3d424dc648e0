"""Models carried from machine to machine: one file to take along, and model files added on the other machine.

A pack (`nano.tessera`) is a zip archive, not compressed, of a model's files at all precisions and of their sha256
files as `sha256sum` writes them. Any unzip program opens it.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tessera_engine.errors import InputError, ModelError
from tessera_engine.files.endings import check_ending
from tessera_engine.files.nearby import no_such_folder
from tessera_engine.files.result import check_free, result_file
from tessera_engine.model.facts import PRECISIONS
from tessera_engine.model.file import MAX_BYTES, ModelFile, read_content, read_model_file
from tessera_engine.model.installed import (
    check_recorded,
    checksum_file,
    file_name,
    list_models,
    open_model,
    packaged_folder,
    precisions,
    user_folder,
)
from tessera_engine.model.installing import installing, is_installed, target_file
from tessera_engine.model.published import Published

SUFFIX = ".tessera"
"""Of a pack."""

DATE = (1980, 1, 1, 0, 0, 0)
"""Of the files in a pack, so that the same model gives the same bytes. Zip archives know no earlier one."""

_MEMBER = re.compile(r"[\w.-]+\.onnx(\.sha256)?", re.ASCII)
_MEMBERS = 2 * len(PRECISIONS)
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Added:
    """A model file on this machine.

    Attributes:
        model: the file, where the engine finds it by name.
        new: whether it was written now; False if the same file was there already.
    """

    model: ModelFile
    new: bool


def pack_model(name: str, out: Path | str, overwrite: bool = False) -> list[ModelFile]:
    """Write all files of a model on this machine into one file to carry.

    Args:
        name: the model's name.
        out: the pack to write; its name ends in `.tessera`.
        overwrite: replace a file there.

    Returns:
        The model files that it contains.

    Raises:
        InputError: `out` has another ending, exists already, or its folder doesn't.
        ModelError: no such model, or one of its files is damaged.
    """
    out = Path(out)
    check_ending("out", out, [SUFFIX], "a pack")
    check_free(out, overwrite)
    if not out.absolute().parent.is_dir():
        raise no_such_folder(out.parent)
    models = [open_model(name, precision) for precision in precisions(name)]
    with (
        result_file(out, overwrite, {model.path.name: model.sha256 for model in models}) as made,
        zipfile.ZipFile(made, "w") as archive,
    ):
        for model in models:
            target = file_name(name, model.facts.precision)
            archive.writestr(zipfile.ZipInfo(target, DATE), read_content(model))
            archive.writestr(zipfile.ZipInfo(f"{target}.sha256", DATE), f"{model.sha256}  {target}\n")
    return models


def add_models(
    source: Path | str, overwrite: bool = False, checkpoint: Published | None = None
) -> list[Added]:
    """Put model files where the engine finds them by name. Each is checked as `embed` does it, before any is written.

    Args:
        source: a model file, a pack, or a folder of these.
        overwrite: replace other files of the same name and precision.
        checkpoint: take only files made from this published checkpoint, as each of them says.

    Raises:
        InputError: no such source, nothing in it, a name that is taken, or the folder of models can't be written.
        ModelError: a file is not a model file, is damaged or not the one whose sha256 lies beside it; or a model would
            have files of several checkpoints.
    """
    source = Path(source)
    with tempfile.TemporaryDirectory() as scratch:
        found = [_checked(path) for path in _model_files(source, Path(scratch))]
        if checkpoint is not None:
            found = [each for each in found if each.facts.checkpoint_sha256 == checkpoint.sha256]
        if not found:
            of = "" if checkpoint is None else f" made from the published checkpoint {checkpoint.name}"
            raise InputError(
                f"{source} has no model file{of}; give a model file (.onnx), a pack ({SUFFIX}), or a folder of these"
            )
        targets = _targets(found, overwrite)
        added = []
        for model, target in zip(found, targets, strict=True):
            there = target.is_file() and read_model_file(target).sha256 == model.sha256
            new = not there
            # What an interrupted command left is finished by writing the same again
            if new or not (target.parent == packaged_folder() or is_installed(target)):
                with installing(target, overwrite or there, {"sha256": model.sha256}) as made:
                    made.write_bytes(read_content(model))
            added.append(Added(open_model(target), new))
    return added


def is_carried(source: Path, checkpoint: Published) -> bool:
    """Whether a place on this machine has model files, and not the checkpoint that they were made from."""
    if source.is_dir():
        return not (source / checkpoint.file_name).exists() and bool(_inside(source))
    return source.suffix in (".onnx", SUFFIX)


def _inside(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.suffix in (".onnx", SUFFIX))


def _checked(path: Path) -> ModelFile:
    model = read_model_file(path)
    check_recorded(model)
    return model


def _model_files(source: Path, scratch: Path) -> list[Path]:
    """The model files of a source, those of packs unpacked into a folder."""
    if source.is_dir():
        return [path for each in _inside(source) for path in _model_files(each, scratch)]
    if not source.exists():
        raise InputError(
            f"no file or folder {source}; give a model file (.onnx), a pack ({SUFFIX}), or a folder of these"
        )
    if source.suffix == SUFFIX:
        return _unpack(source, Path(tempfile.mkdtemp(dir=scratch)))
    if source.suffix == ".pt":
        raise InputError(
            f"{source} is a checkpoint, not a model file; make model files of it with 'tessera-engine model import'"
        )
    return [source]


def _unpack(pack: Path, folder: Path) -> list[Path]:
    damaged = f"{pack} is not a pack of 'tessera-engine model pack', or a damaged one"
    try:
        with zipfile.ZipFile(pack) as archive:
            members = archive.infolist()
            if len(members) > _MEMBERS or not all(_MEMBER.fullmatch(each.filename) for each in members):
                raise ModelError(f"{damaged}: it has other files than model files; copy it again")
            for member in members:
                if member.compress_type != zipfile.ZIP_STORED or member.file_size > MAX_BYTES:
                    raise ModelError(
                        f"{damaged}: {member.filename} is compressed or too large; copy it again"
                    )
                with archive.open(member) as file, (folder / member.filename).open("xb") as made:
                    shutil.copyfileobj(file, made, _CHUNK)
    except (
        zipfile.BadZipFile,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        FileExistsError,
    ) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{damaged} ({reason}); copy it again") from None
    except OSError as error:
        raise InputError(f"can't read {pack}: {error.strerror}") from None
    models = sorted(folder.glob("*.onnx"))
    alone = [each.name for each in models if not checksum_file(each).is_file()]
    if alone or not models:
        raise ModelError(
            f"{damaged}: {alone[0] if alone else 'a model file'} or its sha256 is missing; copy it again"
        )
    return models


def _targets(found: Sequence[ModelFile], overwrite: bool) -> list[Path]:
    """Where each file goes; nothing is written."""
    targets = [_target(model) for model in found]
    for target in targets:
        if targets.count(target) > 1:
            twice = [str(model.path) for model, each in zip(found, targets, strict=True) if each == target]
            raise InputError(
                f"{' and '.join(twice)} are the same model at the same precision; give one of them"
            )
    for model, target in zip(found, targets, strict=True):
        if target.exists() and not overwrite and read_model_file(target).sha256 != model.sha256:
            raise InputError(
                f"another {model.label} is on this machine already; give overwrite=True to replace {target}"
            )
    _check_one_checkpoint(found, targets)
    return targets


def _target(model: ModelFile) -> Path:
    packaged = packaged_folder() / file_name(model.facts.name, model.facts.precision)
    if packaged.is_file() and read_model_file(packaged).sha256 == model.sha256:
        return packaged
    return target_file(model.facts.name, model.facts.precision)


def _check_one_checkpoint(found: Iterable[ModelFile], targets: Sequence[Path]) -> None:
    """A name means one model: its files at other precisions, which stay, must come from the same checkpoint."""
    for model in found:
        stay = {file_name(model.facts.name, precision) for precision in PRECISIONS}
        others = [path for path in list_models() if path.name in stay and path not in targets]
        for other in [
            *map(read_model_file, others),
            *(each for each in found if each.facts.name == model.facts.name),
        ]:
            if other.facts.checkpoint_sha256 != model.facts.checkpoint_sha256:
                raise ModelError(
                    f"{model.path} and {other.path} are both called {model.facts.name} but were made from different "
                    f"checkpoints; add the files of one, and remove the others from {user_folder()}"
                )
