"""The networks of TESSERA in PyTorch, v2 students and v1: every other form of them is compared with this one.

One pixel's year of Sentinel-2 and Sentinel-1 becomes one vector. Two transformer encoders read one token for each
distinct valid observation and pool over time, and an MLP fuses the two results (arXiv 2607.03949). The names of the
modules give `state_dict()` the keys of the published checkpoints, for all variants.

The published code repeats observations to fill a rectangle and has no mask. A token that is repeated m times has the
same value in every layer, and exp(a + log m) = m exp(a). So each distinct token is computed once, with log(m) added to
its attention logit as a key and to its pooling logit. m = 0 (filling) gives -inf: no weight.

v1 pools with a recurrence over the tokens in their order (arXiv 2506.20380), in which every repeat counts. A v1
network therefore takes the whole sequence, repeats included, with multiplicity 1. The filling comes last, with 0.

Shapes: B pixels, T tokens, C bands, d = 4 * latent_dim, H heads of h = d / H channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from tessera_engine.model.layout import DAYS
from tessera_engine.scene import S1_BANDS, S2_BANDS


@dataclass(frozen=True)
class ReferenceConfig:
    """The shape of a network.

    Attributes:
        latent_dim: a quarter of the encoders' width d.
        num_layers: encoder layers in each branch.
        num_heads: attention heads; divides d.
        ffn_dim: width of the feed-forward layer.
        dims: length of the embedding.
        prefixes: lengths at which the embedding may be cut (Matryoshka), ascending, the last is `dims`.
        qk_norm: RMSNorm on the queries and keys of each head; none of the published students has it.
        generation: v2, v1.1 or v1.0, which differ in pooling and fusion.
    """

    latent_dim: int
    num_layers: int
    num_heads: int
    ffn_dim: int
    dims: int = 128
    prefixes: tuple[int, ...] = (16, 32, 64, 128)
    qk_norm: bool = False
    generation: str = "v2"

    @property
    def d_model(self) -> int:
        """Width d of the encoder layers."""
        return 4 * self.latent_dim

    @property
    def head_dim(self) -> int:
        """Channels of one head."""
        return self.d_model // self.num_heads


SIZES = {
    "nano": ReferenceConfig(latent_dim=36, num_layers=2, num_heads=4, ffn_dim=384),
    "small": ReferenceConfig(latent_dim=64, num_layers=4, num_heads=4, ffn_dim=1024),
    "medium": ReferenceConfig(latent_dim=110, num_layers=4, num_heads=4, ffn_dim=1792),
    "large": ReferenceConfig(latent_dim=160, num_layers=4, num_heads=4, ffn_dim=2560),
    "v1.1": ReferenceConfig(192, 4, 4, 2048, prefixes=(128,), generation="v1.1"),
    "v1.0": ReferenceConfig(128, 4, 4, 4096, prefixes=(128,), generation="v1.0"),
}
"""The published v2 students and v1 models. v1.1 computes 192 dimensions, of which only the first 128 are published."""


def day_of_year_table(d_model: int) -> Tensor:
    """The sinusoidal encoding of days 0..366: (367, d) float32, sin on even, cos on odd channels.

    It is computed in float32 in the order of the published code, so that it has the same bits; and always on the CPU,
    so that a network built on the `meta` device has it too.
    """
    rates = torch.exp(
        torch.arange(0, d_model, 2, dtype=torch.float32, device="cpu") * -(math.log(10000.0) / d_model)
    )
    angles = torch.arange(DAYS, dtype=torch.float32, device="cpu")[:, None] * rates  # (367, d/2)
    return torch.stack((angles.sin(), angles.cos()), dim=2).flatten(1)


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Scaled dot-product attention over time: q, k, v (B, T, H, h), bias (B, T) of the keys -> (B, T, d)."""
    if q.dtype == torch.bfloat16 and q.device.type == "cpu" and torch.is_grad_enabled():
        # For training only: on CPUs, the backward pass of bfloat16 attention takes several times as long
        q, k, v = q.float(), k.float(), v.float()
    with torch.autocast("cpu", enabled=False):
        out = F.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), bias[:, None, None, :].to(q.dtype)
        )  # (B, H, T, h)
    return out.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Multi-head self-attention with the parameters of `torch.nn.MultiheadAttention`."""

    def __init__(self, config: ReferenceConfig) -> None:
        super().__init__()
        d = config.d_model
        self.heads = (config.num_heads, config.head_dim)
        self.in_proj_weight = nn.Parameter(torch.empty(3 * d, d))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * d))
        self.out_proj = nn.Linear(d, d)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """From x (B, T, d), bias (B, T) to (B, T, d)."""
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)  # (B, T, 3d)
        q, k, v = qkv.view(*x.shape[:2], 3, *self.heads).unbind(2)  # (B, T, H, h) each
        out: Tensor = self.out_proj(attend(q, k, v, bias))
        return out


class EncoderLayer(nn.Module):
    """A post-norm transformer layer with a ReLU feed-forward."""

    def __init__(self, config: ReferenceConfig) -> None:
        super().__init__()
        d = config.d_model
        self.self_attn = SelfAttention(config)
        self.linear1 = nn.Linear(d, config.ffn_dim)
        self.linear2 = nn.Linear(config.ffn_dim, d)
        self.norm1 = nn.LayerNorm(d)
        self.norm2 = nn.LayerNorm(d)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """From x (B, T, d), bias (B, T) to (B, T, d)."""
        x = self.norm1(x + self.self_attn(x, bias))
        out: Tensor = self.norm2(x + self.linear2(self.linear1(x).relu()))
        return out


class Encoder(nn.Module):
    """The layers of one branch, named `layers` as in `torch.nn.TransformerEncoder`."""

    layer: type[nn.Module] = EncoderLayer

    def __init__(self, config: ReferenceConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(self.layer(config) for _ in range(config.num_layers))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """From x (B, T, d), bias (B, T) to (B, T, d)."""
        for layer in self.layers:
            x = layer(x, bias)
        return x


class QKNormEncoderLayer(nn.Module):
    """The same layer with an RMSNorm on the queries and keys of each head, and separate projections."""

    def __init__(self, config: ReferenceConfig) -> None:
        super().__init__()
        d = config.d_model
        self.heads = (config.num_heads, config.head_dim)
        self.q_proj = nn.Linear(d, d)
        self.k_proj = nn.Linear(d, d)
        self.v_proj = nn.Linear(d, d)
        self.out_proj = nn.Linear(d, d)
        self.q_norm = nn.RMSNorm(config.head_dim)  # eps None: the machine epsilon of float32
        self.k_norm = nn.RMSNorm(config.head_dim)
        self.linear1 = nn.Linear(d, config.ffn_dim)
        self.linear2 = nn.Linear(config.ffn_dim, d)
        self.norm1 = nn.LayerNorm(d)
        self.norm2 = nn.LayerNorm(d)

    def attention(self, x: Tensor, bias: Tensor) -> Tensor:
        """From x (B, T, d), bias (B, T) to (B, T, d)."""
        q = self.q_norm(self.q_proj(x).view(*x.shape[:2], *self.heads))  # (B, T, H, h)
        k = self.k_norm(self.k_proj(x).view(*x.shape[:2], *self.heads))
        v = self.v_proj(x).view(*x.shape[:2], *self.heads)
        out: Tensor = self.out_proj(attend(q, k, v, bias))
        return out

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """From x (B, T, d), bias (B, T) to (B, T, d)."""
        x = self.norm1(x + self.attention(x, bias))
        out: Tensor = self.norm2(x + self.linear2(self.linear1(x).relu()))
        return out


class QKNormEncoder(nn.ModuleList):
    """The layers of one branch with QK norm, numbered without a name as in the published checkpoints."""

    def __init__(self, config: ReferenceConfig) -> None:
        super().__init__(QKNormEncoderLayer(config) for _ in range(config.num_layers))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """From x (B, T, d), bias (B, T) to (B, T, d)."""
        for layer in self:
            x = layer(x, bias)
        return x


class AttentionPool(nn.Module):
    """A weighted mean over time; one linear layer gives the logits of the weights."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.query = nn.Linear(d_model, 1)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """From x (B, T, d), bias (B, T) to (B, d)."""
        weights = torch.softmax(self.query(x).squeeze(2) + bias, dim=1)  # (B, T)
        return (weights[:, None, :] @ x).squeeze(1)


class GruCell(nn.Module):
    """The published recurrence, which is not `torch.nn.GRU`.

    The reset gate multiplies h BEFORE W_hh, and z is the weight of the NEW state. torch.nn.GRU does both the other way
    round. Its embeddings would be similar, at a cosine of 0.997, but wrong.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.b_r, self.b_z, self.b_h = (nn.Parameter(torch.zeros(d_model)) for _ in range(3))
        self.W_ir, self.W_iz, self.W_ih = (nn.Linear(d_model, d_model, bias=False) for _ in range(3))
        self.W_hr, self.W_hz, self.W_hh = (nn.Linear(d_model, d_model, bias=False) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """All states h, from tokens x (B, T, d) to (B, T, d)."""
        from_r = self.W_ir(x) + self.b_r  # (B, T, d)
        from_z = self.W_iz(x) + self.b_z
        from_n = self.W_ih(x) + self.b_h
        h = torch.zeros_like(x[:, 0])  # (B, d)
        states = []
        for t in range(x.shape[1]):
            r = torch.sigmoid(from_r[:, t] + self.W_hr(h))
            z = torch.sigmoid(from_z[:, t] + self.W_hz(h))
            n = torch.tanh(from_n[:, t] + self.W_hh(r * h))
            h = (1 - z) * h + z * n
            states.append(h)
        return torch.stack(states, dim=1)


class TemporalContext(nn.Module):
    """Holds the recurrence under its published name."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.gru_cell = GruCell(d_model)

    def forward(self, x: Tensor) -> Tensor:
        """From x (B, T, d) to (B, T, d)."""
        states: Tensor = self.gru_cell(x)
        return states


class RecurrentPool(nn.Module):
    """The pooling of v1: a weighted mean over time, with logits from a recurrence over the tokens."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.temporal_context = TemporalContext(d_model)
        self.layer_norm = nn.LayerNorm(d_model)
        self.query = nn.Linear(d_model, 1)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """From x (B, T, d), bias (B, T) to (B, d). Filling may only follow a pixel's last token."""
        context = self.layer_norm(self.temporal_context(x))
        weights = torch.softmax(self.query(context).squeeze(2) + bias, dim=1)  # (B, T)
        return (weights[:, None, :] @ x).squeeze(1)


class Backbone(nn.Module):
    """One modality's branch: embed each token, encode, pool over time."""

    day_of_year: Tensor

    def __init__(self, config: ReferenceConfig, bands: int) -> None:
        super().__init__()
        d = config.d_model
        self.embedding = nn.Sequential(nn.Linear(bands, d), nn.ReLU(), nn.Linear(d, d))
        self.transformer_encoder = self.encoder(config)
        self.attn_pool = AttentionPool(d) if config.generation == "v2" else RecurrentPool(d)
        self.register_buffer("day_of_year", day_of_year_table(d), persistent=False)

    @staticmethod
    def encoder(config: ReferenceConfig) -> nn.Module:
        """The encoder layers, with or without QK norm."""
        return QKNormEncoder(config) if config.qk_norm else Encoder(config)

    def forward(self, values: Tensor, doy: Tensor, multiplicity: Tensor) -> Tensor:
        """From values (B, T, C), doy (B, T), multiplicity (B, T) to (B, d)."""
        bias = multiplicity.log()  # log(0) = -inf: filling gets no weight
        x = self.embedding(values) + F.embedding(doy, self.day_of_year)  # (B, T, d)
        x = self.transformer_encoder(x, bias)
        pooled: Tensor = self.attn_pool(x, bias)
        return pooled


def dim_reducer(config: ReferenceConfig) -> nn.Sequential:
    """The MLP that fuses the pooled branches, (B, 2d) to (B, dims)."""
    d = config.d_model
    if config.generation == "v1.0":
        return nn.Sequential(nn.Linear(2 * d, config.dims))
    return nn.Sequential(
        nn.Linear(2 * d, 4 * d),
        nn.LayerNorm(4 * d),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(4 * d, config.dims),
    )


class Reference(nn.Module):
    """A v2 student or a v1 model."""

    def __init__(self, config: ReferenceConfig) -> None:
        super().__init__()
        self.config = config
        self.s2_backbone = Backbone(config, len(S2_BANDS))
        self.s1_backbone = Backbone(config, len(S1_BANDS))
        self.dim_reducer = dim_reducer(config)

    def forward(
        self,
        s2: Tensor,
        s2_doy: Tensor,
        s2_multiplicity: Tensor,
        s1: Tensor,
        s1_doy: Tensor,
        s1_multiplicity: Tensor,
    ) -> Tensor:
        """Embed a rectangle of tokens.

        Args:
            s2: (B, T2, 10) float32, z-scored; all zero for the token that means "no observation".
            s2_doy: (B, T2) int32 or int64, day of year 1..366, 0 for that token and for filling.
            s2_multiplicity: (B, T2) float32, how often the token is repeated, 0 for filling; each row has a value above
                0. For v1 models it is 1, and 0 for the filling at the end.
            s1: (B, T1, 2) float32.
            s1_doy: (B, T1) int32 or int64.
            s1_multiplicity: (B, T1) float32.

        Returns:
            (B, dims) float32.
        """
        pooled = torch.cat(
            (
                self.s2_backbone(s2, s2_doy, s2_multiplicity),
                self.s1_backbone(s1, s1_doy, s1_multiplicity),
            ),
            dim=1,
        )  # (B, 2d)
        embedding: Tensor = self.dim_reducer(pooled)
        if self.config.generation != "v2":
            return embedding
        return F.layer_norm(embedding, embedding.shape[1:])
