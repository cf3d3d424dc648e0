"""A backend that needs no runtime: an embedding anybody can compute from a pixel's tokens."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from conformance import ASCENDING, DESCENDING, MEAN_S2, STD_S2

from tessera_engine.backends.base import Backend, Codes, Result
from tessera_engine.backends.gpu.device import DeviceError
from tessera_engine.errors import MissingExtra
from tessera_engine.model.facts import ModelFacts
from tessera_engine.model.file import ModelFile
from tessera_engine.scene import S1_BANDS, S2_BANDS
from tessera_kernels.quantize import quantize


def made_up_facts(**changes) -> ModelFacts:
    values = {
        "name": "fake",
        "generation": "v2",
        "size": "custom",
        "precision": "fp32",
        "latent_dim": 8,
        "num_layers": 1,
        "num_heads": 4,
        "ffn_dim": 32,
        "qk_norm": False,
        "dims": 32,
        "prefixes": (16, 32),
        "s2_bands": S2_BANDS,
        "s2_mean": MEAN_S2,
        "s2_std": STD_S2,
        "s1_bands": S1_BANDS,
        "s1_ascending_mean": ASCENDING[0],
        "s1_ascending_std": ASCENDING[1],
        "s1_descending_mean": DESCENDING[0],
        "s1_descending_std": DESCENDING[1],
        "quantization": "none",
        "checkpoint_name": "fake.pt",
        "checkpoint_sha256": "0" * 64,
        "licence": "MIT",
        "card": "made up for a test",
    }
    return ModelFacts(**(values | changes))


class FakeBackend(Backend):
    """Weighted means of a pixel's tokens, through fixed random directions."""

    name = "fake"
    version = "1.0"
    computes_on = "paper"

    def __init__(self, file: Path = Path(__file__), **facts) -> None:
        super().__init__(ModelFile(file, made_up_facts(**facts), "0" * 64))
        rng = np.random.default_rng(7)
        self._directions = rng.standard_normal((14, self.model.facts.dims)).astype(np.float32)
        self.pixels_run: list[int] = []

    def _run(self, tokens):
        self.pixels_run.append(len(tokens))
        out = np.empty((len(tokens), self.model.facts.dims), np.float32)
        for p in range(len(tokens)):
            parts = []
            for modality in (tokens.s2, tokens.s1):
                part = slice(modality.offsets[p], modality.offsets[p + 1])
                weight = modality.multiplicity[part] / modality.multiplicity[part].sum()
                parts += [weight @ modality.values[part], [weight @ np.cos(modality.doy[part] / 58)]]
            out[p] = np.concatenate(parts) @ self._directions
        return out


class OverlappingBackend(FakeBackend):
    """Computes nothing before it is waited for, and makes codes itself.

    Attributes:
        told: ("begins" or "ends", pixels) of each start, as they happen.
        fails: the number of the start, from 0, that raises `DeviceError` when it is waited for.
    """

    overlaps = True
    fails = None

    def __init__(self, **facts):
        super().__init__(**facts)
        self.told = []

    def _start(self, tokens, prefix):
        number = sum(what == "begins" for what, _ in self.told)
        self.told.append(("begins", len(tokens)))

        def finish():
            self.told.append(("ends", len(tokens)))
            if number == self.fails:
                raise DeviceError("the device is gone")
            embedding = self._run(tokens)
            return (
                Result(embedding) if prefix is None else Result(None, Codes(*quantize(embedding[:, :prefix])))
            )

        return finish


def missing_backend():
    """What loading a backend of an extra that isn't installed does."""
    raise MissingExtra("openvino", "openvino", "--backend openvino")


def killed_backend():
    """What happens to a process that took all memory."""
    os.kill(os.getpid(), 9)
