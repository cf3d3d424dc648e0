"""The content of a v1 checkpoint: weights under one of two keys, and not always a description of the shape.

It also has the weights of the projectors of training, which are left out. The shape follows from the weights
themselves, except for the number of attention heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from tessera_engine.errors import ModelError
from tessera_engine.model.facts import LARGEST
from tessera_export.reference import ReferenceConfig

STATE_KEYS = ("model_state", "model_state_dict")
"""A v1 checkpoint keeps its weights under one of these."""

PREFIX = "_orig_mod."
"""Compiled modules put it before their keys."""

IGNORED = ("projector.", "segmented_matryoshka_projector.")
"""Prefixes of weights that only training needs."""

SAVED_DIMS = 128
"""The published embeddings are the first 128 of the 192 dimensions that v1.1 computes."""

HEADS = 4
"""Attention heads of both published v1 models. The weights don't show the number."""

BACKBONE = "s2_backbone"
LAYER = f"{BACKBONE}.transformer_encoder.layers"


def is_v1(content: Mapping[Any, Any]) -> bool:
    """Whether the content of a checkpoint has the layout of v1."""
    return any(key in content for key in STATE_KEYS)


def read_v1(content: Mapping[Any, Any], path: Path) -> tuple[ReferenceConfig, dict[str, Any]]:
    """The shape of a v1 network, and its weights by the names of the reference, cut to the published dimensions.

    Args:
        content: what the checkpoint contains.
        path: the checkpoint, for messages.

    Raises:
        ModelError: it is not a v1 network, or not one built like the published ones.
    """
    state = content[next(key for key in STATE_KEYS if key in content)]
    if not isinstance(state, Mapping) or not all(isinstance(key, str) for key in state):
        raise ModelError(f"{path}: its weights are a {type(state).__name__}, expected a dict of tensors")
    weights = {
        key.removeprefix(PREFIX): value
        for key, value in state.items()
        if not key.removeprefix(PREFIX).startswith(IGNORED)
    }
    recurrent = f"{BACKBONE}.attn_pool.temporal_context.gru_cell.W_hr.weight"
    if recurrent not in weights:
        raise ModelError(
            f"{path} has no weight '{recurrent}': it is not a known v1 model, or it is incomplete"
        )
    layers = 0
    while f"{LAYER}.{layers}.linear1.weight" in weights:
        layers += 1
    generation, last = (
        ("v1.1", "dim_reducer.4") if "dim_reducer.4.weight" in weights else ("v1.0", "dim_reducer.0")
    )
    dims = min(_rows(weights, f"{last}.weight", path), SAVED_DIMS)
    width = _rows(weights, f"{BACKBONE}.embedding.0.weight", path)
    config = ReferenceConfig(
        latent_dim=width // 4,
        num_layers=layers,
        num_heads=_heads(content.get("config"), path),
        ffn_dim=_rows(weights, f"{LAYER}.0.linear1.weight", path),
        dims=dims,
        prefixes=(dims,),
        generation=generation,
    )
    for name, largest in LARGEST.items():
        if not 1 <= getattr(config, name) <= largest:
            raise ModelError(f"{path}: its {name} is {getattr(config, name)}, expected 1..{largest}")
    if width % 4 or width % config.num_heads:
        raise ModelError(
            f"{path}: its width is {width}, expected a multiple of 4 and of its {config.num_heads} heads"
        )
    for part in ("weight", "bias"):
        _rows(weights, f"{last}.{part}", path)
        weights[f"{last}.{part}"] = weights[f"{last}.{part}"][:dims]
    return config, weights


def _rows(weights: Mapping[str, Any], key: str, path: Path) -> int:
    """Length of the first axis of a weight."""
    value = weights.get(key)
    if not isinstance(value, Tensor) or value.dim() < 1:
        found = "is missing" if value is None else f"is a {type(value).__name__} without rows"
        raise ModelError(f"{path}: weight '{key}' {found}, expected a tensor; get the checkpoint again")
    return int(value.shape[0])


def _heads(config: Any, path: Path) -> int:
    """The number of attention heads, after checking that `config` describes a network like the published ones."""
    if not isinstance(config, Mapping):
        return HEADS
    heads = config.get("s2_num_heads", HEADS)
    expected = {
        "s1_num_heads": heads,
        "fusion_method": "concat",
        "use_s2": True,
        "use_s1": True,
        "split_s1_modalities": False,
        "disable_s1_ascending": False,
        "save_embedding_dim": SAVED_DIMS,
    }
    for key, value in expected.items():
        if config.get(key, value) != value:
            raise ModelError(
                f"{path}: config '{key}' is {str(config[key])[:40]!r}, expected {value!r} as in the published models"
            )
    if type(heads) is not int:
        raise ModelError(f"{path}: config 's2_num_heads' is {str(heads)[:40]!r}, expected an integer")
    return heads
