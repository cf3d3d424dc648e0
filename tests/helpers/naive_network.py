"""The network's naive twin: numpy, one pixel at a time, float32 or the int8 scheme of the fused kernels.

Weights are a model file's initialisers, see `tessera_engine.model.file`.
"""

from __future__ import annotations

import numpy as np

LN_EPS, RMS_EPS = 1e-5, np.finfo(np.float32).eps


def random_arrays(width, heads, layers, ffn, dims=128, qk_norm=False, int8=False, seed=0, generation="v2"):
    """Random weights of a small network, named as in a model file."""
    rng = np.random.default_rng(seed)
    arrays = {}

    def linear(name, inputs, outputs, quantised):
        weight = (rng.standard_normal((inputs, outputs)) / np.sqrt(inputs)).astype(np.float32)
        arrays[f"{name}.bias"] = (0.1 * rng.standard_normal(outputs)).astype(np.float32)
        if int8 and quantised:
            codes, levels = ("int16", 32767) if name.startswith("fusion") else ("int8", 127)
            scale = np.abs(weight).max(axis=0) / levels
            arrays[f"{name}.weight.{codes}"] = np.rint(weight / scale).astype(codes)
            arrays[f"{name}.weight.scale"] = scale.astype(np.float32)
        else:
            arrays[f"{name}.weight"] = weight

    def norm(name, size):
        arrays[f"{name}.weight"] = (1 + 0.1 * rng.standard_normal(size)).astype(np.float32)
        arrays[f"{name}.bias"] = (0.1 * rng.standard_normal(size)).astype(np.float32)

    for branch, bands in (("s2", 10), ("s1", 2)):
        linear(f"{branch}.embedding.0", bands, width, False)
        linear(f"{branch}.embedding.1", width, width, True)
        angle = np.arange(367)[:, None] * np.exp(np.arange(0, width, 2) * -(np.log(10000.0) / width))
        table = np.zeros((367, width), np.float32)
        table[:, 0::2], table[:, 1::2] = np.sin(angle), np.cos(angle)
        arrays[f"{branch}.day_of_year"] = table
        for n in range(layers):
            name = f"{branch}.layers.{n}"
            linear(f"{name}.qkv", width, 3 * width, True)
            linear(f"{name}.out", width, width, True)
            linear(f"{name}.up", width, ffn, True)
            linear(f"{name}.down", ffn, width, True)
            norm(f"{name}.norm1", width)
            norm(f"{name}.norm2", width)
            if qk_norm:
                for part in ("q_norm", "k_norm"):
                    arrays[f"{name}.{part}.weight"] = (1 + rng.random(width // heads)).astype(np.float32)
        linear(f"{branch}.pool", width, 1, False)
        if generation != "v2":
            linear(f"{branch}.gru.input", width, 3 * width, True)
            linear(f"{branch}.gru.hidden", width, 3 * width, True)
            del arrays[f"{branch}.gru.hidden.bias"]
            norm(f"{branch}.pool.norm", width)
    if generation == "v1.0":
        linear("fusion.0", 2 * width, dims, True)
        return arrays
    linear("fusion.0", 2 * width, 4 * width, True)
    norm("fusion.norm", 4 * width)
    linear("fusion.1", 4 * width, dims, True)
    return arrays


def signed(x):
    """To -127..127 with a scale a row, and back."""
    scale = np.maximum(np.abs(x).max(axis=-1, keepdims=True), 1e-12) / 127
    return np.rint(x / scale) * scale


def unsigned(x):
    """To 0..255 with a scale a row, and back."""
    scale = np.maximum(x.max(axis=-1, keepdims=True), 1e-12) / 255
    return np.rint(x / scale) * scale


def exp_nearest(x):
    """e**x by the kernels' own polynomial for 2**fraction: its 7e-5 decides to which side a weight is rounded."""
    y = x * np.log2(np.e)
    whole = np.rint(y)
    f = y - whole
    return (((0.05517162 * f + 0.24261112) * f + 0.69326099) * f + 0.99992807) * 2.0**whole


def exp_floor(x):
    """The same polynomial where the CPU splits numbers downwards: 2**fraction = sqrt(2) * 2**(fraction - 0.5)."""
    y = x * np.log2(np.e)
    whole = np.floor(y)
    f = y - whole - 0.5
    polynomial = ((0.05517162 * f + 0.24261112) * f + 0.69326099) * f + 0.99992807
    return np.sqrt(2) * polynomial * 2.0**whole


def layer_norm(x, weight=1.0, bias=0.0):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + LN_EPS) * weight + bias


def sequence(multiplicity, at_end):
    """Positions of tokens as v1's networks see them: repeats at the end, or beside each other."""
    positions = range(len(multiplicity))
    if at_end:
        return [*positions, *(i for i in positions for _ in range(int(multiplicity[i]) - 1))]
    return [i for i in positions for _ in range(int(multiplicity[i]))]


class NaiveNetwork:
    """One pixel at a time; int8 where the arrays are. `exp`: of the softmax."""

    def __init__(self, arrays, heads, layers, exp=np.exp):
        self.arrays, self.heads, self.layers = arrays, heads, layers
        self.exp, self.int8 = exp, "s2.embedding.1.weight.int8" in arrays

    def linear(self, name, x, quantise):
        weight = self.arrays.get(f"{name}.weight")
        for codes in ("int8", "int16"):
            if f"{name}.weight.{codes}" in self.arrays:
                scale = self.arrays[f"{name}.weight.scale"]
                weight = self.arrays[f"{name}.weight.{codes}"].astype(np.float64) * scale
                x = quantise(x)
        return x @ weight + self.arrays.get(f"{name}.bias", 0)

    def sigmoid(self, x):
        power = self.exp(-np.abs(x))
        return np.where(x > 0, 1, power) / (1 + power)

    def states(self, name, x):
        """The recurrence over x (T, width): the reset gate before its product, z for the new state."""
        h, states = np.zeros(x.shape[1]), []
        from_x = np.split(self.linear(f"{name}.gru.input", x, signed), 3, axis=1)
        for t in range(len(x)):
            from_h = np.split(self.linear(f"{name}.gru.hidden", h[None], signed)[0], 3)
            r, z = (self.sigmoid(from_x[i][t] + from_h[i]) for i in range(2))
            reset = np.split(self.linear(f"{name}.gru.hidden", (r * h)[None], signed)[0], 3)[2]
            n = 2 * self.sigmoid(2 * (from_x[2][t] + reset)) - 1  # tanh
            h = (1 - z) * h + z * n
            states.append(h)
        return np.array(states)

    def attention(self, q, k, v, log_multiplicity):
        """(heads, T, head_dim) each -> (T, width)."""
        if self.int8:
            q, k = signed(q), signed(k)
            v_scale = np.maximum(np.abs(v).max(axis=-1), 1e-12) / 127
            v = signed(v)
        score = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1]) + log_multiplicity
        weight = self.exp(score - score.max(axis=-1, keepdims=True))
        total = weight.sum(axis=-1, keepdims=True)
        if self.int8:
            fold = 255 * v_scale / v_scale.max(axis=-1, keepdims=True)
            weight = np.rint(weight * fold[:, None]) / fold[:, None]
        return (weight @ v / total).transpose(1, 0, 2).reshape(q.shape[1], -1)

    def branch(self, name, values, doy, multiplicity):
        a, log_multiplicity = self.arrays, np.log(multiplicity.astype(np.float64))
        values = values.astype(np.float64)
        hidden = np.maximum(self.linear(f"{name}.embedding.0", values, None), 0)
        x = self.linear(f"{name}.embedding.1", hidden, unsigned) + a[f"{name}.day_of_year"][doy]
        for n in range(self.layers):
            layer = f"{name}.layers.{n}"
            qkv = self.linear(f"{layer}.qkv", x, signed).reshape(len(x), 3, self.heads, -1)
            q, k, v = qkv.transpose(1, 2, 0, 3)
            if f"{layer}.q_norm.weight" in a:
                q, k = (
                    y / np.sqrt((y**2).mean(axis=-1, keepdims=True) + RMS_EPS) * a[f"{layer}.{part}.weight"]
                    for y, part in ((q, "q_norm"), (k, "k_norm"))
                )
            x = x + self.linear(f"{layer}.out", self.attention(q, k, v, log_multiplicity), signed)
            x = layer_norm(x, a[f"{layer}.norm1.weight"], a[f"{layer}.norm1.bias"])
            hidden = np.maximum(self.linear(f"{layer}.up", x, signed), 0)
            x = x + self.linear(f"{layer}.down", hidden, unsigned)
            x = layer_norm(x, a[f"{layer}.norm2.weight"], a[f"{layer}.norm2.bias"])
        if f"{name}.gru.input.bias" in a:
            order = sequence(multiplicity, "fusion.1.bias" in a)
            x = x[order]
            context = layer_norm(
                self.states(name, x), a[f"{name}.pool.norm.weight"], a[f"{name}.pool.norm.bias"]
            )
            score = self.linear(f"{name}.pool", context, None)[:, 0]
        else:
            score = self.linear(f"{name}.pool", x, None)[:, 0] + log_multiplicity
        weight = self.exp(score - score.max())
        return weight @ x / weight.sum()

    def run(self, s2, s1):
        """Tokens as (values, doy, multiplicity, offsets) of both modalities -> (N, dims)."""
        rows = []
        for p in range(len(s2[3]) - 1):
            pooled = []
            for name, (values, doy, multiplicity, offsets) in (("s2", s2), ("s1", s1)):
                part = slice(offsets[p], offsets[p + 1])
                pooled.append(self.branch(name, values[part], doy[part], multiplicity[part]))
            # The fusion's weights are integers, but it computes in float32
            x = self.linear("fusion.0", np.concatenate(pooled)[None], lambda x: x)
            if "fusion.1.bias" not in self.arrays:
                rows.append(x[0])
                continue
            norm = (self.arrays["fusion.norm.weight"], self.arrays["fusion.norm.bias"])
            hidden = np.maximum(layer_norm(x, *norm), 0)
            x = self.linear("fusion.1", hidden, lambda x: x)[0]
            rows.append(x if "s2.gru.input.bias" in self.arrays else layer_norm(x))
        return np.array(rows)


def random_tokens(lengths, bands, seed=0):
    """Ragged tokens: (values, doy, multiplicity, offsets)."""
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    n = int(offsets[-1])
    return (
        rng.standard_normal((n, bands)).astype(np.float32),
        rng.integers(0, 367, n).astype(np.int32),
        rng.integers(1, 4, n).astype(np.float32),
        offsets,
    )
