"""v1 checkpoints: both state keys, prefixes and stray keys, and shapes that follow from the weights."""

from __future__ import annotations

import conformance
import pytest
import torch

from tessera_engine.errors import ModelError
from tessera_export.checkpoint import load_checkpoint, size_name
from tessera_export.reference import SIZES, ReferenceConfig

SHAPES = {
    "v1_1_tiny": ReferenceConfig(8, 2, 4, 48, prefixes=(128,), generation="v1.1"),
    "v1_0_tiny": ReferenceConfig(8, 2, 4, 64, dims=8, prefixes=(8,), generation="v1.0"),
}
LAST = "_orig_mod.dim_reducer.4.weight"


def published(name: str = "v1_1_tiny") -> dict:
    return torch.load(conformance.checkpoint(name), weights_only=True)


def loaded(content: object, folder):
    path = folder / "model.pt"
    torch.save(content, path)
    return load_checkpoint(path)


@pytest.mark.parametrize("name", SHAPES)
def test_loads_a_published_checkpoint(name):
    found = load_checkpoint(conformance.checkpoint(name))
    assert found.config == SHAPES[name]
    assert not found.model.training
    assert size_name(found.config) == "custom"
    content = published(name)
    state = content.get("model_state") or content["model_state_dict"]
    for key, value in found.model.state_dict().items():
        original = state.get(key, state.get(f"_orig_mod.{key}"))
        assert torch.equal(value, original[: len(value)]), key
        assert key.startswith("dim_reducer.4") or len(value) == len(original)


@pytest.mark.parametrize("size", ["v1.1", "v1.0"])
def test_recognises_published_sizes(size):
    assert size_name(SIZES[size]) == size


def test_another_state_key_without_prefix_and_config_is_the_same_model(tmp_path):
    content = published()
    state = {key.removeprefix("_orig_mod."): value for key, value in content["model_state"].items()}
    state["segmented_matryoshka_projector.0.weight"] = torch.zeros(3)
    again = loaded({"model_state_dict": state, "optimizer": {"lr": 0.1}}, tmp_path)
    original = load_checkpoint(conformance.checkpoint("v1_1_tiny"))
    assert again.config == original.config
    for key, value in original.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[key], value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.update(model_state=[1]), "its weights are a list"),
        (lambda c: c["model_state"].clear(), "no weight 's2_backbone.attn_pool.temporal_context"),
        (lambda c: c["model_state"].pop(LAST.replace("weight", "bias")), "'dim_reducer.4.bias' is missing"),
        (lambda c: c["model_state"].pop("_orig_mod.s1_backbone.attn_pool.layer_norm.bias"), "lacks weight"),
        (lambda c: c["model_state"].update({"_orig_mod.extra": torch.zeros(2)}), "unexpected weight 'extra'"),
        (
            lambda c: c["model_state"].update({LAST: torch.zeros(192, 3)}),
            "the other weights describe (128, 128)",
        ),
        (lambda c: c["model_state"].update({LAST: 3}), "is a int without rows"),
        (lambda c: c["model_state"][LAST].fill_(torch.nan), "not finite"),
        (lambda c: c["config"].update(s2_num_heads=5, s1_num_heads=5), "multiple of 4 and of its 5 heads"),
        (lambda c: c["config"].update(s2_num_heads="4", s1_num_heads="4"), "expected an integer"),
        (lambda c: c["config"].update(s1_num_heads=2), "'s1_num_heads' is '2', expected 4"),
        (lambda c: c["config"].update(fusion_method="sum"), "'fusion_method' is 'sum', expected 'concat'"),
        (lambda c: c["config"].update(save_embedding_dim=64), "'save_embedding_dim' is '64'"),
    ],
)
def test_what_is_no_published_network_is_refused(tmp_path, change, said):
    content = published()
    change(content)
    with pytest.raises(ModelError) as error:
        loaded(content, tmp_path)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400
