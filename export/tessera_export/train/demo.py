"""Makes the demo model that lies in the package: `python -m tessera_export.train.demo OUT [--scene PATH ...]`.

A nano student, trained from nothing in some ten minutes on one core: on simulated scenes, and on real ones where
they are given. It shows what the engine does; it is not a published TESSERA model and not meant for maps.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray

from tessera_engine.backends.rectangles import batches, rectangle
from tessera_engine.errors import TesseraError
from tessera_engine.model_file import INPUT_NAMES
from tessera_engine.model_store import file_name, record_checksum
from tessera_engine.scenes import open_scene
from tessera_engine.simulate import simulate
from tessera_engine.statistics import V2_STATISTICS
from tessera_engine.tokens import PackedTokens, pack
from tessera_export.checkpoint import save_checkpoint
from tessera_export.export import CPU_PRECISIONS, export_model
from tessera_export.reference import SIZES, Reference
from tessera_export.train.pixels import concatenate, sample_scene, select_pixels
from tessera_export.train.probe import Score, effective_rank, linear_probe, mean_spectrum
from tessera_export.train.ssl import TrainConfig, train

NAME = "demo"
LICENCE = "MIT"

TRAINING_SEEDS = range(1, 9)
TRAINING_SIZE = 192
TRAINING_PIXELS = 3000
"""Of each simulated scene."""
REAL_PIXELS = 4096
"""Of each real scene."""

TEST_SEEDS = (101, 102)
TEST_SIZE = 160
TEST_PIXELS = 4000

# mixed samples would cost a third of the steps, and in so short a run nothing overfits
CONFIG = TrainConfig(SIZES["nano"], steps=300, mixup=0.0)


@dataclass(frozen=True)
class Evaluation:
    """How well linear probes tell the land covers of one simulated scene apart.

    Attributes:
        seed: of the scene.
        baseline: from the mean spectrum.
        prefixes: length of the embedding -> score.
        rank: effective rank of the embedding.
    """

    seed: int
    baseline: Score
    prefixes: dict[int, Score]
    rank: float

    def __str__(self) -> str:
        scores = ", ".join(f"{length} dims {score.accuracy:.3f}" for length, score in self.prefixes.items())
        return (
            f"seed {self.seed}: accuracy of a linear probe {scores}; of the mean spectrum "
            f"{self.baseline.accuracy:.3f}; effective rank {self.rank:.1f}"
        )


def embed(network: Reference, tokens: PackedTokens) -> NDArray[np.float32]:
    """Embed pixels with the reference: (N, dims) float32."""
    embedding = np.empty((len(tokens), network.config.dims), np.float32)
    with torch.inference_mode():
        for pixels in batches(tokens, 1 << 15):
            inputs = rectangle(tokens.s2, pixels, "s2") | rectangle(tokens.s1, pixels, "s1")
            arguments = (torch.from_numpy(inputs[name]) for name in INPUT_NAMES)
            embedding[pixels] = network(*arguments).numpy()
    return embedding


def evaluate(network: Reference, folder: Path, seed: int) -> Evaluation:
    """Probe the network on a simulated scene in `folder`, made with `seed`."""
    scene = open_scene(folder)
    with rasterio.open(folder / "cover.tif") as file:
        cover = file.read(1).ravel().astype(np.int64)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(cover))[:TEST_PIXELS])
    observations = select_pixels(scene.reader.read(scene.grid.window), chosen)
    embedding = embed(network, pack(observations, V2_STATISTICS).tokens)
    truth = (cover[chosen], *np.divmod(chosen, scene.grid.width))
    return Evaluation(
        seed,
        linear_probe(mean_spectrum(observations), *truth),
        {n: linear_probe(embedding[:, :n], *truth) for n in network.config.prefixes},
        effective_rank(embedding),
    )


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
        parts = [sample_scene(scene, V2_STATISTICS, REAL_PIXELS, seed=0) for scene in scenes]
        for seed in TRAINING_SEEDS:
            simulate(work / str(seed), TRAINING_SIZE, seed)
            parts.append(sample_scene(work / str(seed), V2_STATISTICS, TRAINING_PIXELS, seed))
        source = concatenate(parts)
        _say(f"{len(source)} pixels, {len(scenes)} real scenes")
        start = time.process_time()
        network = train(CONFIG, source, _say)
        minutes = (time.process_time() - start) / 60
        evaluations = []
        for seed in TEST_SEEDS:
            simulate(work / str(seed), TEST_SIZE, seed)
            evaluations.append(evaluate(network, work / str(seed), seed))
            _say(str(evaluations[-1]))
    checkpoint = out / f"{NAME}.pt"
    save_checkpoint(network, checkpoint)
    card = _card(len(source), len(scenes), minutes, evaluations)
    for precision in CPU_PRECISIONS:
        target = out / file_name(NAME, precision)
        report = export_model(
            checkpoint, target, precision, name=NAME, licence=LICENCE, card=card, overwrite=True
        )
        record_checksum(target)
        _say(report.summary())


def _card(pixels: int, real_scenes: int, minutes: float, evaluations: list[Evaluation]) -> str:
    made = f"simulated scenes of seeds {TRAINING_SEEDS[0]} to {TRAINING_SEEDS[-1]}"
    source = f"{made} and {real_scenes} real scene(s)" if real_scenes else made
    credit = " Contains modified Copernicus Sentinel data 2017-2018." if real_scenes else ""
    return (
        f"A demonstration, not a published TESSERA model: a network of the nano student's shape, trained from "
        f"nothing without labels (Barlow Twins) for {CONFIG.steps} steps of {CONFIG.batch} pixels, {minutes:.0f} "
        f"minutes on one core, on {pixels} pixels of {source}.{credit} Land covers of simulated scenes that it "
        f"was not trained on, spatial blocks, {'. '.join(map(str, evaluations))}. Use a published model for maps."
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Read the command line, and train on one thread: more would change the result."""
    parser = argparse.ArgumentParser(
        prog="python -m tessera_export.train.demo", description=make_demo.__doc__
    )
    parser.add_argument("out", type=Path, help="folder for the model files")
    parser.add_argument("--scene", type=Path, nargs="*", default=[], help="real scenes to train on, too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        make_demo(arguments.out, arguments.scene)
    except TesseraError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
