"""Saved classifiers and ONNX networks from elsewhere under test."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random

import numpy as np
from fuzz.mutations import NUMBERS, mutate_json
from fuzz.watch import Place

from tessera_engine.analysis.maps.apply import apply, open_predictor
from tessera_engine.analysis.maps.classifier import FORMAT, Classifier
from tessera_engine.files.arrays import pack, unpack


def mutate_classifier(rng: Random, data: bytes) -> bytes:
    """A classifier with other facts or arrays, and the checksum that belongs to them."""
    facts, arrays = unpack(FORMAT, data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        name = rng.choice(list(arrays))
        array = arrays[name].copy()
        kind = rng.randrange(6)
        if kind == 0 and array.size:
            array.flat[rng.randrange(array.size)] = np.asarray(rng.choice(NUMBERS[:12]) % 2**31).astype(
                array.dtype
            )
        elif kind == 1:
            array = array[: rng.randrange(len(array) + 1)]
        elif kind == 2:
            array = array.astype(rng.choice(("float32", "float64", "int32", "int64", "uint8")))
        elif kind == 3:
            array = array.reshape(rng.choice(((-1,), (1, -1), (-1, 1))))
        elif kind == 4:
            arrays[rng.choice((name + "x", rng.choice(list(arrays))))] = array
        else:
            del arrays[name]
            break
        arrays[name] = array
    if rng.random() < 0.6:
        try:
            facts = json.loads(mutate_json(rng, json.dumps(facts).encode()))
        except (ValueError, RecursionError):
            facts = {}
    try:
        return pack(FORMAT, facts, arrays)
    except (ValueError, TypeError, OverflowError, UnicodeEncodeError):
        return data


def classifier(place: Place, _: object, seed: str, data: bytes) -> None:
    """A classifier: what is accepted predicts finite scores, and is written as it was read."""
    found = _open(place, "crops.model", data)
    if isinstance(found, Classifier):
        assert Classifier.of_bytes(found.to_bytes()).about == found.about
        _apply(place)


def head(place: Place, _: object, seed: str, data: bytes) -> None:
    """An ONNX network: what is accepted can be run, or says in one line why not."""
    _open(place, "crops.model", data)
    _apply(place)


def _open(place: Place, name: str, data: bytes) -> object:
    path = place.inputs / name
    path.write_bytes(data)
    place.ready()
    return open_predictor(path, 1)


def _apply(place: Place) -> None:
    out = place.out / "result"
    shutil.rmtree(out, ignore_errors=True)
    try:
        apply(place.inputs / "crops.model", place.made / "outputs" / "cog", out, threads=1, progress=False)
    finally:
        shutil.rmtree(out, ignore_errors=True)


def heads(made: Path) -> dict[str, bytes]:
    """A network of pixels and one of patches."""
    import heads as written

    found = {
        "pixels": written.pixels(classes=["a", "b", "c"], title="crop")[0],
        "patches": written.u_net(title="crop"),
    }
    return {name: model.SerializeToString() for name, model in found.items()}
