"""Scores of compressed embeddings and of other encoders in downstream tasks: `python benchmarks/compression.py OUT`.

It uses only the CPU, and writes `compression.md` and `compression.png` into OUT. Without --flanders it measures only
simulated scenes; without --presto it leaves that peer out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from compression_report import picture, report
from numpy.typing import NDArray
from peers.presto import presto_features
from peers.spectra import filled, first_month, monthly_medians
from sites import Site, Task, flanders, simulated, simulated_tile
from small_forms import OFFERED, TRIED, Stored, found_neighbours

from tessera_engine.analysis.maps.compare import Comparison, Outcome
from tessera_engine.analysis.maps.learn import EVALUATED
from tessera_engine.machine import check_threads
from tessera_engine.model.drift import Drift, measure
from tessera_engine.running.loading import Model as Loaded
from tessera_engine.running.loading import load_model
from tessera_engine.simulate import simulate
from tessera_engine.tokens import pack
from tessera_export.checkpoint import save_checkpoint
from tessera_export.export import CPU_PRECISIONS, export_model
from tessera_export.reference import SIZES, Reference

PROBE = "linear"

CALIBRATION_SEED, CALIBRATION_SIZE = 1, 64
"""Seed and size of the scene that static scales are calibrated on."""

PAIRED = ("linear", "knn")
"""Methods that compare forms with float32. The randomness of a forest is larger than the differences."""

TOGETHER = 1 << 15
"""Pixels whose tokens are in memory at a time."""


@dataclass(frozen=True)
class Measured:
    """One form of the embeddings that one precision computes.

    Attributes:
        compute: precision of the network.
        form: how its embeddings are stored.
        drift: from the float32 network, cut to as many dimensions; None for binary, which has no lengths.
        neighbours: share of the nearest neighbours that are found; like drift, None where there are too few pixels.
        reranked: the same after re-ranking; None for other forms than binary.
        outcomes: (site, task, method) -> scores.
    """

    compute: str
    form: Stored
    drift: Drift | None
    neighbours: float | None
    reranked: float | None
    outcomes: dict[tuple[str, str, str], Outcome]


@dataclass(frozen=True)
class Peer:
    """Other features of Flanders.

    Attributes:
        name: name in the report.
        dims: number of features.
        outcomes: (task, method) -> scores.
    """

    name: str
    dims: int
    outcomes: dict[tuple[str, str], Outcome]


def embed_site(model: Loaded, site: Site, pixels: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
    """Embed pixels of a site, which all have observations; all of them by default.

    Returns:
        (N, 128) float32 for all pixels of the site; NaN where a pixel isn't embedded.
    """
    wanted = np.arange(len(site.latlon)) if pixels is None else pixels
    found = np.full((len(site.latlon), model.facts.dims), np.nan, np.float32)
    for first in range(0, len(wanted), TOGETHER):
        part = wanted[first : first + TOGETHER]
        packed = pack(site.observations_of(part), model.facts)
        assert len(packed.pixels) == len(part)
        found[part] = model.backend.run(packed.tokens)
    return found


def load(model: str, folder: Path, threads: int) -> dict[str, Loaded]:
    """Load a model in every precision for CPUs, and in the precision for GPUs with static scales, computed on the CPU.

    The scales are calibrated on a simulated scene that is not measured.
    """
    simulate(folder / "calibration", CALIBRATION_SIZE, CALIBRATION_SEED)
    static = folder / "qdq.onnx"
    export_model(model, static, "int8", target="tensorrt", calibrate=[folder / "calibration"])
    loaded = {precision: load_model(model, precision, threads=threads) for precision in CPU_PRECISIONS}
    return loaded | {"qdq": load_model(str(static), backend="onnxruntime", threads=threads)}


def comparisons(sites: list[Site], threads: int) -> dict[tuple[str, str], Comparison]:
    """Folds and draws of each task, shared by all features."""
    return {
        (site.name, task.name): Comparison(task.y, task.groups, threads=threads)
        for site in sites
        for task in site.tasks
    }


def measure_form(
    compute: str,
    form: Stored,
    sites: list[Site],
    embeddings: dict[tuple[str, str], NDArray[np.float32]],
    folds: dict[tuple[str, str], Comparison],
    methods: tuple[str, ...],
) -> Measured:
    """Measure one form; the keys of `embeddings` are precision and site. Drift and neighbours are the first site's."""
    drift, neighbours, reranked, outcomes = None, None, None, {}
    for site in sites:
        embedding = embeddings[compute, site.name]
        if form.whole and not (site.width and np.isfinite(embedding[:, 0]).all()):
            continue
        back = form.back(embedding, site.width)
        if site is sites[0]:
            reference, binary = embeddings["fp32", site.name], form.name.startswith("binary")
            drift = None if binary else measure(reference[:, : back.shape[1]], back)
            neighbours = found_neighbours(reference, back)
            reranked = found_neighbours(reference, back, rerank=True) if binary else None
        for task in site.tasks:
            for method in methods:
                outcome = folds[site.name, task.name].measure(back[task.pixels], method)
                outcomes[site.name, task.name, method] = outcome
    say(f"{compute}, {form.name}: measured")
    return Measured(compute, form, drift, neighbours, reranked, outcomes)


def measure_peer(name: str, features: NDArray[np.float32], tasks: tuple[Task, ...], folds: dict) -> Peer:
    """Measure all methods with features of the first site's pixels."""
    outcomes = {}
    for task in tasks:
        for method in EVALUATED:
            outcomes[task.name, method] = folds[task.name].measure(features[task.pixels], method)
    say(f"{name}: measured")
    return Peer(name, features.shape[1], outcomes)


def random_weights(folder: Path, threads: int) -> Loaded:
    """A network of nano's shape with random weights: its dimensions have no order, and vectors are nearly equal."""
    torch.manual_seed(0)
    save_checkpoint(Reference(SIZES["nano"]).eval(), folder / "random.pt")
    export_model(folder / "random.pt", folder / "random.fp32.onnx", "fp32")
    return load_model(str(folder / "random.fp32.onnx"), threads=threads)


def main() -> None:
    """Read the command line, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for compression.md and compression.png")
    parser.add_argument("--model", default="demo", help="name of a model with files in fp32 and int8")
    parser.add_argument("--flanders", type=Path, help="the Flanders 2018 scene with its labels")
    parser.add_argument("--presto", type=Path, help="clone of the authors' repository")
    parser.add_argument("--threads", type=int)
    asked = parser.parse_args()
    threads, start = check_threads(asked.threads), time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        sites = [flanders(asked.flanders)] if asked.flanders else []
        sites += [*simulated(work), simulated_tile(work)]
        folds = comparisons(sites, threads)
        models = load(asked.model, work, threads)
        embeddings = {}
        for precision, model in models.items():
            for site in sites:
                # The graph for GPUs takes 6 ms a pixel on a CPU
                chosen = site.labelled if precision == "qdq" else None
                embeddings[precision, site.name] = embed_site(model, site, chosen)
                say(f"{precision}, {site.name}: embedded after {time.perf_counter() - start:.0f} s")
        measured = [
            measure_form(precision, form, sites, embeddings, folds, PAIRED)
            for precision in models
            for form in OFFERED
        ]
        tried = [measure_form("fp32", form, sites, embeddings, folds, (PROBE,)) for form in TRIED]
        random = {("fp32", sites[0].name): embed_site(random_weights(work, threads), sites[0])}
    unordered = [
        measure_form("fp32", form, sites[:1], random, folds, (PROBE,)) for form in (*OFFERED, *TRIED)
    ]
    peers = []
    if asked.flanders:
        site = sites[0]
        of_tasks = {task.name: folds[site.name, task.name] for task in site.tasks}
        medians = monthly_medians(site.observations)
        named = {"monthly medians of bands and radar": filled(medians)}
        if asked.presto:
            weights = asked.presto / "data" / "default_model.pt"
            month = first_month(site.observations)
            named["Presto"] = presto_features(asked.presto, weights, medians, month, site.latlon)
        named |= {
            f"{asked.model}, {precision}": embeddings[precision, site.name] for precision in CPU_PRECISIONS
        }
        peers = [measure_peer(name, features, site.tasks, of_tasks) for name, features in named.items()]
    asked.out.mkdir(exist_ok=True)
    tile = sites[-1]
    sizes = {
        form.name: form.size(embeddings["fp32", tile.name], tile.width) / len(tile.latlon)
        for form in OFFERED
        if form.size is not None
    }
    minutes = (time.perf_counter() - start) / 60
    text = report(asked.model, sites, measured, tried, unordered, peers, sizes, minutes)
    (asked.out / "compression.md").write_text(text, encoding="utf-8")
    picture(measured, tried, peers, asked.out / "compression.png")
    print(text)


def say(line: str) -> None:
    """Print a line about the progress."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
