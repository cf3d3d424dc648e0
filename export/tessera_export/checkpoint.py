"""Checkpoints in the published formats: read without trusting them, and written completely or not at all.

A v2 checkpoint is a torch file `{"args": {...}, "model": state_dict}`; for v1 see `checkpoint_v1`. Torch files are
pickles, and a pickle can run code. They are opened with `weights_only=True` only, which refuses a hostile file before
anything in it runs.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from tessera_engine.errors import ModelError
from tessera_engine.files.result import result_file
from tessera_export.checkpoint_v1 import is_v1, read_v1
from tessera_export.reference import SIZES, Reference, ReferenceConfig

MAX_BYTES = 1 << 32
"""A v1 checkpoint may also contain its projectors and its optimiser. Larger files are not read into memory."""

MAX_TOKENS = 256
"""`max_seq_len` of every v2 student: the largest bin of the token rules."""

LARGEST = {"latent_dim": 1024, "num_layers": 64, "nhead": 64, "dim_feedforward": 16384, "repr_dim": 4096}
"""Largest plausible value of each integer in `args`."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that has been read and checked.

    Attributes:
        model: the network on the CPU, in eval mode.
        config: its shape.
        name: the file's name.
        sha256: of the file's bytes, hex.
    """

    model: Reference
    config: ReferenceConfig
    name: str
    sha256: str


def size_name(config: ReferenceConfig) -> str:
    """The name of a published shape (nano, small, medium, large, v1.1 or v1.0), or custom."""
    return next((name for name, size in SIZES.items() if size == config), "custom")


def load_checkpoint(path: Path | str) -> Checkpoint:
    """Read the checkpoint of a v2 student or a v1 model.

    Nothing in the file is run, and the weights take no more memory than the file's size.

    Raises:
        ModelError: the file can't be read, it is not such a checkpoint, its `args` are not plausible, or its weights
            have other shapes than `args` describe.
    """
    path = Path(path)
    data = _read(path)
    content = unpickle(io.BytesIO(data), path)
    if isinstance(content, dict) and is_v1(content):
        config, weights = read_v1(content, path)
        described_by = "the other weights"
    elif isinstance(content, dict) and {"args", "model"} <= content.keys():
        config, weights = _config(content["args"], path), content["model"]
        described_by = "'args'"
    elif isinstance(content, dict) and "encoder_state_dict" in content:
        raise ModelError(
            f"{path} is a TESSERA teacher, which can be distilled from (tessera-engine distil --teacher) but not run "
            "or exported; use a student"
        )
    else:
        found = _short(list(content)) if isinstance(content, dict) else f"a {type(content).__name__}"
        raise ModelError(
            f"{path} contains {found}, expected a v2 checkpoint with 'args' and 'model', or a v1 checkpoint"
        )
    with torch.device("meta"):  # only shapes; the weights come from the file
        model = Reference(config)
    weights = checked_weights(weights, model.state_dict(), described_by, path)
    model.load_state_dict(weights, assign=True)
    return Checkpoint(model.eval(), config, path.name, hashlib.sha256(data).hexdigest())


def save_checkpoint(model: Reference, path: Path | str, overwrite: bool = True) -> None:
    """Write a network in the published v2 format. `path` appears complete or not at all.

    Args:
        model: the network.
        path: the file.
        overwrite: replace an existing file.

    Raises:
        InputError: there is a file already, and `overwrite` is False; or the place can't be written.
        OSError: the file can't be written.
    """
    with result_file(Path(path), overwrite, identity={}) as made:
        write_checkpoint(model, made)


def write_checkpoint(model: Reference, path: Path) -> None:
    """Write a network in the published v2 format into a file that gets its name later.

    Raises:
        OSError: the file can't be written.
    """
    config = model.config
    args = {
        "repr_dim": config.dims,
        "latent_dim": config.latent_dim,
        "num_layers": config.num_layers,
        "nhead": config.num_heads,
        "dim_feedforward": config.ffn_dim,
        "max_seq_len": MAX_TOKENS,
        "matryoshka_dims": ",".join(map(str, config.prefixes)),
        "enable_qk_norm": config.qk_norm,
    }
    weights = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    # Given a path, torch would write the path's name into the file: equal weights would give different bytes
    with path.open("wb") as file:
        save(file, {"args": args, "model": weights})


def save(file: BinaryIO, content: dict[str, Any]) -> None:
    """Write into an open file in torch's format.

    Raises:
        OSError: the disk failed, also where torch hides that behind an error of its own.
    """
    try:
        torch.save(content, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ModelError(
                f"{path} has {size:,} bytes, more than a checkpoint may have ({MAX_BYTES:,}); use a student"
            )
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"can't read the checkpoint {path}: {error.strerror}") from None


def unpickle(source: io.BytesIO | Path, path: Path) -> Any:
    """The content of a torch file, which may consist of tensors and plain values only.

    Args:
        source: the file's bytes; or the file itself, so that its tensors stay on the disk until they are used.
        path: the file, for messages.

    Raises:
        ModelError: the file contains anything else, or can't be read.
    """
    on_disk = isinstance(source, Path)
    size = source.stat().st_size if isinstance(source, Path) else len(source.getbuffer())
    try:
        with zipfile.ZipFile(source) as archive:
            # torch does not compress its records. A compressed one could fill the memory
            records = archive.infolist()
            compressed = any(record.compress_type != zipfile.ZIP_STORED for record in records)
            if compressed or sum(record.file_size for record in records) > size:
                raise ModelError(
                    f"{path} has compressed records, which no torch checkpoint has; it is not opened"
                )
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        raise ModelError(
            f"{path} is not a torch checkpoint (a zip file), or it is incomplete; get the file again"
        ) from None
    try:
        if not isinstance(source, Path):
            source.seek(0)
        return torch.load(source, map_location="cpu", weights_only=True, mmap=on_disk)
    except Exception as error:  # torch raises exceptions of many kinds for a broken file
        refused = re.search(r"GLOBAL ([\w.]+)", str(error))
        if refused:
            raise ModelError(
                f"{path} would run '{refused[1]}' when opened, but a checkpoint has only tensors and plain values; "
                "it is not opened, and other tools should not open it either"
            ) from None
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{path} can't be read as a torch checkpoint: {_short(first_line)}") from None


def _config(args: Any, path: Path) -> ReferenceConfig:
    """The shape that `args` describe, checked to be plausible."""
    if not isinstance(args, Mapping):
        raise ModelError(f"{path}: 'args' is a {type(args).__name__}, expected a dict of the model's shape")
    needed = (*LARGEST, "max_seq_len", "matryoshka_dims", "enable_qk_norm")
    missing = [key for key in needed if key not in args]
    if missing:
        raise ModelError(
            f"{path}: 'args' has no {', '.join(missing)}; a v2 checkpoint has {', '.join(needed)}"
        )

    def wrong(key: str, expected: str) -> ModelError:
        return ModelError(f"{path}: args '{key}' is {_short(args[key])}, expected {expected}")

    for key, largest in LARGEST.items():
        if type(args[key]) is not int or not 1 <= args[key] <= largest:
            raise wrong(key, f"an integer 1..{largest}")
    if 4 * args["latent_dim"] % args["nhead"]:
        raise wrong("nhead", f"a divisor of 4 * latent_dim = {4 * args['latent_dim']}")
    if type(args["max_seq_len"]) is not int or args["max_seq_len"] != MAX_TOKENS:
        raise wrong("max_seq_len", f"{MAX_TOKENS}, the longest year of the v2 token rules")
    if type(args["enable_qk_norm"]) is not bool:
        raise wrong("enable_qk_norm", "True or False")
    prefixes = _prefixes(args["matryoshka_dims"])
    if not prefixes or prefixes[-1] != args["repr_dim"]:
        raise wrong(
            "matryoshka_dims", f"ascending lengths separated by commas, up to repr_dim {args['repr_dim']}"
        )
    return ReferenceConfig(
        latent_dim=args["latent_dim"],
        num_layers=args["num_layers"],
        num_heads=args["nhead"],
        ffn_dim=args["dim_feedforward"],
        dims=args["repr_dim"],
        prefixes=prefixes,
        qk_norm=args["enable_qk_norm"],
    )


def _prefixes(text: Any) -> tuple[int, ...]:
    """`16,32,64,128` as numbers; empty if the text is not a list of ascending positive integers."""
    if not isinstance(text, str) or not re.fullmatch(r"\s*\d{1,6}\s*(,\s*\d{1,6}\s*)*", text):
        return ()
    prefixes = tuple(int(part) for part in text.split(","))
    rising = all(low < high for low, high in zip((0, *prefixes), prefixes, strict=False))
    return prefixes if rising else ()


def checked_weights(
    weights: Any, expected: Mapping[str, Tensor], described_by: str, path: Path
) -> dict[str, Tensor]:
    """The weights, in the order of `expected`, after checking that they are exactly those.

    Args:
        weights: from the file.
        expected: a tensor of the right shape for each weight.
        described_by: which part of the file describes the shape, for messages.
        path: the file, for messages.

    Raises:
        ModelError: they are not.
    """
    if not isinstance(weights, Mapping):
        raise ModelError(f"{path}: 'model' is a {type(weights).__name__}, expected a dict of tensors")
    for what, keys in (
        ("lacks", [key for key in expected if key not in weights]),
        ("has the unexpected", [key for key in weights if key not in expected]),
    ):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise ModelError(
                f"{path} {what} weight {_short(keys[0])}{more}: {described_by} describe another network"
            )
    for key, meta in expected.items():
        value = weights[key]
        kind = _kind(value)
        if kind != "dense torch.float32":
            raise ModelError(f"{path}: weight '{key}' is {kind}, expected dense torch.float32")
        if value.shape != meta.shape:
            raise ModelError(
                f"{path}: weight '{key}' has shape {tuple(value.shape)}, {described_by} describe {tuple(meta.shape)}"
            )
        # A view that repeats its numbers could be much larger than the file
        if not value.is_contiguous():
            raise ModelError(f"{path}: weight '{key}' is not stored contiguously; save the checkpoint again")
        if not bool(torch.isfinite(value).all()):
            raise ModelError(f"{path}: weight '{key}' has values that are not finite; train again")
    return {key: weights[key] for key in expected}


def _kind(value: Any) -> str:
    """Layout and dtype of a tensor with values, or a description of what it is instead."""
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    if value.device.type != "cpu":
        return f"a tensor on device '{value.device}'"
    return f"{'dense' if value.layout == torch.strided else value.layout} {value.dtype}"


def _short(value: Any) -> str:
    """A value from an untrusted file, shortened for a message of one line."""
    return " ".join(repr(value).split())[:120]
