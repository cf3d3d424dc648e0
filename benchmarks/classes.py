"""How accurate the live classes of `view` are with few labels, and what they cost.

    python benchmarks/classes.py OUTPUT TRUTH.tif

OUTPUT is embeddings; TRUTH.tif has the class of each of its pixels (0: not known). Labels are drawn at random; the
balanced accuracy is measured on up to 4,000 other pixels, or on all of them for the suggestions. Printed:

* class means, ridge regression (as `tessera_engine.view.classes` learns them) and the logistic regression of `map`,
  from 1 to 40 labels a class;
* the accuracy while labels are added, 20 at a time: those that `view` suggests, and random ones;
* CPU seconds of a whole update (labels, learning, classes, suggestions) for 1 and 16.8 million pixels.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import rasterio
from threadpoolctl import threadpool_limits

from tessera_engine import open_embeddings
from tessera_engine.analysis.maps.learn import learn
from tessera_engine.analysis.maps.learners.base import Task
from tessera_engine.scene import Grid
from tessera_engine.view import classes
from tessera_engine.view.label_document import parse_document
from tessera_engine.view.levels import ArraySource

LABELS = (1, 2, 3, 5, 10, 20, 40)
FEWEST = 60
"""Pixels of a class; rarer ones are left out."""

ROUNDS, STARTS = 6, 16
"""Of 20 labels each; and how often labelling is begun, with other first labels."""


def balanced(truth, found):
    return np.mean([(found[truth == c] == c).mean() for c in np.unique(truth)])


def document(places, count, grid):
    value = {
        "revision": 0,
        "classes": [{"id": f"c{i}", "name": f"class {i}", "colour": "#000000"} for i in range(count)],
        "labels": [
            {"id": f"l{n}", "class": f"c{each}", "kind": "point", "col": int(col), "row": int(row)}
            for n, (col, row, each) in enumerate(places)
        ],
    }
    return parse_document(value, grid)


def by_method(x, truth, repeats=10):
    """Mean balanced accuracy by method, for each number of labels."""
    rng, count = np.random.default_rng(0), truth.max() + 1
    for number in LABELS:
        scores = {"class means": [], "ridge": [], "logistic regression": []}
        for _ in range(repeats):
            learned = np.concatenate(
                [rng.choice(np.flatnonzero(truth == c), number, replace=False) for c in range(count)]
            )
            others = np.setdiff1d(np.arange(len(truth)), learned)
            tested = rng.choice(others, min(4000, len(others)), replace=False)
            directions = x[learned] / np.linalg.norm(x[learned].astype(np.float64), axis=1, keepdims=True)
            numbers = np.arange(1, count + 1).astype(np.uint8)
            for name, fit in (("class means", classes._means), ("ridge", classes._ridge)):
                found = fit(directions, truth[learned], numbers).classify(x[tested], None)[:, 0]
                scores[name].append(balanced(truth[tested], found.astype(int) - 1))
            model = learn("linear", x[learned], truth[learned].astype(str).astype(object), Task())
            found = model.predict(x[tested]).astype(int)
            scores["logistic regression"].append(balanced(truth[tested], found))
        yield number, {name: np.mean(each) for name, each in scores.items()}


def while_labelling(output, truth, seed, suggested):
    """Balanced accuracy before and after each round of 20 labels, from one label of each class on."""
    rng = np.random.default_rng(seed)
    there = (truth >= 0) & np.isfinite(output.read_stored().embeddings[..., 0])
    places, scores = [], []
    for each in range(truth.max() + 1):
        rows, cols = np.nonzero(there & (truth == each))
        i = rng.integers(len(rows))
        places.append((cols[i], rows[i], each))
    for _ in range(ROUNDS + 1):
        made = classes.live_map(document(places, truth.max() + 1, output.grid), output, output)
        scores.append(balanced(truth[there], made.classified[there][:, 0].astype(int) - 1))
        if suggested:
            new = [(place.col, place.row) for place in made.next]
        else:
            rows, cols = np.nonzero(there)
            picked = rng.choice(len(rows), 20, replace=False)
            new = zip(cols[picked], rows[picked], strict=True)
        places += [(col, row, truth[row, col]) for col, row in new]
    return scores


def where_known(output, truth):
    """The output in memory, without data where the truth isn't known: nobody can label these pixels."""
    stored = output.read_stored()
    values = stored.values.copy()
    scales = None if stored.scales is None else np.where(truth >= 0, stored.scales, np.float32(np.nan))
    if scales is None:
        values[truth < 0] = np.nan
    return replace(output, source=ArraySource(output.grid, values, scales))


def turned(output, truth, seed):
    """The output and its truth, turned and mirrored: other pixels become candidates."""
    stored = output.read_stored()

    def turn(values):
        mirrored = values[:, ::-1] if seed % 8 > 3 else values
        return np.ascontiguousarray(np.rot90(mirrored, seed % 4))

    values, scales = turn(stored.values), None if stored.scales is None else turn(stored.scales)
    height, width = values.shape[:2]
    grid = Grid(width, height, output.grid.crs, output.grid.transform)
    return replace(output, source=ArraySource(grid, values, scales)), turn(truth)


def cost(output, truth, side):
    """CPU seconds of an update of the map of `side` x `side` pixels, 8 classes with 10 labels each."""
    stored = output.read_stored()
    repeats = (-(-side // stored.values.shape[0]), -(-side // stored.values.shape[1]))
    values = np.tile(stored.values, (*repeats, 1))[:side, :side].copy()
    scales = None if stored.scales is None else np.tile(stored.scales, repeats)[:side, :side].copy()
    grid = Grid(side, side, output.grid.crs, output.grid.transform)
    large = replace(output, source=ArraySource(grid, values, scales))
    rng, places = np.random.default_rng(0), []
    for each in range(min(8, truth.max() + 1)):
        rows, cols = np.nonzero(truth == each)
        chosen = rng.choice(len(rows), 10, replace=False)
        places += [(cols[i], rows[i], each) for i in chosen]
    found = document(places, truth.max() + 1, grid)
    seconds = []
    for _ in range(4):
        start = time.process_time()
        classes.live_map(found, large, large)
        seconds.append(time.process_time() - start)
    return min(seconds)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output")
    parser.add_argument("truth")
    given = parser.parse_args()
    output = open_embeddings(given.output)
    with rasterio.open(given.truth) as file:
        codes = file.read(1).astype(int)
    kept = [code for code in np.unique(codes[codes > 0]) if (codes == code).sum() >= FEWEST]
    truth = np.full(codes.shape, -1)
    for i, code in enumerate(kept):
        truth[codes == code] = i
    x = output.read().reshape(-1, output.dim)
    usable = np.isfinite(x[:, 0]) & (truth.reshape(-1) >= 0)
    with threadpool_limits(1, "blas"):
        print(f"{len(kept)} classes, {usable.sum():,} pixels\n\nlabels a class: balanced accuracy")
        for number, scores in by_method(x[usable], truth.reshape(-1)[usable]):
            print(f"{number:4d}  " + ", ".join(f"{name} {score:.3f}" for name, score in scores.items()))
        for suggested in (True, False):
            known = where_known(output, truth)
            scores = [while_labelling(*turned(known, truth, seed), seed, suggested) for seed in range(STARTS)]
            mean, error = np.mean(scores, axis=0), np.std(scores, axis=0) / STARTS**0.5
            found = " ".join(f"{each:.3f}±{of:.3f}" for each, of in zip(mean, error, strict=True))
            print(
                f"{'suggested' if suggested else 'random'} labels, {len(kept)} and then 20 more each time: {found}"
            )
        for side in (1000, 4096):
            print(f"{side} x {side} pixels: {cost(output, truth, side):.2f} s of CPU an update")


if __name__ == "__main__":
    main()
