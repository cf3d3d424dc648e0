"""From a checkpoint to a model file that was validated before it got its name."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import onnx

from tessera_engine.errors import InputError
from tessera_engine.model_file import NAME, PRECISIONS, ModelFacts
from tessera_engine.model_store import (
    HOME_VARIABLE,
    checksum_file,
    file_name,
    packaged_folder,
    record_checksum,
    user_folder,
)
from tessera_engine.published import published_name
from tessera_engine.scene import S1_BANDS, S2_BANDS
from tessera_engine.statistics import FLAVOURS
from tessera_export import int8, onnx_graph
from tessera_export.checkpoint import Checkpoint, load_checkpoint, replacing, size_name
from tessera_export.validate import Report, validate

BUILD = {"fp32": onnx_graph.FLOAT32, "int8": int8.INT8}
SOURCES = {"mpc": "Planetary Computer", "aws": "Earth Search and OPERA (AWS)"}
QUANTIZATION = {"fp32": "none", "int8": int8.DESCRIPTION}


def export_model(
    checkpoint: Path | str,
    out: Path | str,
    precision: str,
    *,
    statistics: str | None = None,
    name: str | None = None,
    licence: str | None = None,
    card: str | None = None,
    overwrite: bool = False,
) -> Report:
    """Turn a checkpoint into one model file, which appears under its name only after it was validated.

    Args:
        checkpoint: of a v2 student or a v1 model.
        out: the model file to write.
        precision: fp32 or int8.
        statistics: the flavour of a v1.1 checkpoint, `mpc` or `aws`: what it was trained on. None for all others.
        name: the model's name in the file; default: its size, or the checkpoint's name for a size of its own.
        licence: of the weights; default: what is known about a published checkpoint, else `unknown`.
        card: what it is, what it was trained on, what it is not; default: whether it is a published checkpoint.
        overwrite: replace the file if it is there.

    Raises:
        InputError: unknown precision or statistics, unusable name, `out` is there already or can't be written.
        ModelError: the checkpoint can't be used.
        CheckFailed: the file made is not as promised; nothing is left of it.
    """
    out = Path(out)
    _check_target(out, overwrite)
    loaded = load_checkpoint(checkpoint)
    return _export(loaded, out, precision, flavour_for(loaded, statistics), name, licence, card)


def import_checkpoint(
    checkpoint: Path | str,
    name: str | None = None,
    overwrite: bool = False,
    statistics: str | None = None,
) -> list[Report]:
    """Make a checkpoint's model files, one a precision, where the engine finds them by name.

    Args:
        checkpoint: of a v2 student or a v1 model.
        name: name to use it by; default as in `export_model`.
        overwrite: replace an imported model of that name.
        statistics: as in `export_model`.

    Raises:
        InputError: unknown statistics, unusable name, or one that is taken.
        ModelError: the checkpoint can't be used.
        CheckFailed: a file made is not as promised; nothing is left of it.
    """
    loaded = load_checkpoint(checkpoint)
    flavour = flavour_for(loaded, statistics)
    name = name or _default_name(loaded, flavour)
    targets = import_targets(name, overwrite)
    try:
        user_folder().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"can't make the folder {user_folder()}: {error.strerror}; set {HOME_VARIABLE} to another folder"
        ) from None
    reports = []
    for precision, target in targets.items():
        # Between the two, an old sum would make a good file look damaged
        checksum_file(target).unlink(missing_ok=True)
        reports.append(_export(loaded, target, precision, flavour, name))
        record_checksum(target)
    return reports


def import_targets(name: str, overwrite: bool = False) -> dict[str, Path]:
    """The files that importing a checkpoint by a name will make, by precision.

    Raises:
        InputError: unusable name, or one that is taken.
    """
    targets = {
        precision: user_folder() / file_name(_checked_name(name), precision) for precision in PRECISIONS
    }
    for target in targets.values():
        if (packaged_folder() / target.name).exists():
            raise InputError(f"'{name}' is a model of the package itself; import it with another --name")
        _check_target(target, overwrite)
    return targets


def _check_target(out: Path, overwrite: bool) -> None:
    if out.exists() and not overwrite:
        raise InputError(f"{out} is there already; add --overwrite or choose another name")


def _checked_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise InputError(f"'{name}' can't be a model's name; use letters, digits, '.', '_' and '-'")
    return name


def _default_name(checkpoint: Checkpoint, flavour: str) -> str:
    size = size_name(checkpoint.config)
    if size == "custom":
        return Path(checkpoint.name).stem
    return f"{size}-{flavour}" if flavour else size


def flavour_for(checkpoint: Checkpoint, asked: str | None) -> str:
    """Whose statistics the checkpoint is bound to. The file doesn't say, so where there is a choice the user has to.

    Raises:
        InputError: there is no such choice, or none was made.
    """
    generation = checkpoint.config.generation
    known = FLAVOURS[generation]
    if asked is None and len(known) == 1:
        return next(iter(known))
    if asked is not None and asked in known and asked:
        return asked
    if len(known) == 1:
        raise InputError(
            f"--statistics {asked} can't be had: {checkpoint.name} is a {generation} model, which has only one; "
            "leave --statistics out"
        )
    raise InputError(
        f"{checkpoint.name} is a {generation} model, of which there are two, each bound to what it was trained on: "
        f"add --statistics {' or '.join(f'{flavour} ({SOURCES[flavour]})' for flavour in known)}"
        + (f", not '{asked}'" if asked is not None else "")
    )


def _export(
    checkpoint: Checkpoint,
    out: Path,
    precision: str,
    flavour: str,
    name: str | None = None,
    licence: str | None = None,
    card: str | None = None,
) -> Report:
    if precision not in PRECISIONS:
        raise InputError(f"unknown precision '{precision}'; choose one of {', '.join(PRECISIONS)}")
    facts = _facts(checkpoint, precision, flavour, name, licence, card)
    proto = onnx_graph.build_onnx(checkpoint.model, facts, BUILD[precision])
    with replacing(out) as temporary:
        onnx.save(proto, temporary)
        report = validate(temporary, checkpoint.model)
    return replace(report, path=out)


def _facts(
    checkpoint: Checkpoint,
    precision: str,
    flavour: str,
    name: str | None,
    licence: str | None,
    card: str | None,
) -> ModelFacts:
    published = published_name(checkpoint.sha256)
    if published:
        known_card = f"Published TESSERA v2 student {published}, CC0."
    else:
        known_card = (
            f"Made from the checkpoint '{checkpoint.name}', which is not a recognised published TESSERA "
            "checkpoint: what it was trained on is not known."
        )
    config = checkpoint.config
    quantization = QUANTIZATION[precision]
    if precision == "int8" and config.generation != "v2":
        quantization += int8.RECURRENCE
    if flavour:
        known_card += f" Its statistics are those of {SOURCES[flavour]}: scenes have to come from there."
    return ModelFacts(
        name=_checked_name(name or _default_name(checkpoint, flavour)),
        size=size_name(config),
        precision=precision,
        latent_dim=config.latent_dim,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        ffn_dim=config.ffn_dim,
        qk_norm=config.qk_norm,
        dims=config.dims,
        prefixes=config.prefixes,
        s2_bands=S2_BANDS,
        s1_bands=S1_BANDS,
        **asdict(FLAVOURS[config.generation][flavour]),
        quantization=quantization,
        checkpoint_name=checkpoint.name,
        checkpoint_sha256=checkpoint.sha256,
        licence=licence or ("CC0-1.0" if published else "unknown"),
        card=card or known_card,
    )
