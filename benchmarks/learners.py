"""Scores of all learners of `map` on Flanders 2018: `python benchmarks/learners.py FLANDERS [--presto CLONE] [--peer]`.

Each method learns from the embeddings of the demo model in int8, from monthly medians of the bands and radar, and
from Presto's features, on the same spatial folds, and from the embeddings in squares around pixels. Printed is macro
F1 in percent with its 95 % interval over the blocks, as a table in Markdown.

With --peer, learners of the package tessera-eval are measured on the same folds, and nothing else.

With --years it prints instead what classifiers that were learned in one simulated year find in others.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from peers.presto import presto_features
from peers.spectra import filled, first_month, monthly_medians
from peers.tessera_eval_learners import NAMES, hold_out
from sites import flanders

from tessera_engine import Embeddings, apply, embed, load_model, open_embeddings, open_scene
from tessera_engine import map as make_map
from tessera_engine.analysis.maps.compare import Comparison, Outcome
from tessera_engine.analysis.maps.features import CONTEXTS, features_at
from tessera_engine.analysis.maps.learn import METHODS
from tessera_engine.analysis.maps.report import METHOD_TITLES, score_text
from tessera_engine.simulate import simulate

YEARS = (0, 1, 2)

POINTS = 10
"""Labels of each class for the years."""


def table(scene: Path, presto: Path | None, methods: list[str], work: Path) -> None:
    site = flanders(scene)
    opened = _embedded(scene, work)
    rows, cols = np.divmod(np.arange(len(site.latlon)), opened.grid.width)
    medians = monthly_medians(site.observations)
    features = {"demo, int8": opened.pixels(cols, rows), "monthly medians": filled(medians)}
    if presto is not None:
        weights = presto / "data" / "default_model.pt"
        month = first_month(site.observations)
        features["Presto"] = presto_features(presto, weights, medians, month, site.latlon)
    around = {side: features_at(opened, cols, rows, side) for side in CONTEXTS if side}
    folds = [Comparison(task.y, task.groups, threads=2) for task in site.tasks]
    print(f"| features | method | {' | '.join(task.name for task in site.tasks)} |")
    print("|---" * (2 + len(site.tasks)) + "|")
    tried = [(name, method, x, "") for name, x in features.items() for method in methods]
    for side, x in around.items():
        tried += [("demo, int8", method, x, f", {side} x {side}") for method in methods]
    for name, method, x, surroundings in tried:
        outcomes = [
            each.measure(x[task.pixels], method) for each, task in zip(folds, site.tasks, strict=True)
        ]
        _print_row(f"{name}{surroundings}", METHOD_TITLES[method], outcomes)


def peer_table(scene: Path, work: Path) -> None:
    site = flanders(scene)
    opened = _embedded(scene, work)
    rows, cols = np.divmod(np.arange(len(site.latlon)), opened.grid.width)
    x = opened.pixels(cols, rows)
    folds = [Comparison(task.y, task.groups) for task in site.tasks]
    for name in NAMES:
        outcomes = [
            each.outcome(hold_out(name, x[task.pixels], task.y, each.folds))
            for each, task in zip(folds, site.tasks, strict=True)
        ]
        _print_row("demo, int8", f"tessera-eval {name}", outcomes)


def _print_row(features: str, method: str, outcomes: list[Outcome]) -> None:
    cells = [score_text(each.scores()["macro_f1"], "macro_f1") for each in outcomes]
    print(f"| {features} | {method} | {' | '.join(cells)} |", flush=True)


def _embedded(scene: Path, work: Path) -> Embeddings:
    out = work / "flanders.embeddings"
    embed(open_scene(scene), load_model("demo", "int8"), out, progress=False)
    return open_embeddings(out)


def years(methods: list[str], work: Path) -> None:
    model = load_model("demo", "int8")
    for year in YEARS:
        simulate(work / str(year), 128, 0, year=year)
        embed(open_scene(work / str(year)), model, work / f"{year}.embeddings", progress=False)
    with rasterio.open(work / str(YEARS[0]) / "cover.tif") as file:
        cover, profile = file.read(1), file.profile
    rng, labels = np.random.default_rng(0), np.zeros_like(cover)
    kept = [code for code in np.unique(cover) if code and (cover == code).sum() >= 5 * POINTS]
    for code in kept:
        labels.flat[rng.choice(np.flatnonzero(cover == code), POINTS, replace=False)] = code
    with rasterio.open(work / "labels.tif", "w", **(profile | {"nodata": 0})) as file:
        file.write(labels, 1)
    print(f"| method | {' | '.join(map(str, YEARS))} |\n" + "|---" * (1 + len(YEARS)) + "|")
    for method in methods:
        saved = work / f"{method}.model"
        first = work / f"{YEARS[0]}.embeddings"
        make_map(first, work / "labels.tif", out=work / method, method=method, save=saved, progress=False)
        cells = []
        for year in YEARS:
            apply(saved, work / f"{year}.embeddings", work / f"{method}-{year}", progress=False)
            with rasterio.open(work / f"{method}-{year}" / "map.tif") as file:
                found = file.read(1)
            with rasterio.open(work / str(year) / "cover.tif") as file:
                truth = file.read(1)
            recall = [(found[truth == code] == code).mean() for code in kept if (truth == code).any()]
            cells.append(f"{100 * np.mean(recall):.1f}")
        print(f"| {METHOD_TITLES[method]} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("flanders", type=Path, help="the Flanders 2018 scene with its labels")
    parser.add_argument("--presto", type=Path, help="clone of the authors' repository")
    parser.add_argument("--method", action="append", choices=METHODS, help="may be repeated; default: all")
    parser.add_argument("--peer", action="store_true", help="learners of tessera-eval instead")
    parser.add_argument("--years", action="store_true", help="simulated years instead")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        if asked.years:
            years(asked.method or list(METHODS), Path(work))
        elif asked.peer:
            peer_table(asked.flanders, Path(work))
        else:
            table(asked.flanders, asked.presto, asked.method or list(METHODS), Path(work))


if __name__ == "__main__":
    main()
