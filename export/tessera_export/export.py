"""From a checkpoint to a model file that was validated before it got its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import onnx

from tessera_engine.errors import InputError
from tessera_engine.files.user_folders import HOME_VARIABLE
from tessera_engine.model.drift import Drift
from tessera_engine.model.facts import NAME, ModelFacts
from tessera_engine.model.installed import (
    checksum_file,
    file_name,
    open_model,
    packaged_folder,
    record_checksum,
    user_folder,
)
from tessera_engine.model.published import published_name
from tessera_engine.model.statistics import FLAVOURS
from tessera_engine.scene import S1_BANDS, S2_BANDS
from tessera_export import int8, onnx_graph
from tessera_export.checkpoint import Checkpoint, load_checkpoint, replacing, size_name
from tessera_export.flavour import SOURCES, flavour_for
from tessera_export.gpu_files import qdq
from tessera_export.gpu_files.build import build_calibrated, build_half
from tessera_export.reference import Reference
from tessera_export.validate import Report, validate

BUILD = {"fp32": onnx_graph.FLOAT32, "int8": int8.INT8}
CPU_PRECISIONS = tuple(BUILD)
"""What a model is imported as."""

ASKED = ("fp32", "fp16", "int8")
TARGETS = ("onnx", "tensorrt")
"""What int8 is for; the other precisions are the same for both."""

QUANTIZATION = {
    "fp32": "none",
    "int8": int8.DESCRIPTION,
    "fp16": "tokens and their weights float16; pooling, recurrence and fusion float32",
    "qdq": qdq.DESCRIPTION,
}


@dataclass(frozen=True)
class Source:
    """What model files are made of.

    Attributes:
        network: in eval mode.
        facts: of its fp32 model file.
    """

    network: Reference
    facts: ModelFacts


def export_model(
    checkpoint: Path | str,
    out: Path | str,
    precision: str,
    *,
    target: str = "onnx",
    calibrate: Sequence[Path] = (),
    statistics: str | None = None,
    name: str | None = None,
    licence: str | None = None,
    card: str | None = None,
    overwrite: bool = False,
) -> Report:
    """Turn a checkpoint into one model file, which appears under its name only after it was validated.

    Args:
        checkpoint: of a v2 student or a v1 model; or an fp32 model file, or the name of a model on this machine.
        out: the model file to write.
        precision: fp32, fp16 or int8.
        target: what int8 is for: `onnx`, with a scale a token, for CPUs; or `tensorrt`, with explicit Q/DQ.
        calibrate: scenes that the scales of the latter are found on.
        statistics: the flavour of a v1.1 checkpoint, `mpc` or `aws`: what it was trained on. None for all others.
        name: the model's name in the file; default: its size, or the checkpoint's name for a size of its own.
        licence: of the weights; default: what is known about a published checkpoint, else `unknown`.
        card: what it is, what it was trained on, what it is not; default: whether it is a published checkpoint.
        overwrite: replace the file if it is there.

    Raises:
        InputError: unknown precision, target or statistics, unusable name, a scene to calibrate on is missing or can't
            be read, `out` is there already or can't be written.
        ModelError: the checkpoint can't be used.
        CheckFailed: the file made is not as promised; nothing is left of it.
    """
    out = Path(out)
    _check_target(out, overwrite)
    written = _written_precision(precision, target, calibrate)
    source = _source(checkpoint, statistics, name, licence, card)
    return _export(source, out, written, calibrate)


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
    source = Source(loaded.model, _facts(loaded, flavour_for(loaded, statistics), name))
    targets = import_targets(source.facts.name, overwrite)
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
        reports.append(_export(source, target, precision))
        record_checksum(target)
    return reports


def import_targets(name: str, overwrite: bool = False) -> dict[str, Path]:
    """The files that importing a checkpoint by a name will make, by precision.

    Raises:
        InputError: unusable name, or one that is taken.
    """
    targets = {
        precision: user_folder() / file_name(_checked_name(name), precision) for precision in CPU_PRECISIONS
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


def _written_precision(precision: str, target: str, calibrate: Sequence[Path]) -> str:
    """What the file's facts call it."""
    if precision not in ASKED:
        raise InputError(f"unknown precision '{precision}'; choose one of {', '.join(ASKED)}")
    if target not in TARGETS:
        raise InputError(f"unknown target '{target}'; choose one of {', '.join(TARGETS)}")
    quantized = precision == "int8" and target == "tensorrt"
    if calibrate and not quantized:
        raise InputError("only --precision int8 --target tensorrt is calibrated; leave --calibrate out")
    if quantized and not calibrate:
        raise InputError(
            "int8 for TensorRT has fixed scales, which have to be found on real pixels: add --calibrate SCENE, a scene "
            "like those to embed; repeat it for several"
        )
    return "qdq" if quantized else precision


def _source(
    checkpoint: Path | str, statistics: str | None, name: str | None, licence: str | None, card: str | None
) -> Source:
    path = Path(checkpoint)
    if path.suffix != ".onnx" and (path.suffix == ".pt" or path.is_file()):
        loaded = load_checkpoint(path)
        return Source(loaded.model, _facts(loaded, flavour_for(loaded, statistics), name, licence, card))
    if statistics is not None:
        raise InputError(f"--statistics is for checkpoints; the model {checkpoint} has its own")
    file = open_model(str(checkpoint), "fp32")
    facts = replace(
        file.facts,
        name=_checked_name(name or file.facts.name),
        licence=licence or file.facts.licence,
        card=card or file.facts.card,
    )
    return Source(onnx_graph.load_network(file.path), facts)


def _export(source: Source, out: Path, precision: str, calibrate: Sequence[Path] = ()) -> Report:
    facts = replace(source.facts, precision=precision, quantization=QUANTIZATION[precision])
    if precision == "int8" and facts.generation != "v2":
        facts = replace(facts, quantization=facts.quantization + int8.RECURRENCE)
    drifts: dict[str, Drift] = {}
    if precision == "fp16":
        proto = build_half(source.network, facts)
    elif precision == "qdq":
        calibrated = build_calibrated(source.network, facts, calibrate)
        proto, drifts = calibrated.model, calibrated.drifts
    else:
        proto = onnx_graph.build_onnx(source.network, facts, BUILD[precision])
    with replacing(out) as temporary:
        onnx.save(proto, temporary)
        report = validate(temporary, source.network)
    return replace(report, path=out, calibration=drifts)


def _facts(
    checkpoint: Checkpoint,
    flavour: str,
    name: str | None,
    licence: str | None = None,
    card: str | None = None,
) -> ModelFacts:
    """Of the fp32 model file."""
    published = published_name(checkpoint.sha256)
    if published:
        known_card = f"Published TESSERA v2 student {published}, CC0."
    else:
        known_card = (
            f"Made from the checkpoint '{checkpoint.name}', which is not a recognised published TESSERA "
            "checkpoint: what it was trained on is not known."
        )
    config = checkpoint.config
    if flavour:
        known_card += f" Its statistics are those of {SOURCES[flavour]}: scenes have to come from there."
    return ModelFacts(
        name=_checked_name(name or _default_name(checkpoint, flavour)),
        size=size_name(config),
        precision="fp32",
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
        quantization=QUANTIZATION["fp32"],
        checkpoint_name=checkpoint.name,
        checkpoint_sha256=checkpoint.sha256,
        licence=licence or ("CC0-1.0" if published else "unknown"),
        card=card or known_card,
    )
