"""What forms of one to twenty bytes a pixel lose: `python benchmarks/lossy.py OUT NAME=OUTPUT,SCENE[,LATER,COVER]...`.

Writes `lossy.json` and `lossy.md` into OUT. OUTPUT is what `embed --int8` made of the d-pixel tile SCENE, which has its
land cover (`cover.tif` or `labels_lc.tif`); LATER is an output of another year of its upper left part, COVER the land
cover then. Everything is compared with the int8 codes, tile by tile of 512 x 512 pixels, and all bytes are counted.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
from lossy_forms import FORMS, TILE, code_all
from lossy_report import report
from numpy.typing import NDArray
from small_forms import (
    Vectors,
    found_neighbours,
)

from tessera_engine.analysis.maps.compare import Comparison, Outcome, Predictions
from tessera_engine.analysis.maps.learn import block_groups, hold_out, split
from tessera_engine.analysis.maps.learners.base import Task
from tessera_engine.formats.opening import open_embeddings
from tessera_kernels.change import distances, moments

METHODS = ("linear", "knn", "forest")

LABELS, SCORED, BLOCK = 4000, 40_000, 32
"""Pixels to learn from and pixels to score on, and pixels across a block that is held out: wider than most simulated
fields. With as few to score on as to learn from, two runs of one form differ by half a point."""

COMMON = 0.05
"""Share of the land of a common class."""

RARE = 0.005
"""Share of a tile that a class is thinned to, to see what happens to rare ones."""


def explained(vectors: Vectors, back: Vectors) -> float:
    """R2: share of the variance, of all dimensions, that what is read back explains; missing ones count as zero."""
    flat, read = vectors.reshape(-1, vectors.shape[-1]), back.reshape(-1, back.shape[-1])
    lost = ((flat[:, : read.shape[1]] - read) ** 2).sum(dtype=np.float64)
    lost += ((flat[:, read.shape[1] :] - flat[:, read.shape[1] :].mean(axis=0)) ** 2).sum(dtype=np.float64)
    return float(1 - lost / ((flat - flat.mean(axis=0)) ** 2).sum(dtype=np.float64))


class Site(NamedTuple):
    """Embeddings with labels.

    Attributes:
        name: for the report.
        vectors: (H, W, K) float32.
        cover: (H, W) uint8 classes.
        numbers: (H, W) float32 to predict by regression, NaN where not known; None: there are none.
        later: (h, w, K) embeddings of another year of the upper left part; None: there are none.
        changed: (h, w) whether the land cover there is another one in that year.
    """

    name: str
    vectors: Vectors
    cover: NDArray[np.uint8]
    numbers: NDArray[np.float32] | None = None
    later: Vectors | None = None
    changed: NDArray[np.bool_] | None = None


class HeldOut:
    """Labels of some pixels, and more pixels to score on, each predicted by what was learned from other blocks.

    Args:
        values: (N,) of all pixels, class names or numbers.
        groups: (N,) the block of each.
        labelled: pixels to learn from.
        scored: pixels to score on; those in blocks without labels are left out.
        regression: the values are numbers.
    """

    def __init__(
        self,
        values: NDArray[Any],
        groups: NDArray[np.int64],
        labelled: NDArray[np.int64],
        scored: NDArray[np.int64],
        regression: bool = False,
    ) -> None:
        scored = scored[np.isin(groups[scored], groups[labelled])]
        self.pixels = np.concatenate([labelled, scored])
        self.y, self.count = values[self.pixels], len(labelled)
        self.folds = []
        for train, test in split(values[labelled], groups[labelled], regression):
            held_out = np.flatnonzero(np.isin(groups[scored], groups[labelled[test]]))
            self.folds.append((train, self.count + held_out))
        self.task = Task(regression, False, min(len(train) for train, _ in self.folds), 2)
        self.predictions = Predictions(values[scored], groups[scored], regression)

    def measure(self, flat: Vectors, method: str) -> Outcome:
        """Scores with (N, K) features of all pixels."""
        found = hold_out(method, flat[self.pixels], self.y, self.folds, self.task)
        return self.predictions.outcome(found.predicted[self.count :])


def measure_site(site: Site) -> Iterator[dict[str, Any]]:
    """The measures of every form."""
    height, width = site.cover.shape
    rows, cols = (each.ravel() for each in np.indices(site.cover.shape))
    rng = np.random.default_rng(1)
    order = rng.permutation(height * width)
    drawn, scored = np.sort(order[:LABELS]), np.sort(order[:SCORED])
    groups = block_groups(cols, rows, min(BLOCK, height // 4))
    labels = site.cover.ravel().astype(str).astype(object)
    classes = HeldOut(labels, groups, drawn, scored)
    shares = dict(zip(*np.unique(site.cover, return_counts=True), strict=True))
    often = [str(name) for name, count in shares.items() if count >= COMMON * site.cover.size]
    common = np.isin(labels.astype(str), often)
    of_common = HeldOut(labels, groups, drawn[common[drawn]], scored[common[scored]])
    amounts = None
    if site.numbers is not None:
        amounts = HeldOut(site.numbers.ravel().astype(np.float64), groups, drawn, scored, regression=True)
    queries = np.sort(rng.permutation(height * width)[:20])
    near = np.sort(rng.permutation(height * width)[:20_000])
    first: dict[str, Outcome] = {}
    likeness, moved = None, None
    for name, form in FORMS.items():
        back, size, seconds = code_all(site.vectors, form)
        flat = back.reshape(-1, back.shape[-1])
        found: dict[str, Any] = {
            "site": site.name,
            "form": name,
            "bytes_per_pixel": size,
            "encode_decode_cpu_s_per_mpx": seconds,
            "r2": explained(site.vectors, back),
            "nearest_found": found_neighbours(
                site.vectors.reshape(-1, site.vectors.shape[-1])[near], flat[near]
            ),
        }
        for method in METHODS:
            outcome = classes.measure(flat, method)
            first.setdefault(method, outcome)
            found[method] = outcome.values["macro_f1"]
            found[f"{method} less"] = vars(outcome.less(first[method], "macro_f1"))
        outcome = of_common.measure(flat, "linear")
        first.setdefault("common", outcome)
        found["common"] = outcome.values["macro_f1"]
        found["common less"] = vars(outcome.less(first["common"], "macro_f1"))
        if amounts is not None:
            outcome = amounts.measure(flat, "linear")
            first.setdefault("regression", outcome)
            found["regression"] = outcome.values["r2"]
            found["regression less"] = vars(outcome.less(first["regression"], "r2"))
        best = _likeness(flat, queries)
        likeness = best if likeness is None else likeness
        found["similar_top"] = _shared_top(likeness, best)
        if site.later is not None and site.changed is not None:
            other, _, _ = code_all(site.later, form)
            change = _change(back[: other.shape[0], : other.shape[1]], other)
            moved = change if moved is None else moved
            found["change_top"] = _shared_top(moved, change)
            found["change_auc"] = _auc(change, site.changed.ravel())
        yield found
        print(site.name, name, {k: v for k, v in found.items() if not isinstance(v, dict)}, flush=True)


def measure_rare(site: Site) -> Iterator[dict[str, Any]]:
    """F1 of classes, as they are and thinned to `RARE` of the first tile, with the same labels and folds."""
    part = site.vectors[:TILE, :TILE]
    cover = site.cover[:TILE, :TILE].ravel()
    flat = np.ascontiguousarray(part.reshape(-1, part.shape[-1]))
    rng = np.random.default_rng(2)
    names, counts = np.unique(cover, return_counts=True)
    most = [int(names[i]) for i in np.argsort(-counts)[1:5:2]]
    kept = np.ones(len(cover), bool)
    for name in most:
        there = np.flatnonzero(cover == name)
        kept[rng.permutation(there)[int(RARE * len(cover)) :]] = False
    rows, cols = np.divmod(np.arange(len(cover)), part.shape[1])
    rare = np.flatnonzero(kept & np.isin(cover, most))
    others = rng.permutation(np.flatnonzero(kept & ~np.isin(cover, most)))[:LABELS]
    drawn = np.sort(np.concatenate([rare[rng.permutation(len(rare))[:800]], others]))
    comparison = Comparison(
        np.where(np.isin(cover[drawn], most), "rare", "other").astype(object),
        block_groups(cols[drawn], rows[drawn], BLOCK),
        threads=2,
    )
    first = None
    for name, form in FORMS.items():
        back = np.zeros((len(cover), 128), np.float32)
        thinned = form(np.ascontiguousarray(flat[kept]), _divisor(int(kept.sum()), 512)).back
        back = back[:, : thinned.shape[1]]
        back[kept] = thinned
        outcome = comparison.measure(back[drawn], "linear")
        first = first or outcome
        knn = comparison.measure(back[drawn], "knn")
        yield {
            "site": site.name,
            "form": name,
            "rare": outcome.values["macro_f1"],
            "rare knn": knn.values["macro_f1"],
            "rare less": vars(outcome.less(first, "macro_f1")),
        }
        print(site.name, "rare", name, outcome.values["macro_f1"], knn.values["macro_f1"], flush=True)


def _divisor(count: int, most: int) -> int:
    return next(width for width in range(most, 0, -1) if count % width == 0)


def _likeness(flat: Vectors, queries: NDArray[np.int64]) -> NDArray[np.float32]:
    unit = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    return (unit @ unit[queries].T).max(axis=1)


def _shared_top(one: NDArray[np.float32], other: NDArray[np.float32], top: float = 0.01) -> float:
    """Share of the highest 1 % of one that are among those of the other."""
    count = max(1, int(top * len(one)))
    return (
        len(np.intersect1d(np.argpartition(-one, count)[:count], np.argpartition(-other, count)[:count]))
        / count
    )


def _change(before: Vectors, after: Vectors) -> NDArray[np.float32]:
    """As `tessera_engine.analysis.change` computes it."""
    a, b = (np.ascontiguousarray(each.reshape(-1, each.shape[-1])) for each in (before, after))
    ones = np.ones(len(a), np.float32)
    sums = moments(a, ones, b, ones)
    shift = (sums.after - sums.before) / sums.pixels
    return distances(a, ones, b, ones, shift.astype(np.float32))


def _auc(values: NDArray[np.float32], true: NDArray[np.bool_]) -> float:
    """Probability that a changed pixel has a larger value than an unchanged one."""
    from scipy.stats import rankdata

    ranks = rankdata(values)
    count = int(true.sum())
    return float((ranks[true].sum() - count * (count + 1) / 2) / (count * (len(true) - count)))


def read_site(text: str) -> Site:
    """A site of the command line."""
    name, _, given = text.partition("=")
    output, scene, *later = given.split(",")
    embeddings = open_embeddings(output)
    part = embeddings.grid.window
    folder = Path(scene)
    cover = raster(next(folder / file for file in ("cover.tif", "labels_lc.tif") if (folder / file).exists()))
    cover = cover[: part.height, : part.width]
    greenness = summer_greenness(folder, part.height, part.width)
    site = Site(name, embeddings.read(), cover, greenness)
    if not later:
        return site
    other = open_embeddings(later[0]).read()
    height, width = other.shape[:2]
    return site._replace(
        later=other, changed=raster(Path(later[1]))[:height, :width] != cover[:height, :width]
    )


def raster(path: Path) -> NDArray[np.uint8]:
    """The first band."""
    with rasterio.open(path) as file:
        return file.read(1)


def summer_greenness(scene: Path, height: int, width: int) -> NDArray[np.float32]:
    """Mean NDVI of the clear dates of June to August; 0 where there is none."""
    bands, masks = (np.load(scene / f"{name}.npy", mmap_mode="r") for name in ("bands", "masks"))
    days = np.load(scene / "doys.npy")
    total, count = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    for date in np.flatnonzero((days > 151) & (days < 244)):
        red, near = (bands[date, :height, :width, band].astype(np.float32) for band in (0, 3))
        clear = masks[date, :height, :width] > 0
        total += np.where(clear, (near - red) / np.maximum(near + red, 1), 0)
        count += clear
    return total / np.maximum(count, 1)


def main() -> None:
    """Read the command line, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for lossy.json and lossy.md")
    parser.add_argument("--forms", nargs="*", help="beside the first only these, by a part of their names")
    parser.add_argument("sites", nargs="+", help="name=output,scene[,later output,later cover]")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    if asked.forms is not None:
        for name in list(FORMS)[1:]:
            if not any(part in name for part in asked.forms):
                del FORMS[name]
    forms, rare = [], []
    for text in asked.sites:
        site = read_site(text)
        forms += list(measure_site(site))
        if min(site.cover.shape) >= TILE:
            rare += list(measure_rare(site))
        numbers = json.dumps({"forms": forms, "rare": rare}, indent=1)
        (asked.out / "lossy.json").write_text(numbers + "\n", encoding="utf-8")
    (asked.out / "lossy.md").write_text(report(forms, rare), encoding="utf-8")


if __name__ == "__main__":
    main()
