"""Pixels to train on: packed tokens of pixels drawn from many scenes, in memory or in files.

In files they are mapped, not read: a training takes the memory of its batches, however many pixels there are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError
from tessera_engine.scene import Observations, Reader, Scene
from tessera_engine.scenes import open_scene
from tessera_engine.tokens import PackedTokens, Statistics, Tokens, pack
from tessera_export.train.embedding import FrozenTeacher

WINDOW_PIXELS = 1 << 14
"""Pixels of a scene that are read at once, at most."""

MAX_WINDOWS = 64
"""Of a scene that has more windows, so many are drawn and read: to read all of a large one would take hours."""

BASE_BYTES = 700_000_000
"""Interpreter, PyTorch, kernels and GDAL, before any window."""

INDEX = "pixels.json"

FILES = {
    f"{modality}.{part}": (dtype, (bands,) if part == "values" else ())
    for modality, bands in (("s2", 10), ("s1", 2))
    for part, dtype in (("values", "<f4"), ("doy", "<i4"), ("multiplicity", "<f4"), ("lengths", "<i8"))
}
"""Name -> dtype and shape of an entry."""

TARGETS = "targets"


def window_pixels(memory: int, reader: Reader) -> int:
    """How many pixels of a scene may be read at once.

    Raises:
        InputError: the memory isn't enough for anything.
    """
    # the window's observations, those that the reader keeps, the drawn ones, and their tokens as float32 twice
    per_pixel = (6 + reader.windows_held) * reader.bytes_per_pixel
    pixels = (memory - BASE_BYTES) // per_pixel
    if pixels < 64:
        raise InputError(
            f"--memory {memory / 1e6:.0f}MB is too little to read this scene for training: it needs at least "
            f"{(BASE_BYTES + 64 * per_pixel) / 1e6:.0f}MB"
        )
    return int(min(pixels, WINDOW_PIXELS))


def drawn_observations(scene: Scene, pixels: int, seed: int, max_pixels: int) -> Iterator[Observations]:
    """Observations of pixels drawn at random from a scene, window by window, as (T, N, bands) arrays.

    Args:
        scene: where from.
        pixels: how many; all of them where the scene has fewer.
        seed: of the draw.
        max_pixels: size of the windows that are read.
    """
    rng = np.random.default_rng(seed)
    windows = list(scene.reader.windows(scene.grid.window, max_pixels))
    if len(windows) > MAX_WINDOWS:
        windows = [windows[i] for i in np.sort(rng.permutation(len(windows))[:MAX_WINDOWS])]
    ends = np.cumsum([window.pixels for window in windows])
    drawn = np.sort(rng.choice(ends[-1], min(pixels, ends[-1]), replace=False))
    for window, end in zip(windows, ends.tolist(), strict=True):
        start = end - window.pixels
        here = drawn[(drawn >= start) & (drawn < end)] - start
        if len(here):
            yield select_pixels(scene.reader.read(window), here)


def sample_scene(path: Path, statistics: Statistics, pixels: int, seed: int) -> PackedTokens:
    """Tokens of pixels drawn at random from a scene, in memory.

    Args:
        path: the scene's folder.
        statistics: what the model z-scores with.
        pixels: how many; all of them where the scene has fewer. Pixels without any observation are left out.
        seed: of the draw.

    Raises:
        InputError: the scene can't be read, or no drawn pixel has an observation.
    """
    drawn = drawn_observations(open_scene(path), pixels, seed, WINDOW_PIXELS)
    parts = [pack(observations, statistics).tokens for observations in drawn]
    if not sum(map(len, parts)):
        raise InputError(f"{path} has no observation in {pixels} pixels drawn from it; give another scene")
    return concatenate(parts)


def collect(
    scenes: Sequence[Scene],
    folder: Path,
    statistics: Statistics,
    pixels: int,
    memory: int,
    seed: int,
    teacher: FrozenTeacher | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write tokens of pixels drawn from scenes, the same number from each, into a folder, for `open_pixels`.

    Args:
        scenes: where from.
        folder: made, or made anew where it isn't complete.
        statistics: what the model z-scores with.
        pixels: how many in all; fewer where scenes are small or pixels have no observation.
        memory: bytes that the process may take.
        seed: of the draws.
        teacher: whose embeddings of the pixels are to be written, too.
        progress: told of pixels drawn and in all.

    Raises:
        InputError: a scene can't be read, or has no observation in the pixels drawn from it.
    """
    folder.mkdir(exist_ok=True)
    (folder / INDEX).unlink(missing_ok=True)
    names = [*FILES, TARGETS] if teacher else [*FILES]
    counts = dict.fromkeys(names, 0)
    share = -(-pixels // len(scenes))
    files: dict[str, BinaryIO] = {name: (folder / name).open("wb") for name in names}
    try:
        for i, scene in enumerate(scenes):
            before, drawn = counts["s2.lengths"], 0
            for observations in drawn_observations(
                scene, share, seed + i, window_pixels(memory, scene.reader)
            ):
                arrays = _arrays(pack(observations, statistics).tokens)
                if teacher:
                    arrays[TARGETS] = teacher.embed(pack(observations, teacher.statistics).tokens)
                for name, array in arrays.items():
                    files[name].write(np.ascontiguousarray(array).tobytes())
                    counts[name] += len(array)
                drawn += observations.s2.shape[1]
                if progress:
                    progress(i * share + min(drawn, share), share * len(scenes))
            if counts["s2.lengths"] == before:
                raise InputError(
                    f"{scene.path} has no observation in {share} pixels drawn from it; leave it out"
                )
    finally:
        for file in files.values():
            file.close()
    dims = teacher.network.config.dims if teacher else 0
    (folder / INDEX).write_text(json.dumps({"counts": counts, "dims": dims}), encoding="utf-8")


def is_collected(folder: Path) -> bool:
    """Whether `collect` came to its end there."""
    return (folder / INDEX).exists()


def open_pixels(folder: Path) -> tuple[PackedTokens, NDArray[np.float32] | None]:
    """What `collect` wrote, mapped: the tokens of N pixels, and (N, dims) the teacher's embeddings if there was one."""
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))

    def mapped(name: str, dtype: str, entry: tuple[int, ...]) -> NDArray[Any]:
        return np.memmap(folder / name, dtype, "r", shape=(index["counts"][name], *entry))

    arrays = {name: mapped(name, *kind) for name, kind in FILES.items()}
    modalities = []
    for modality in ("s2", "s1"):
        values, doy, multiplicity, lengths = (
            arrays[f"{modality}.{part}"] for part in ("values", "doy", "multiplicity", "lengths")
        )
        modalities.append(Tokens(values, doy, multiplicity, _offsets(lengths)))
    targets = mapped(TARGETS, "<f4", (index["dims"],)) if TARGETS in index["counts"] else None
    return PackedTokens(*modalities), targets


def _arrays(tokens: PackedTokens) -> dict[str, NDArray[Any]]:
    """The tokens by the names of `FILES`."""
    return {
        f"{modality}.{part}": getattr(of_modality, part).astype(FILES[f"{modality}.{part}"][0], copy=False)
        for modality, of_modality in (("s2", tokens.s2), ("s1", tokens.s1))
        for part in ("values", "doy", "multiplicity", "lengths")
    }


def select_pixels(observations: Observations, pixels: NDArray[np.int64]) -> Observations:
    """Some pixels (N,) of a window, counted row by row, as (T, N, bands) arrays."""
    flat = {}
    for name in ("s2", "s2_valid", "s1_ascending", "s1_descending"):
        values = getattr(observations, name)
        steps, height, width = values.shape[:3]
        flat[name] = values.reshape(steps, height * width, *values.shape[3:])[:, pixels]
    return replace(observations, **flat)


def concatenate(parts: Sequence[PackedTokens]) -> PackedTokens:
    """The pixels of several parts, one after the other."""
    return PackedTokens(_concatenate([part.s2 for part in parts]), _concatenate([part.s1 for part in parts]))


def _concatenate(parts: Sequence[Tokens]) -> Tokens:
    return Tokens(
        values=np.concatenate([part.values for part in parts]),
        doy=np.concatenate([part.doy for part in parts]),
        multiplicity=np.concatenate([part.multiplicity for part in parts]),
        offsets=_offsets(np.concatenate([part.lengths for part in parts])),
    )


def _offsets(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
