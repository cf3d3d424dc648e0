"""The TESSERA v2 student in PyTorch: the network that every other form of it is held to.

One pixel's year of Sentinel-2 and Sentinel-1 becomes one vector. Two transformer encoders read one token a
distinct valid observation, pool over time, and an MLP fuses the two (arXiv 2607.03949). Module names give
`state_dict()` the keys of the published checkpoints, for both attention variants.

The published code repeats observations to fill a rectangle and has no mask. A token that stands m times has
the same value in every layer, and exp(a + log m) = m exp(a): so each distinct token is computed once, with
log(m) added to its attention logit as a key and to its pooling logit. m = 0 (filling) gives -inf: no weight.

Shapes: B pixels, T tokens, C bands, d = 4 * latent_dim, H heads of h = d / H channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from tessera_engine.model_file import DAYS
from tessera_engine.scene import S1_BANDS, S2_BANDS


@dataclass(frozen=True)
class ReferenceConfig:
    """The shape of a student.

    Attributes:
        latent_dim: a quarter of the encoders' width d.
        num_layers: encoder layers in each branch.
        num_heads: attention heads; divides d.
        ffn_dim: width of the feed-forward layer.
        dims: length of the embedding.
        prefixes: lengths at which the embedding may be cut (Matryoshka), ascending, the last is `dims`.
        qk_norm: RMSNorm on each head's queries and keys; none of the published students has it.
    """

    latent_dim: int
    num_layers: int
    num_heads: int
    ffn_dim: int
    dims: int = 128
    prefixes: tuple[int, ...] = (16, 32, 64, 128)
    qk_norm: bool = False

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
}
"""The published students."""


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of each band; z = (x - mean) / (std + 1e-9).

    Sentinel-2 in digital numbers (reflectance * 10000), Sentinel-1 in TESSERA's int16 code; band order as
    `S2_BANDS` and `S1_BANDS`.
    """

    s2_mean: tuple[float, ...]
    s2_std: tuple[float, ...]
    s1_ascending_mean: tuple[float, ...]
    s1_ascending_std: tuple[float, ...]
    s1_descending_mean: tuple[float, ...]
    s1_descending_std: tuple[float, ...]


# fmt: off
V2_STATISTICS = Statistics(
    s2_mean=(1633.0042, 1341.1090, 1539.5536, 3054.8269, 3117.4658,
             2004.1648, 2694.7275, 2945.1504, 2266.6079, 1657.3094),
    s2_std=(1999.4603, 2014.7549, 1929.2201, 1754.2493, 1649.9807,
            1936.8988, 1748.6041, 1708.6991, 1207.5250, 1108.6046),
    s1_ascending_mean=(5909.3921, 3405.0322),
    s1_ascending_std=(1507.1750, 1531.2615),
    s1_descending_mean=(5816.1382, 3277.7576),
    s1_descending_std=(1554.6475, 1546.4733),
)
"""What the published v2 students were trained with; a student is bound to its statistics."""
# fmt: on


def day_of_year_table(d_model: int) -> Tensor:
    """The sinusoidal encoding of days 0..366: (367, d) float32, sin on even, cos on odd channels.

    Computed in float32 in the order of the published code, so that it has the same bits. Always on the CPU:
    a network built on the `meta` device still gets its table.
    """
    rates = torch.exp(
        torch.arange(0, d_model, 2, dtype=torch.float32, device="cpu") * -(math.log(10000.0) / d_model)
    )
    angles = torch.arange(DAYS, dtype=torch.float32, device="cpu")[:, None] * rates  # (367, d/2)
    return torch.stack((angles.sin(), angles.cos()), dim=2).flatten(1)


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Scaled dot-product attention over time: q, k, v (B, T, H, h), bias (B, T) of the keys -> (B, T, d)."""
    out = F.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=bias[:, None, None, :]
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
    """The layers of one branch, under the name `layers` as in `torch.nn.TransformerEncoder`."""

    def __init__(self, config: ReferenceConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_layers))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """From x (B, T, d), bias (B, T) to (B, T, d)."""
        for layer in self.layers:
            x = layer(x, bias)
        return x


class QKNormEncoderLayer(nn.Module):
    """The same layer with an RMSNorm on each head's queries and keys, and its parameters side by side."""

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

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """From x (B, T, d), bias (B, T) to (B, T, d)."""
        q = self.q_norm(self.q_proj(x).view(*x.shape[:2], *self.heads))  # (B, T, H, h)
        k = self.k_norm(self.k_proj(x).view(*x.shape[:2], *self.heads))
        v = self.v_proj(x).view(*x.shape[:2], *self.heads)
        x = self.norm1(x + self.out_proj(attend(q, k, v, bias)))
        out: Tensor = self.norm2(x + self.linear2(self.linear1(x).relu()))
        return out


class QKNormEncoder(nn.ModuleList):
    """The layers of one branch with QK norm, numbered directly as in the published checkpoints."""

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


class Backbone(nn.Module):
    """One modality's branch: embed each token, encode, pool over time."""

    day_of_year: Tensor

    def __init__(self, config: ReferenceConfig, bands: int) -> None:
        super().__init__()
        d = config.d_model
        self.embedding = nn.Sequential(nn.Linear(bands, d), nn.ReLU(), nn.Linear(d, d))
        self.transformer_encoder = QKNormEncoder(config) if config.qk_norm else Encoder(config)
        self.attn_pool = AttentionPool(d)
        self.register_buffer("day_of_year", day_of_year_table(d), persistent=False)

    def forward(self, values: Tensor, doy: Tensor, multiplicity: Tensor) -> Tensor:
        """From values (B, T, C), doy (B, T), multiplicity (B, T) to (B, d)."""
        bias = multiplicity.log()  # log(0) = -inf: filling gets no weight
        x = self.embedding(values) + F.embedding(doy, self.day_of_year)  # (B, T, d)
        x = self.transformer_encoder(x, bias)
        pooled: Tensor = self.attn_pool(x, bias)
        return pooled


class Reference(nn.Module):
    """The v2 student."""

    def __init__(self, config: ReferenceConfig) -> None:
        super().__init__()
        d = config.d_model
        self.config = config
        self.s2_backbone = Backbone(config, len(S2_BANDS))
        self.s1_backbone = Backbone(config, len(S1_BANDS))
        self.dim_reducer = nn.Sequential(
            nn.Linear(2 * d, 4 * d),
            nn.LayerNorm(4 * d),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Linear(4 * d, config.dims),
        )

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
            s2: (B, T2, 10) float32, z-scored; all zero for the token that stands for "no observation".
            s2_doy: (B, T2) int32 or int64, day of year 1..366, 0 for that token and for filling.
            s2_multiplicity: (B, T2) float32, how often the token stands, 0 for filling; not all 0 in a row.
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
        embedding = self.dim_reducer(pooled)
        return F.layer_norm(embedding, embedding.shape[1:])
