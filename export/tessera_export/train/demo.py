"""Makes the demo model that lies in the package: `python -m tessera_export.train.demo OUT [--scene PATH ...]`.

A network of the nano student's shape, from nothing, on two cores in less than an hour: a larger network of the same
kind is trained without labels on simulated scenes of many climates, and on real ones where they are given; nano is
distilled from it. It shows what the engine does; it is not a published TESSERA model and not meant for maps.
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
import rasterio
import torch

from tessera_engine.errors import TesseraError
from tessera_engine.model_file import PRECISIONS
from tessera_engine.model_store import file_name, record_checksum
from tessera_engine.scenes import open_scene
from tessera_engine.simulate import simulate
from tessera_engine.simulate.climate import CLIMATES
from tessera_engine.statistics import V2_STATISTICS
from tessera_engine.tokens import PackedTokens, pack
from tessera_export.checkpoint import save_checkpoint
from tessera_export.export import export_model
from tessera_export.reference import SIZES, Reference, ReferenceConfig
from tessera_export.train.distil import DistilConfig, distil, explained_variance
from tessera_export.train.embedding import embed
from tessera_export.train.loop import multiplies_in_bfloat16
from tessera_export.train.monitor import effective_rank
from tessera_export.train.pixels import concatenate, sample_scene, select_pixels
from tessera_export.train.probe import Score, linear_probe, mean_spectrum
from tessera_export.train.ssl import TrainConfig, train

NAME = "demo"
LICENCE = "MIT"

SCENES_PER_CLIMATE = 8
TRAINING_SIZE = 128
TRAINING_PIXELS = 1400
"""Of each simulated scene: many scenes with few pixels each, for neighbours tell nearly the same."""
REAL_PIXELS = 4096
"""Of each real scene."""

TEST_SEEDS = {"atlantic": 101, "mediterranean": 102}
TEST_SIZE = 160
TEST_PIXELS = 4000

THREADS = 2
"""Another number would change the result."""

# mixed samples would cost a third of the steps, and in so short a run nothing overfits
TEACHER = TrainConfig(
    ReferenceConfig(latent_dim=48, num_layers=2, num_heads=4, ffn_dim=512, dims=256, prefixes=(256,)),
    steps=1200,
    mixup=0.0,
)
STUDENT = DistilConfig(SIZES["nano"], steps=2000)


@dataclass(frozen=True)
class Evaluation:
    """What the model is worth on one simulated scene.

    Attributes:
        climate: of the scene.
        seed: of the scene.
        baseline: of a linear probe for the land cover, from the mean spectrum.
        prefixes: length of the embedding -> score of a linear probe.
        explained: length of the embedding -> R2 of the teacher's embeddings, reconstructed linearly on held-out pixels.
        rank: effective rank of the embedding.
    """

    climate: str
    seed: int
    baseline: Score
    prefixes: dict[int, Score]
    explained: dict[int, float]
    rank: float

    def __str__(self) -> str:
        scores = ", ".join(f"{length} dims {score.accuracy:.3f}" for length, score in self.prefixes.items())
        told = ", ".join(f"{length} dims {share:.3f}" for length, share in self.explained.items())
        return (
            f"{self.climate}, seed {self.seed}: accuracy of a linear probe {scores}; of the mean spectrum "
            f"{self.baseline.accuracy:.3f}; share of the teacher's variance {told}; "
            f"effective rank {self.rank:.1f}"
        )


def evaluate(network: Reference, teacher: Reference, folder: Path, climate: str, seed: int) -> Evaluation:
    """Probe the network on a simulated scene in `folder`, made with `seed` in a climate."""
    scene = open_scene(folder)
    with rasterio.open(folder / "cover.tif") as file:
        cover = file.read(1).ravel().astype(np.int64)
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(cover))[:TEST_PIXELS])
    observations = select_pixels(scene.reader.read(scene.grid.window), chosen)
    tokens = pack(observations, V2_STATISTICS).tokens
    embedding, target = embed(network, tokens), embed(teacher, tokens)
    truth = (cover[chosen], *np.divmod(chosen, scene.grid.width))
    held_out = rng.random(len(chosen)) < 0.5
    prefixes = network.config.prefixes
    return Evaluation(
        climate,
        seed,
        linear_probe(mean_spectrum(observations), *truth),
        {n: linear_probe(embedding[:, :n], *truth) for n in prefixes},
        {n: explained_variance(embedding[:, :n], target, held_out) for n in prefixes},
        effective_rank(embedding),
    )


def training_pixels(work: Path, scenes: list[Path]) -> PackedTokens:
    """Pixels of simulated scenes of all climates, and of the given ones."""
    parts = [sample_scene(scene, V2_STATISTICS, REAL_PIXELS, seed=0) for scene in scenes]
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
        out: the folder; made if it isn't there. Files of those names are replaced.
        scenes: real scenes to train on, beside the simulated ones.

    Raises:
        InputError: a scene can't be read, or the files can't be written.
        CheckFailed: an exported file is not as promised.
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        source = training_pixels(work, scenes)
        _say(f"{len(source)} pixels, {len(scenes)} real scenes")
        start = time.monotonic()
        fast = multiplies_in_bfloat16("cpu")
        teacher = train(TEACHER, source, _say, fast)
        network = distil(STUDENT, source, embed(teacher, source), _say, fast)
        minutes = (time.monotonic() - start) / 60
        evaluations = []
        for climate, seed in TEST_SEEDS.items():
            simulate(work / climate, TEST_SIZE, seed, climate=climate)
            evaluations.append(evaluate(network, teacher, work / climate, climate, seed))
            _say(str(evaluations[-1]))
    checkpoint = out / f"{NAME}.pt"
    save_checkpoint(network, checkpoint)
    card = _card(len(source), len(scenes), minutes, evaluations)
    for precision in PRECISIONS:
        target = out / file_name(NAME, precision)
        report = export_model(
            checkpoint, target, precision, name=NAME, licence=LICENCE, card=card, overwrite=True
        )
        record_checksum(target)
        _say(report.summary())


def _card(pixels: int, real_scenes: int, minutes: float, evaluations: list[Evaluation]) -> str:
    made = f"{len(CLIMATES) * SCENES_PER_CLIMATE} simulated scenes of {len(CLIMATES)} climates"
    source = f"{made} and {real_scenes} real scene(s)" if real_scenes else made
    credit = " Contains modified Copernicus Sentinel data 2017-2018." if real_scenes else ""
    teacher, student = TEACHER, STUDENT
    return (
        "A demonstration, not a published TESSERA model: a network of the nano student's shape, trained from nothing "
        f"without labels on {pixels} pixels of {source}, in {minutes:.0f} minutes on {THREADS} threads.{credit} "
        f"A teacher of width {teacher.model.d_model} and {teacher.model.dims} dimensions was trained first (Barlow "
        f"Twins, {teacher.steps} steps of {teacher.batch} pixels, seed {teacher.seed}). This network was distilled "
        f"from it ({student.steps} steps of {student.batch} pixels, seed {student.seed}). Tested on land covers of "
        f"simulated scenes that neither was trained on, spatial blocks: {'. '.join(map(str, evaluations))}. Its "
        "limits: it has seen hardly any real ground. Use a published model for maps."
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Read the command line and make the model."""
    parser = argparse.ArgumentParser(
        prog="python -m tessera_export.train.demo", description=make_demo.__doc__
    )
    parser.add_argument("out", type=Path, help="folder for the model files")
    parser.add_argument("--scene", type=Path, nargs="*", default=[], help="real scenes to train on, too")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    try:
        make_demo(arguments.out, arguments.scene)
    except TesseraError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
