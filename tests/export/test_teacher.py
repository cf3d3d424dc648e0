import conformance
import numpy as np
import pytest
import torch
from training_pixels import made_up_pixels

from tessera_engine.errors import InputError, ModelError
from tessera_engine.model.statistics import V1_1_AWS_STATISTICS, V2_STATISTICS, V2_TEACHER_STATISTICS
from tessera_export.checkpoint import load_checkpoint
from tessera_export.reference import ReferenceConfig
from tessera_export.teacher import TEACHER_2B, Teacher, is_teacher, load_teacher
from tessera_export.train.embedding import embed_tokens, open_teacher

SIBLING = ReferenceConfig(4, 2, 2, 24, dims=12, prefixes=(12,), qk_norm=True)


def write(path, arch=None, state=None):
    torch.manual_seed(0)
    model = Teacher(SIBLING)
    torch.nn.init.normal_(model.fusion_modality_embed)
    said = {"repr_dim": 12, "latent_dim": 4, "num_layers": 2, "nhead": 2, "dim_feedforward": 24}
    torch.save({"arch": said | (arch or {}), "encoder_state_dict": model.state_dict() | (state or {})}, path)
    return model.eval()


def test_the_published_size_has_the_published_parameters():
    with torch.device("meta"):
        model = Teacher(TEACHER_2B)
    assert sum(p.numel() for p in model.parameters()) == 2_064_266_242
    state = model.state_dict()
    assert len(state) == 199
    assert state["s2_backbone.transformer_encoder.layers.3.q_norm.weight"].shape == (1024,)
    assert state["fusion_transformer.layers.1.linear1.weight"].shape == (8192, 4096)
    assert state["fusion_modality_embed"].shape == (2, 4096)
    assert state["dim_reducer.4.weight"].shape == (1024, 16384)


def naive_layer(x, w, name, heads):
    """One pixel's tokens (T, d) through a pre-norm layer, head by head and token by token."""

    def linear(v, part):
        return v @ w[f"{name}.{part}.weight"].T + w[f"{name}.{part}.bias"]

    def layer_norm(v, part):
        v = (v - v.mean(-1, keepdims=True)) / np.sqrt(v.var(-1, keepdims=True) + 1e-5)
        return v * w[f"{name}.{part}.weight"] + w[f"{name}.{part}.bias"]

    def rms(v, part):
        return v / np.sqrt((v**2).mean() + np.finfo(np.float32).eps) * w[f"{name}.{part}.weight"]

    normed = layer_norm(x, "norm1")
    q, k, v = (linear(normed, part) for part in ("q_proj", "k_proj", "v_proj"))
    width = x.shape[1] // heads
    mixed = np.zeros_like(x)
    for head in range(heads):
        at = slice(head * width, (head + 1) * width)
        for i in range(len(x)):
            logits = np.array(
                [rms(q[i, at], "q_norm") @ rms(k[j, at], "k_norm") / width**0.5 for j in range(len(x))]
            )
            weights = np.exp(logits - logits.max())
            mixed[i, at] = weights / weights.sum() @ v[:, at]
    x = x + linear(mixed, "out_proj")
    return x + linear(np.maximum(linear(layer_norm(x, "norm2"), "linear1"), 0), "linear2")


def naive_teacher(w, s2, s1, heads=2):
    """One pixel: each modality is (values (T, C), days (T,))."""
    pooled = []
    for name, (values, doy) in (("s2_backbone", s2), ("s1_backbone", s1)):
        hidden = np.maximum(values @ w[f"{name}.embedding.0.weight"].T + w[f"{name}.embedding.0.bias"], 0)
        x = hidden @ w[f"{name}.embedding.2.weight"].T + w[f"{name}.embedding.2.bias"]
        d = x.shape[1]
        angle = doy[:, None] * 10000.0 ** (-np.arange(0, d, 2) / d)
        x[:, 0::2] += np.sin(angle)
        x[:, 1::2] += np.cos(angle)
        for layer in range(2):
            x = naive_layer(x, w, f"{name}.transformer_encoder.layers.{layer}", heads)
        logits = x @ w[f"{name}.attn_pool.query.weight"][0]
        weights = np.exp(logits - logits.max())
        pooled.append(weights / weights.sum() @ x)
    x = np.stack(pooled) + w["fusion_modality_embed"]
    for layer in range(2):
        x = naive_layer(x, w, f"fusion_transformer.layers.{layer}", heads)
    h = w["dim_reducer.0.weight"] @ x.ravel() + w["dim_reducer.0.bias"]
    h = (h - h.mean()) / np.sqrt(h.var() + 1e-5) * w["dim_reducer.1.weight"] + w["dim_reducer.1.bias"]
    out = w["dim_reducer.4.weight"] @ np.maximum(h, 0) + w["dim_reducer.4.bias"]
    return (out - out.mean()) / np.sqrt(out.var() + 1e-5)


def test_a_small_sibling_is_its_naive_twin(tmp_path):
    model = write(tmp_path / "t.pt")
    tokens = made_up_pixels(5, fewest=2)
    embedding = embed_tokens(model, tokens)
    weights = {key: value.double().numpy() for key, value in model.state_dict().items()}
    for pixel in range(5):
        modalities = []
        for modality in (tokens.s2, tokens.s1):
            at = slice(modality.offsets[pixel], modality.offsets[pixel + 1])
            modalities.append((modality.values[at].astype(float), modality.doy[at].astype(float)))
        np.testing.assert_allclose(embedding[pixel], naive_teacher(weights, *modalities), atol=2e-5)


def test_a_checkpoint_of_the_published_form_is_loaded(tmp_path):
    model = write(tmp_path / "t.pt", arch={"final_layernorm": True})
    assert is_teacher(tmp_path / "t.pt")
    loaded = load_teacher(tmp_path / "t.pt")
    tokens = made_up_pixels(4)
    np.testing.assert_array_equal(embed_tokens(loaded.model, tokens), embed_tokens(model, tokens))
    assert loaded.name == "t.pt"
    assert len(loaded.sha256) == 64


@pytest.mark.parametrize(
    ("arch", "state", "message"),
    [
        ({"latent_dim": "4"}, None, "'latent_dim' is '4'"),
        ({"dim_feedforward": 10**6}, None, "1..16384"),
        ({"nhead": 3}, None, "not a divisor"),
        ({"final_layernorm": False}, None, "final_layernorm"),
        ({"latent_dim": 8}, None, "has shape"),
        (None, {"fusion_modality_embed": torch.full((2, 16), float("nan"))}, "not finite"),
        (None, {"stray": torch.zeros(1)}, "unexpected weight 'stray'"),
    ],
)
def test_other_checkpoints_are_refused(tmp_path, arch, state, message):
    write(tmp_path / "t.pt", arch, state)
    with pytest.raises(ModelError, match=message):
        load_teacher(tmp_path / "t.pt")


def test_what_is_no_torch_file_is_refused(tmp_path):
    (tmp_path / "t.pt").write_bytes(b"no")
    for path in (tmp_path / "t.pt", tmp_path / "missing.pt"):
        with pytest.raises(ModelError, match=path.name):
            load_teacher(path)


def test_a_teacher_is_not_exported(tmp_path):
    write(tmp_path / "t.pt")
    with pytest.raises(ModelError, match="distil --teacher"):
        load_checkpoint(tmp_path / "t.pt")


def test_any_network_teaches_with_its_own_statistics(tmp_path):
    write(tmp_path / "t.pt")
    assert open_teacher(tmp_path / "t.pt").statistics == V2_TEACHER_STATISTICS
    assert open_teacher(conformance.checkpoint("tiny")).statistics == V2_STATISTICS
    v1 = open_teacher(conformance.checkpoint("v1_1_tiny"), "aws")
    assert v1.statistics == V1_1_AWS_STATISTICS
    assert v1.targets(made_up_pixels(3)).shape == (3, v1.network.config.dims)
    with pytest.raises(InputError, match="statistics=mpc"):
        open_teacher(conformance.checkpoint("v1_1_tiny"))
    with pytest.raises(InputError, match="only one"):
        open_teacher(conformance.checkpoint("tiny"), "aws")
