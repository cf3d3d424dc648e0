"""What a nano's embeddings are worth by how it was trained: `python benchmarks/recipes.py --flanders SCENE`.

Prints two tables: macro F1 of a linear probe, on Flanders and on simulated scenes that nobody was trained on; and how
much of a larger network of one's own each nano tells, distilled from it or not. CPU only, half an hour on two cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sites import flanders, simulated

from tessera_engine.analysis.maps.compare import Comparison
from tessera_engine.machine import check_threads
from tessera_engine.model.statistics import V2_STATISTICS
from tessera_engine.tokens import pack
from tessera_export.reference import SIZES, Reference, ReferenceConfig
from tessera_export.train.demo import DISTILLED, standardised, training_pixels
from tessera_export.train.distil import distil, explained_variance
from tessera_export.train.embedding import embed_tokens
from tessera_export.train.loop import multiplies_in_bfloat16
from tessera_export.train.seasons import seasons
from tessera_export.train.ssl import TrainConfig, train

LARGER = ReferenceConfig(latent_dim=48, num_layers=2, num_heads=4, ffn_dim=512, dims=256, prefixes=(256,))


def main() -> None:
    """Read the command line, train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--flanders", type=Path, required=True, help="the Flanders 2018 scene with its labels"
    )
    parser.add_argument("--steps", type=int, default=DISTILLED.steps, help="of each training")
    parser.add_argument("--threads", type=int)
    asked = parser.parse_args()
    threads, fast = check_threads(asked.threads), multiplies_in_bfloat16("cpu")
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as temporary:
        source = training_pixels(Path(temporary), [asked.flanders])
        sites = [flanders(asked.flanders), *simulated(Path(temporary))]
    tokens = [pack(site.observations, V2_STATISTICS).tokens for site in sites]
    tasks = [
        (i, task, Comparison(task.y, task.groups, threads=threads))
        for i, site in enumerate(sites)
        for task in site.tasks
    ]

    nano = SIZES["nano"]

    def untrained() -> Reference:
        torch.manual_seed(0)
        return Reference(nano).eval()

    def alone(model: ReferenceConfig) -> Reference:
        return train(TrainConfig(model, steps=asked.steps, mixup=0.0), source, say, fast)

    def distilled(targets: NDArray[np.float32]) -> Reference:
        return distil(replace(DISTILLED, steps=asked.steps), source, targets, say, fast)

    larger = alone(LARGER)
    of_larger = standardised(embed_tokens(larger, source))
    of_seasons = standardised(seasons(source))
    recipes: dict[str, Callable[[], Reference]] = {
        "untrained": untrained,
        "Barlow Twins, larger": lambda: larger,
        "Barlow Twins": lambda: alone(nano),
        "distilled from the larger": lambda: distilled(of_larger),
        "distilled from the seasons": lambda: distilled(of_seasons),
        "distilled from both": lambda: distilled(np.concatenate([of_larger, of_seasons], axis=1)),
    }
    print("| trained | dims |", " | ".join(f"{sites[i].name}, {task.name}" for i, task, _ in tasks), "|")
    print("|---" * (2 + len(tasks)) + "|")
    teacher = [embed_tokens(larger, each) for each in tokens]
    told = [
        "| the larger network's variance told by | site | " + " | ".join(map(str, nano.prefixes)) + " |",
        "|---" * 6 + "|",
    ]
    for name, make in recipes.items():
        network = make()
        embeddings = [embed_tokens(network, each) for each in tokens]
        for dims in sorted({network.config.dims, 16}, reverse=True):
            scores = (
                folds.measure(embeddings[i][task.pixels, :dims], "linear").values["macro_f1"]
                for i, task, folds in tasks
            )
            print(
                f"| {name} | {dims} |", " | ".join(f"{100 * score:.1f}" for score in scores), "|", flush=True
            )
        if network is larger:
            continue
        for site, student, truth in zip(sites, embeddings, teacher, strict=True):
            held_out = np.random.default_rng(0).random(len(truth)) < 0.5
            shares = (explained_variance(student[:, :dims], truth, held_out) for dims in nano.prefixes)
            told.append(f"| {name} | {site.name} | " + " | ".join(f"{share:.3f}" for share in shares) + " |")
    print("\n" + "\n".join(told))


def say(line: str) -> None:
    """Progress."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
