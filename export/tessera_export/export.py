"""From a checkpoint to a model file, which is validated before it gets its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import onnx

from tessera_engine.errors import InputError, ModelError
from tessera_engine.files.endings import check_ending
from tessera_engine.files.nearby import no_such_folder, unknown
from tessera_engine.files.result import check_free, result_file
from tessera_engine.model.drift import Drift
from tessera_engine.model.facts import ModelFacts
from tessera_engine.model.file import read_model_file
from tessera_engine.model.installed import open_model
from tessera_engine.model.installing import checked_name, installing, is_installed, target_file
from tessera_engine.model.published import published_name
from tessera_engine.model.statistics import FLAVOURS
from tessera_engine.scene import S1_BANDS, S2_BANDS
from tessera_export import int8
from tessera_export.bias_correction import corrected_weights, simulated_pixels
from tessera_export.checkpoint import Checkpoint, load_checkpoint, size_name
from tessera_export.flavour import SOURCES, flavour_for
from tessera_export.gpu_files import qdq
from tessera_export.gpu_files.build import build_calibrated, build_half
from tessera_export.onnx_builder import FLOAT32
from tessera_export.onnx_graph import build_onnx, load_network
from tessera_export.reference import Reference
from tessera_export.validate import Report, validate

CPU_PRECISIONS = ("fp32", "int8")
"""The precisions of an imported model."""

ASKED = ("fp32", "fp16", "int8")
"""What `precision=` takes."""

TARGETS = ("onnx", "tensorrt")
"""What int8 can be made for. The other precisions are the same for both."""

QUANTIZATION = {
    "fp32": "none",
    "int8": int8.DESCRIPTION,
    "fp16": "tokens and their weights float16; pooling, recurrence and fusion float32",
    "qdq": qdq.DESCRIPTION,
}


@dataclass(frozen=True)
class Description:
    """What a model file says about its model.

    Attributes:
        name: the model's name. Default: its size, or the checkpoint's name if its size has no name.
        licence: of the weights. Default: that of a published checkpoint, or `unknown`.
        card: what the model is, what it was trained on, what it is not. Default: whether it is a published checkpoint.
    """

    name: str | None = None
    licence: str | None = None
    card: str | None = None


@dataclass(frozen=True)
class Source:
    """What model files are made from.

    Attributes:
        network: in eval mode.
        facts: the facts of its fp32 model file.
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
    description: Description = Description(),
    overwrite: bool = False,
) -> Report:
    """Export a checkpoint to one model file, which gets its name only after it has been validated.

    Args:
        checkpoint: checkpoint of a v2 student or a v1 model; or an fp32 model file, or the name of a model.
        out: the model file to write.
        precision: fp32, fp16 or int8.
        target: what int8 is made for: `onnx`, with a scale per token, for CPUs; or `tensorrt`, with explicit Q/DQ.
        calibrate: scenes to calibrate int8 for `tensorrt` on.
        statistics: the flavour of a v1.1 checkpoint: `mpc` or `aws`, the data it was trained on. None for all others.
        description: what the file says about the model.
        overwrite: replace an existing file.

    Raises:
        InputError: unknown precision, target or statistics, an invalid name, no scene to calibrate on or one that
            can't be read, `out` exists already or its folder doesn't.
        ModelError: the checkpoint can't be used.
        CheckFailed: the file did not pass its validation; it is removed.
    """
    out = Path(out)
    check_ending("out", out, [".onnx"], "a model file")
    check_free(out, overwrite)
    if not out.absolute().parent.is_dir():
        raise no_such_folder(out.parent)
    written = _written_precision(precision, target, calibrate)
    source = open_source(checkpoint, statistics, description)
    with result_file(out, overwrite, _identity(source, written, calibrate)) as made:
        report = _export(source, made, written, calibrate)
    return replace(report, path=out)


def import_checkpoint(
    checkpoint: Path | str,
    name: str | None = None,
    overwrite: bool = False,
    statistics: str | None = None,
) -> list[Report]:
    """Make the model files of a checkpoint, one for each precision, in the folder where the engine finds them by name.

    Args:
        checkpoint: checkpoint of a v2 student or a v1 model.
        name: the model's name. Default: as in `Description`.
        overwrite: replace an imported model of that name.
        statistics: as in `export_model`.

    Raises:
        InputError: unknown statistics, or a name that is invalid or taken.
        ModelError: the checkpoint can't be used.
        CheckFailed: a file did not pass its validation; it is removed.
    """
    loaded = load_checkpoint(checkpoint)
    source = Source(loaded.model, _facts(loaded, flavour_for(loaded, statistics), Description(name)))
    targets = import_targets(source.facts.name, overwrite)
    reports = []
    for precision, target in targets.items():
        again = overwrite or _is_of(target, source.facts)
        with installing(target, again, _identity(source, precision)) as made:
            report = _export(source, made, precision)
        reports.append(replace(report, path=target))
    return reports


def _is_of(target: Path, facts: ModelFacts) -> bool:
    """Whether a model file was made from the checkpoint of these facts, by an import that was interrupted."""
    if not target.exists():
        return False
    try:
        return read_model_file(target).facts.checkpoint_sha256 == facts.checkpoint_sha256
    except ModelError:
        return False


def _identity(source: Source, precision: str, calibrate: Sequence[Path] = ()) -> dict[str, str]:
    """What a model file depends on, for `tessera_engine.files.result`."""
    return {"facts": repr(source.facts), "precision": precision, "calibrate": repr(list(map(str, calibrate)))}


def import_targets(name: str, overwrite: bool = False) -> dict[str, Path]:
    """The files that an import under a name makes, by precision.

    Raises:
        InputError: the name is invalid or taken.
    """
    targets = {precision: target_file(name, precision) for precision in CPU_PRECISIONS}
    # An import that was interrupted has made some of them, and the checksum of the last one at the end
    if all(map(is_installed, targets.values())):
        for target in targets.values():
            check_free(target, overwrite)
    return targets


def _default_name(checkpoint: Checkpoint, flavour: str) -> str:
    size = size_name(checkpoint.config)
    if size == "custom":
        return Path(checkpoint.name).stem
    return f"{size}-{flavour}" if flavour else size


def _written_precision(precision: str, target: str, calibrate: Sequence[Path]) -> str:
    """The name of the precision in the facts of the file."""
    if precision not in ASKED:
        raise unknown("precision", precision, ASKED)
    if target not in TARGETS:
        raise unknown("target", target, TARGETS)
    quantized = precision == "int8" and target == "tensorrt"
    if calibrate and not quantized:
        raise InputError("calibrate= is only for precision=int8 with target=tensorrt; omit it")
    if quantized and not calibrate:
        raise InputError(
            "int8 for TensorRT has fixed scales, which are found on real pixels: give scenes similar to those to embed "
            "as calibrate="
        )
    return "qdq" if quantized else precision


def open_source(
    checkpoint: Path | str, statistics: str | None = None, description: Description = Description()
) -> Source:
    """Load what model files are made from; arguments and errors are those of `export_model`."""
    path = Path(checkpoint)
    if path.suffix != ".onnx" and (path.suffix == ".pt" or path.is_file()):
        loaded = load_checkpoint(path)
        return Source(loaded.model, _facts(loaded, flavour_for(loaded, statistics), description))
    if statistics is not None:
        raise InputError(f"statistics={statistics} is for checkpoints; the model {checkpoint} has its own")
    file = open_model(str(checkpoint), "fp32")
    facts = replace(
        file.facts,
        name=checked_name(description.name or file.facts.name),
        licence=description.licence or file.facts.licence,
        card=description.card or file.facts.card,
    )
    return Source(load_network(file.path), facts)


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
    elif precision == "int8":
        facts = replace(facts, format_version=int8.FORMAT_VERSION)
        weights = corrected_weights(source.network, simulated_pixels(facts))
        proto = build_onnx(source.network, facts, int8.INT8, weights)
    else:
        proto = build_onnx(source.network, facts, FLOAT32)
    onnx.save(proto, out)
    return replace(validate(out, source.network), calibration=drifts)


def _facts(checkpoint: Checkpoint, flavour: str, description: Description) -> ModelFacts:
    """The facts of a checkpoint's fp32 model file."""
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
        name=checked_name(description.name or _default_name(checkpoint, flavour)),
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
        licence=description.licence or ("CC0-1.0" if published else "unknown"),
        card=description.card or known_card,
    )
