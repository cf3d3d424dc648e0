"""From a checkpoint to a model file that was validated before it got its name."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from pathlib import Path

import onnx

from tessera_engine.errors import InputError
from tessera_engine.model_file import PRECISIONS, ModelFacts
from tessera_engine.model_store import HOME_VARIABLE, file_name, packaged_folder, user_folder
from tessera_engine.scene import S1_BANDS, S2_BANDS
from tessera_engine.statistics import V2_STATISTICS
from tessera_export import int8, onnx_graph
from tessera_export.checkpoint import Checkpoint, load_checkpoint, replacing, size_name
from tessera_export.validate import Report, validate

PUBLISHED = {
    "bc9929e3643dfab2744c2ce14e7c14f698703a94e9562e4e0982f9d6540b0691": "nano",
    "92619d4ffc2936895f145fdcf710140b58c23c860e02f01873828b10c6958d95": "small",
    "3823be7db9d9cfc93f3c2a47c7699be82821ab4e1117d4d2befdb746941ee96e": "medium",
    "b5f20239dbb1849c01a3e407b095aafe39b0bf764300206af78cb9b85f9ec1e1": "large",
}
"""sha256 -> size of the published v2 students (Hugging Face, geotessera/TESSERA-V-2.0-2B-{N,S,M,L})."""

LINEAR = {"fp32": onnx_graph.linear, "int8": int8.linear}
QUANTIZATION = {"fp32": "none", "int8": int8.DESCRIPTION}


def export_model(
    checkpoint: Path | str,
    out: Path | str,
    precision: str,
    *,
    name: str | None = None,
    licence: str | None = None,
    card: str | None = None,
    overwrite: bool = False,
) -> Report:
    """Turn a checkpoint into one model file, which appears under its name only after it was validated.

    Args:
        checkpoint: a v2 student's checkpoint.
        out: the model file to write.
        precision: fp32 or int8.
        name: the model's name in the file; default: its size, or the checkpoint's name for a size of its own.
        licence: of the weights; default: what is known about a published checkpoint, else `unknown`.
        card: what it is, what it was trained on, what it is not; default: whether it is a published checkpoint.
        overwrite: replace the file if it is there.

    Raises:
        InputError: unknown precision, unusable name, `out` is there already or can't be written.
        ModelError: the checkpoint can't be used.
        CheckFailed: the file made is not as promised; nothing is left of it.
    """
    out = Path(out)
    _check_target(out, overwrite)
    return _export(load_checkpoint(checkpoint), out, precision, name, licence, card)


def import_checkpoint(
    checkpoint: Path | str, name: str | None = None, overwrite: bool = False
) -> list[Report]:
    """Make a checkpoint's model files, one a precision, where the engine finds them by name.

    Args:
        checkpoint: a v2 student's checkpoint.
        name: name to use it by; default as in `export_model`.
        overwrite: replace an imported model of that name.

    Raises:
        InputError: unusable name, or one that is taken.
        ModelError: the checkpoint can't be used.
        CheckFailed: a file made is not as promised; nothing is left of it.
    """
    loaded = load_checkpoint(checkpoint)
    name = _checked_name(name or _default_name(loaded))
    targets = {precision: user_folder() / file_name(name, precision) for precision in PRECISIONS}
    for target in targets.values():
        if (packaged_folder() / target.name).exists():
            raise InputError(f"'{name}' is a model of the package itself; import it with another --name")
        _check_target(target, overwrite)
    try:
        user_folder().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"can't make the folder {user_folder()}: {error.strerror}; set {HOME_VARIABLE} to another folder"
        ) from None
    return [_export(loaded, target, precision, name) for precision, target in targets.items()]


def _check_target(out: Path, overwrite: bool) -> None:
    if out.exists() and not overwrite:
        raise InputError(f"{out} is there already; add --overwrite or choose another name")


def _checked_name(name: str) -> str:
    if not re.fullmatch(r"\w[\w.-]*", name, re.ASCII):
        raise InputError(f"'{name}' can't be a model's name; use letters, digits, '.', '_' and '-'")
    return name


def _default_name(checkpoint: Checkpoint) -> str:
    size = size_name(checkpoint.config)
    return Path(checkpoint.name).stem if size == "custom" else size


def _export(
    checkpoint: Checkpoint,
    out: Path,
    precision: str,
    name: str | None = None,
    licence: str | None = None,
    card: str | None = None,
) -> Report:
    if precision not in PRECISIONS:
        raise InputError(f"unknown precision '{precision}'; choose one of {', '.join(PRECISIONS)}")
    facts = _facts(checkpoint, precision, name, licence, card)
    proto = onnx_graph.build_onnx(checkpoint.model, facts, LINEAR[precision])
    with replacing(out) as temporary:
        onnx.save(proto, temporary)
        report = validate(temporary, checkpoint.model)
    return replace(report, path=out)


def _facts(
    checkpoint: Checkpoint, precision: str, name: str | None, licence: str | None, card: str | None
) -> ModelFacts:
    published = PUBLISHED.get(checkpoint.sha256)
    if published:
        known_card = f"Published TESSERA v2 student {published}, CC0."
    else:
        known_card = (
            f"Made from the checkpoint '{checkpoint.name}', which is not a recognised published TESSERA "
            "checkpoint: what it was trained on is not known."
        )
    config = checkpoint.config
    return ModelFacts(
        name=_checked_name(name or _default_name(checkpoint)),
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
        **asdict(V2_STATISTICS),
        quantization=QUANTIZATION[precision],
        checkpoint_name=checkpoint.name,
        checkpoint_sha256=checkpoint.sha256,
        licence=licence or ("CC0-1.0" if published else "unknown"),
        card=card or known_card,
    )
