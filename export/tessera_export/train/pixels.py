"""Pixels to train on: packed tokens of pixels drawn from many scenes, in memory or in files.

Files are mapped, not read: the memory of a training depends on the size of its batches, not on the number of pixels.
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
from tessera_engine.files.text import write_text
from tessera_engine.scene import Observations, Reader, Scene
from tessera_engine.scenes import open_scene
from tessera_engine.tokens import PackedTokens, Statistics, Tokens, pack
from tessera_export.train.embedding import FrozenTeacher

WINDOW_PIXELS = 1 << 14
"""Most pixels of a scene that are read at once."""

MAX_WINDOWS = 64
"""Most windows of a scene that are read, drawn at random. Reading all of a large scene would take hours."""

BASE_BYTES = 700_000_000
"""Memory of the interpreter, PyTorch, kernels and GDAL, without any window."""

INDEX = "pixels.json"

FILES = {
    f"{modality}.{part}": (dtype, (bands,) if part == "values" else ())
    for modality, bands in (("s2", 10), ("s1", 2))
    for part, dtype in (("values", "<f4"), ("doy", "<i4"), ("multiplicity", "<f4"), ("lengths", "<i8"))
}
"""Name of a file -> dtype and shape of its entries."""

TARGETS = "targets"


def window_pixels(memory: int, reader: Reader) -> int:
    """Number of pixels of a scene that may be read at once.

    Args:
        memory: bytes that the process may take.
        reader: the scene.

    Raises:
        InputError: the memory is too small.
    """
    # The window's observations, those that the reader keeps, the drawn ones, and their tokens twice in float32
    per_pixel = (6 + reader.windows_held) * reader.bytes_per_pixel
    pixels = (memory - BASE_BYTES) // per_pixel
    if pixels < 64:
        raise InputError(
            f"memory={memory / 1e6:.0f}MB is too little to read this scene for training: it needs at least "
            f"{(BASE_BYTES + 64 * per_pixel) / 1e6:.0f}MB"
        )
    return int(min(pixels, WINDOW_PIXELS))


def drawn_observations(scene: Scene, pixels: int, seed: int, max_pixels: int) -> Iterator[Observations]:
    """Observations of pixels drawn at random from a scene, window by window, as (T, N, bands) arrays.

    Args:
        scene: the scene.
        pixels: number of pixels; all of them if the scene has fewer.
        seed: random seed of the draw.
        max_pixels: largest size of the windows that are read.
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
        statistics: statistics for the z-scores.
        pixels: number of pixels; all of them if the scene has fewer. Pixels without observations are left out.
        seed: random seed of the draw.

    Raises:
        InputError: the scene can't be read, or no drawn pixel has an observation.
    """
    drawn = drawn_observations(open_scene(path), pixels, seed, WINDOW_PIXELS)
    parts = [pack(observations, statistics).tokens for observations in drawn]
    if not sum(map(len, parts)):
        raise InputError(
            f"{path} has no observation in the {pixels} pixels drawn from it; give another scene"
        )
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
    """Draw pixels from scenes, the same number from each, and write their tokens into a folder for `open_pixels`.

    Args:
        scenes: the scenes.
        folder: the folder; made if it does not exist. What an interrupted call left in it is overwritten.
        statistics: statistics for the z-scores.
        pixels: number of pixels in all; there are fewer if scenes are small or pixels have no observations.
        memory: bytes that the process may take.
        seed: random seed of the draws.
        teacher: if given, its embeddings of the pixels are written too.
        progress: called with the number of pixels drawn and in all.

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
                    arrays[TARGETS] = teacher.targets(pack(observations, teacher.statistics).tokens)
                for name, array in arrays.items():
                    files[name].write(np.ascontiguousarray(array).tobytes())
                    counts[name] += len(array)
                drawn += observations.s2.shape[1]
                if progress:
                    progress(i * share + min(drawn, share), share * len(scenes))
            if counts["s2.lengths"] == before:
                raise InputError(
                    f"{scene.path} has no observation in the {share} pixels drawn from it; omit this scene"
                )
    finally:
        for file in files.values():
            file.close()
    dims = teacher.network.config.dims if teacher else 0
    write_text(folder / INDEX, json.dumps({"counts": counts, "dims": dims}))


def is_collected(folder: Path) -> bool:
    """Whether `collect` has finished in a folder."""
    return (folder / INDEX).exists()


def open_pixels(folder: Path) -> tuple[PackedTokens, NDArray[np.float32] | None]:
    """Map the files of `collect`: the tokens of N pixels, and the teacher's embeddings, (N, dims), if it had one."""
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
    """The arrays of tokens, by the names in `FILES`."""
    return {
        f"{modality}.{part}": getattr(of_modality, part).astype(FILES[f"{modality}.{part}"][0], copy=False)
        for modality, of_modality in (("s2", tokens.s2), ("s1", tokens.s1))
        for part in ("values", "doy", "multiplicity", "lengths")
    }


def select_pixels(observations: Observations, pixels: NDArray[np.int64]) -> Observations:
    """Observations of some pixels (N,) of a window, numbered row by row, as (T, N, bands) arrays."""
    flat = {}
    for name in ("s2", "s2_valid", "s1_ascending", "s1_descending"):
        values = getattr(observations, name)
        steps, height, width = values.shape[:3]
        flat[name] = values.reshape(steps, height * width, *values.shape[3:])[:, pixels]
    return replace(observations, **flat)


def concatenate(parts: Sequence[PackedTokens]) -> PackedTokens:
    """Join the pixels of several parts."""
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
