"""Makes the demo model of the package: `python -m tessera_export.train.demo OUT [--scene PATH ...]`.

It trains a network of the nano student's shape from random weights, on two cores in some minutes, without labels. The
pixels come from simulated scenes of many climates, and from real ones if they are given. The network is distilled from
the seasons of the pixels themselves and finished under int8's rounding. A larger network as the teacher, and Barlow
Twins alone, were less accurate for real land covers (docs/training.md). The demo shows what the engine does. It is not
a published TESSERA model and not meant for maps.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tessera_engine.errors import TesseraError
from tessera_engine.gdal import gdal_environment, raster_reader
from tessera_engine.model.installed import file_name, record_checksum
from tessera_engine.model.statistics import V2_STATISTICS
from tessera_engine.scenes import open_scene
from tessera_engine.simulate import simulate
from tessera_engine.simulate.climate import CLIMATES
from tessera_engine.tokens import PackedTokens, pack
from tessera_export.checkpoint import save_checkpoint
from tessera_export.export import CPU_PRECISIONS, Description, export_model
from tessera_export.reference import SIZES, Reference
from tessera_export.train.distil import DistilConfig, distil, explained_variance
from tessera_export.train.embedding import embed_tokens
from tessera_export.train.loop import multiplies_in_bfloat16
from tessera_export.train.monitor import effective_rank
from tessera_export.train.pixels import concatenate, sample_scene, select_pixels
from tessera_export.train.probe import Score, linear_probe, mean_spectrum
from tessera_export.train.qat import FinishConfig, finish
from tessera_export.train.seasons import seasons

NAME = "demo"
LICENCE = "MIT"

SCENES_PER_CLIMATE = 8
TRAINING_SIZE = 128
TRAINING_PIXELS = 1400
"""Pixels of each simulated scene. Many scenes with few pixels each are better, since neighbours are nearly equal."""
REAL_PIXELS = 4096
"""Pixels of each real scene."""
REAL_TIMES = 8
"""Number of times that a real pixel is repeated. With one real scene, a third of all pixels are real."""

TEST_SCENES = (("atlantic", 101), ("mediterranean", 102), ("continental", 201), ("monsoon", 202))
"""Climates and seeds of the scenes that the card reports on."""
TEST_SIZE = 160
TEST_PIXELS = 4000

THREADS = 2
"""CPU threads. Another number would change the result."""

# With 2,000 steps, simulated land covers are predicted better and real ones worse, and other weather looks like another
# land cover
DISTILLED = DistilConfig(SIZES["nano"], steps=400)
FINISH = FinishConfig()


@dataclass(frozen=True)
class HeldOut:
    """Pixels of a simulated scene that no network was trained on.

    Attributes:
        name: climate and seed.
        tokens: of N pixels.
        truth: land cover, row and column of each pixel, (N,) each.
        baseline: score of a linear probe of the mean spectrum for the land cover.
    """

    name: str
    tokens: PackedTokens
    truth: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
    baseline: Score


@dataclass(frozen=True)
class Evaluation:
    """The quality of a network on one simulated scene.

    Attributes:
        scene: the scene.
        prefixes: length of the embedding -> score of a linear probe for the land cover.
        explained: length of the embedding -> R2 of the seasons, predicted linearly on held-out pixels.
        rank: effective rank of the embedding.
    """

    scene: HeldOut
    prefixes: dict[int, Score]
    explained: dict[int, float]
    rank: float

    def __str__(self) -> str:
        scores = ", ".join(f"{length} dims {score.accuracy:.3f}" for length, score in self.prefixes.items())
        told = ", ".join(f"{length} dims {share:.3f}" for length, share in self.explained.items())
        return (
            f"{self.scene.name}: accuracy of a linear probe {scores}; of the mean spectrum "
            f"{self.scene.baseline.accuracy:.3f}; share of the seasons' variance {told}; "
            f"effective rank {self.rank:.1f}"
        )


def make_test_scene(folder: Path, climate: str, seed: int) -> HeldOut:
    """Simulate a scene to test on."""
    simulate(folder, TEST_SIZE, seed, climate=climate)
    scene = open_scene(folder)
    with gdal_environment(), raster_reader(folder / "cover.tif") as file:
        cover = file.read(1).ravel().astype(np.int64)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(cover))[:TEST_PIXELS])
    observations = select_pixels(scene.reader.read(scene.grid.window), chosen)
    packed = pack(observations, V2_STATISTICS)
    chosen = chosen[packed.pixels]
    truth = (cover[chosen], *np.divmod(chosen, scene.grid.width))
    baseline = linear_probe(mean_spectrum(observations)[packed.pixels], *truth)
    return HeldOut(f"{climate}, seed {seed}", packed.tokens, truth, baseline)


def evaluate(network: Reference, scene: HeldOut) -> Evaluation:
    """Measure how well the embeddings of a network predict land cover and seasons."""
    embedding, target = embed_tokens(network, scene.tokens), standardised(seasons(scene.tokens))
    held_out = np.random.default_rng(0).random(len(target)) < 0.5
    prefixes = network.config.prefixes
    return Evaluation(
        scene,
        {n: linear_probe(embedding[:, :n], *scene.truth) for n in prefixes},
        {n: explained_variance(embedding[:, :n], target, held_out) for n in prefixes},
        effective_rank(embedding),
    )


def standardised(targets: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, D) with mean 0 and variance 1 in each dimension, so that all have the same weight; 0 if it is constant."""
    spread = targets.std(axis=0)
    found: NDArray[np.float32] = (targets - targets.mean(axis=0)) / np.where(
        spread > 0, spread, np.float32(1)
    )
    return found


def training_pixels(work: Path, scenes: list[Path]) -> PackedTokens:
    """Pixels of simulated scenes of all climates, and of the given scenes."""
    parts = [sample_scene(scene, V2_STATISTICS, REAL_PIXELS, seed=0) for scene in scenes] * REAL_TIMES
    for number, climate in enumerate(CLIMATES, 1):
        for seed in range(1000 * number, 1000 * number + SCENES_PER_CLIMATE):
            folder = work / str(seed)
            simulate(folder, TRAINING_SIZE, seed, climate=climate)
            parts.append(sample_scene(folder, V2_STATISTICS, TRAINING_PIXELS, seed))
            shutil.rmtree(folder)
    return concatenate(parts)


def make_demo(out: Path, scenes: list[Path]) -> None:
    """Train the demo model and write `demo.pt`, `demo.fp32.onnx` and `demo.int8.onnx` into a folder.

    Args:
        out: the folder; made if it does not exist. Existing files of these names are replaced.
        scenes: real scenes to train on, besides the simulated ones.

    Raises:
        InputError: a scene can't be read, or the files can't be written.
        CheckFailed: an exported file did not pass its validation.
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        source = training_pixels(Path(temporary), scenes)
        _say(f"{len(source)} pixels, {len(scenes)} real scenes")
        start = time.monotonic()
        targets = standardised(seasons(source))
        trained = distil(DISTILLED, source, targets, _say, multiplies_in_bfloat16("cpu"))
        network = finish(trained, source, FINISH, _say)
        minutes = (time.monotonic() - start) / 60
        evaluations = []
        for climate, seed in TEST_SCENES:
            held_out = make_test_scene(Path(temporary) / f"test-{seed}", climate, seed)
            evaluations.append(evaluate(network, held_out))
            _say(str(evaluations[-1]))
    checkpoint = out / f"{NAME}.pt"
    save_checkpoint(network, checkpoint)
    card = _card(len(source), len(scenes), minutes, evaluations)
    for precision in CPU_PRECISIONS:
        target = out / file_name(NAME, precision)
        report = export_model(
            checkpoint, target, precision, description=Description(NAME, LICENCE, card), overwrite=True
        )
        record_checksum(target)
        _say(report.summary())


def _card(pixels: int, real_scenes: int, minutes: float, evaluations: list[Evaluation]) -> str:
    simulated = f"{len(CLIMATES) * SCENES_PER_CLIMATE} simulated scenes of {len(CLIMATES)} climates"
    real = f" and {real_scenes} real scene(s), whose pixels count {REAL_TIMES} times" if real_scenes else ""
    credit = " Contains modified Copernicus Sentinel data 2017-2018." if real_scenes else ""
    return (
        "A demonstration, not a published TESSERA model: a network of the nano student's shape, trained from nothing "
        f"without labels on {pixels} pixels of {simulated}{real}, for {DISTILLED.steps} steps of {DISTILLED.batch} "
        f"pixels, seed {DISTILLED.seed}, to tell each month's bands from any part of the year; {minutes:.0f} minutes "
        f"on {THREADS} threads, with a finish under int8's rounding where that gained anything.{credit} Tested on land "
        "covers of simulated scenes that it was not trained on, spatial blocks: "
        f"{'. '.join(map(str, evaluations))}. Its limits: it has seen hardly any real ground, and wasn't trained by "
        "TESSERA's objective. Use a published model for maps."
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Read the command line and make the model."""
    parser = argparse.ArgumentParser(
        prog="python -m tessera_export.train.demo", description=make_demo.__doc__
    )
    parser.add_argument("out", type=Path, help="folder for the model files")
    parser.add_argument(
        "--scene",
        type=Path,
        nargs="*",
        default=[],
        help="real scenes to train on, besides the simulated ones",
    )
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    try:
        make_demo(arguments.out, arguments.scene)
    except TesseraError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
