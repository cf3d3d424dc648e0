"""Makes the demo model that lies in the package: `python -m tessera_export.train.demo OUT [--scene PATH ...]`.

A network of the nano student's shape, from nothing, on two cores in less than an hour, without labels, on simulated
scenes of many climates, and on real ones where they are given. Two are made: one is distilled from a larger network
that is trained first, the other is trained alone. The one whose embeddings tell land covers better is finished under
int8's rounding, and is the demo model. It shows what the engine does; it is not a published TESSERA model and not meant
for maps.
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
from numpy.typing import NDArray

from tessera_engine.errors import TesseraError
from tessera_engine.model_store import file_name, record_checksum
from tessera_engine.scenes import open_scene
from tessera_engine.simulate import simulate
from tessera_engine.simulate.climate import CLIMATES
from tessera_engine.statistics import V2_STATISTICS
from tessera_engine.tokens import PackedTokens, pack
from tessera_export.checkpoint import save_checkpoint
from tessera_export.export import CPU_PRECISIONS, export_model
from tessera_export.reference import SIZES, Reference, ReferenceConfig
from tessera_export.train.distil import DistilConfig, distil, explained_variance
from tessera_export.train.embedding import embed
from tessera_export.train.loop import multiplies_in_bfloat16
from tessera_export.train.monitor import effective_rank
from tessera_export.train.pixels import concatenate, sample_scene, select_pixels
from tessera_export.train.probe import Score, linear_probe, mean_spectrum
from tessera_export.train.qat import FinishConfig, finish
from tessera_export.train.ssl import TrainConfig, train

NAME = "demo"
LICENCE = "MIT"

SCENES_PER_CLIMATE = 8
TRAINING_SIZE = 128
TRAINING_PIXELS = 1400
"""Of each simulated scene: many scenes with few pixels each, for neighbours tell nearly the same."""
REAL_PIXELS = 4096
"""Of each real scene."""

TEST_SCENES = (("atlantic", 101), ("mediterranean", 102))
"""What the card reports on; climate and seed."""
CHOICE_SCENES = (("continental", 201), ("monsoon", 202))
"""What decides between the two networks."""
TEST_SIZE = 160
TEST_PIXELS = 4000

THREADS = 2
"""Another number would change the result."""

# mixed samples would cost a third of the steps, and in so short a run nothing overfits
TEACHER = TrainConfig(
    ReferenceConfig(latent_dim=48, num_layers=2, num_heads=4, ffn_dim=512, dims=256, prefixes=(256,)),
    steps=1400,
    mixup=0.0,
)
DISTILLED = DistilConfig(SIZES["nano"], steps=2000)
ALONE = TrainConfig(SIZES["nano"], steps=1600, mixup=0.0)
FINISH = FinishConfig()


@dataclass(frozen=True)
class HeldOut:
    """Pixels of a simulated scene that no network was trained on.

    Attributes:
        name: climate and seed.
        tokens: of N pixels.
        truth: (N,) land cover, rows and columns.
        baseline: score of a linear probe for the land cover, from the mean spectrum.
    """

    name: str
    tokens: PackedTokens
    truth: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
    baseline: Score


@dataclass(frozen=True)
class Evaluation:
    """What a network is worth on one simulated scene.

    Attributes:
        scene: which.
        prefixes: length of the embedding -> score of a linear probe for the land cover.
        explained: length of the embedding -> R2 of the teacher's embeddings, reconstructed linearly on held-out pixels.
        rank: effective rank of the embedding.
    """

    scene: HeldOut
    prefixes: dict[int, Score]
    explained: dict[int, float]
    rank: float

    @property
    def accuracy(self) -> float:
        """Mean over prefixes."""
        return float(np.mean([score.accuracy for score in self.prefixes.values()]))

    def __str__(self) -> str:
        scores = ", ".join(f"{length} dims {score.accuracy:.3f}" for length, score in self.prefixes.items())
        told = ", ".join(f"{length} dims {share:.3f}" for length, share in self.explained.items())
        return (
            f"{self.scene.name}: accuracy of a linear probe {scores}; of the mean spectrum "
            f"{self.scene.baseline.accuracy:.3f}; share of the teacher's variance {told}; "
            f"effective rank {self.rank:.1f}"
        )


def make_test_scene(folder: Path, climate: str, seed: int) -> HeldOut:
    """Simulate a scene to test on."""
    simulate(folder, TEST_SIZE, seed, climate=climate)
    scene = open_scene(folder)
    with rasterio.open(folder / "cover.tif") as file:
        cover = file.read(1).ravel().astype(np.int64)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(cover))[:TEST_PIXELS])
    observations = select_pixels(scene.reader.read(scene.grid.window), chosen)
    packed = pack(observations, V2_STATISTICS)
    chosen = chosen[packed.pixels]
    truth = (cover[chosen], *np.divmod(chosen, scene.grid.width))
    baseline = linear_probe(mean_spectrum(observations)[packed.pixels], *truth)
    return HeldOut(f"{climate}, seed {seed}", packed.tokens, truth, baseline)


def evaluate(network: Reference, teacher: Reference, scene: HeldOut) -> Evaluation:
    """Probe a network, and see how much it tells of the teacher."""
    embedding, target = embed(network, scene.tokens), embed(teacher, scene.tokens)
    held_out = np.random.default_rng(0).random(len(target)) < 0.5
    prefixes = network.config.prefixes
    return Evaluation(
        scene,
        {n: linear_probe(embedding[:, :n], *scene.truth) for n in prefixes},
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


@dataclass(frozen=True)
class Made:
    """The better one of the two networks.

    Attributes:
        network: in eval mode.
        how: `distilled` or `alone`.
        evaluations: of it on the test scenes.
    """

    network: Reference
    how: str
    evaluations: list[Evaluation]


def train_and_choose(source: PackedTokens, work: Path) -> Made:
    """Train a teacher, a nano distilled from it and a nano alone; keep the nano that scores better."""
    fast = multiplies_in_bfloat16("cpu")
    teacher = train(TEACHER, source, _say, fast)
    networks = {
        "distilled": distil(DISTILLED, source, embed(teacher, source), _say, fast),
        "alone": train(ALONE, source, _say, fast),
    }
    scores = {}
    for how, network in networks.items():
        found = []
        for climate, seed in CHOICE_SCENES:
            folder = work / f"{how}-{seed}"
            found.append(evaluate(network, teacher, make_test_scene(folder, climate, seed)))
            shutil.rmtree(folder)
            _say(f"{how}, {found[-1]}")
        scores[how] = float(np.mean([evaluation.accuracy for evaluation in found]))
    best = max(scores, key=scores.__getitem__)
    _say(f"chosen: {best} ({', '.join(f'{how} {score:.4f}' for how, score in scores.items())})")
    evaluations = []
    for climate, seed in TEST_SCENES:
        evaluations.append(
            evaluate(networks[best], teacher, make_test_scene(work / f"test-{seed}", climate, seed))
        )
        _say(str(evaluations[-1]))
    return Made(networks[best], best, evaluations)


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
        source = training_pixels(Path(temporary), scenes)
        _say(f"{len(source)} pixels, {len(scenes)} real scenes")
        start = time.monotonic()
        made = train_and_choose(source, Path(temporary))
        network = finish(made.network, source, FINISH, _say)
        minutes = (time.monotonic() - start) / 60
    checkpoint = out / f"{NAME}.pt"
    save_checkpoint(network, checkpoint)
    card = _card(len(source), len(scenes), minutes, made)
    for precision in CPU_PRECISIONS:
        target = out / file_name(NAME, precision)
        report = export_model(
            checkpoint, target, precision, name=NAME, licence=LICENCE, card=card, overwrite=True
        )
        record_checksum(target)
        _say(report.summary())


def _card(pixels: int, real_scenes: int, minutes: float, made: Made) -> str:
    simulated = f"{len(CLIMATES) * SCENES_PER_CLIMATE} simulated scenes of {len(CLIMATES)} climates"
    source = f"{simulated} and {real_scenes} real scene(s)" if real_scenes else simulated
    credit = " Contains modified Copernicus Sentinel data 2017-2018." if real_scenes else ""
    alone = f"by Barlow Twins for {ALONE.steps} steps of {ALONE.batch} pixels, seed {ALONE.seed}"
    distilled = (
        f"for {DISTILLED.steps} steps of {DISTILLED.batch} pixels, seed {DISTILLED.seed}, by distilling from a network "
        f"of width {TEACHER.model.d_model} and {TEACHER.model.dims} dimensions that was trained the same way (Barlow "
        f"Twins, {TEACHER.steps} steps of {TEACHER.batch} pixels, seed {TEACHER.seed})"
    )
    return (
        "A demonstration, not a published TESSERA model: a network of the nano student's shape, trained from nothing "
        f"without labels on {pixels} pixels of {source}, {distilled if made.how == 'distilled' else alone}; all in "
        f"{minutes:.0f} minutes on {THREADS} threads, with a finish under int8's rounding where that gained anything."
        f"{credit} Tested, before that, on land covers of simulated scenes that it was not trained on, spatial blocks: "
        f"{'. '.join(map(str, made.evaluations))}. Its limits: it has seen hardly any real ground. Use a published "
        "model for maps."
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
