"""Model files and checkpoints under test."""

from __future__ import annotations

import numpy as np
from fuzz.watch import Place

from tessera_engine.cli.console import print_table
from tessera_engine.cli.pages.info import describe
from tessera_engine.model.file import read_arrays, read_model_file
from tessera_engine.model.layout import expected_initializers


def model(place: Place, _: object, seed: str, data: bytes) -> None:
    """A model file: its arrays are those that its facts promise."""
    path = place.inputs / "model.onnx"
    path.write_bytes(data)
    place.ready()
    read = read_model_file(path)
    arrays, promised = read_arrays(read), expected_initializers(read.facts)
    assert {name: (str(a.dtype), a.shape) for name, a in arrays.items() if name in promised} == promised
    assert all(np.isfinite(values).all() for values in arrays.values())
    print_table(list(describe(str(path)).items()))


def checkpoint(place: Place, _: object, seed: str, data: bytes) -> None:
    """A checkpoint: all its weights are finite."""
    import torch

    from tessera_export.checkpoint import load_checkpoint

    path = place.inputs / "student.pt"
    path.write_bytes(data)
    place.ready()
    loaded = load_checkpoint(path)
    assert all(bool(torch.isfinite(value).all()) for value in loaded.model.state_dict().values())
