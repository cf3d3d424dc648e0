"""How many labels a map needs: accuracy over the number of labels, suggested ones beside random ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.analysis.labels.pixels import LabelSource, with_embeddings
from tessera_engine.analysis.labels.reading import read_labels
from tessera_engine.analysis.maps.intervals import CONFIDENCE, Interval
from tessera_engine.analysis.maps.learn import learn, make_blocks, need_learning
from tessera_engine.analysis.maps.learners import base
from tessera_engine.analysis.suggestions import (
    FEW_LABELS,
    SAMPLES_ACROSS,
    Known,
    Pixels,
    Vectors,
    suggest,
)
from tessera_engine.errors import InputError
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.progress import Progress
from tessera_kernels.scores import probabilities

SIZES = (5, 10, 20, 40, 80, 160)
"""Numbers of labels."""

DRAWS = 20
"""How often land is divided into a part to label and a part to validate on."""

MOST_POOL, MOST_VALIDATED = 1000, 2000
"""Labelled pixels that may be chosen, and that scores are measured on."""

SEED = 0


@dataclass(frozen=True)
class Step:
    """The scores with one number of labels.

    Attributes:
        labels: how many.
        suggested: balanced accuracy with labels in the order of `suggest`.
        random: the same with labels in random order.
        difference: suggested minus random.
    """

    labels: int
    suggested: Interval
    random: Interval
    difference: Interval


@dataclass(frozen=True)
class Curve:
    """A learning curve.

    Attributes:
        facts: of the embeddings, the labels and the validation, by name; plain values.
        steps: by the number of labels.
        notes: what was unusual about the labels, a line each.
    """

    facts: Mapping[str, Any]
    steps: tuple[Step, ...]
    notes: tuple[str, ...]

    def worth(self, labels: int) -> float | None:
        """Random labels that are as good as so many suggested ones, between the measured numbers; None: more."""
        goal = next(step.suggested.value for step in self.steps if step.labels == labels)
        before = None
        for step in self.steps:
            if step.random.value >= goal:
                if before is None:
                    return float(step.labels)
                rise = (goal - before.random.value) / (step.random.value - before.random.value)
                return float(np.exp(np.log(before.labels) + rise * np.log(step.labels / before.labels)))
            before = step
        return None

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        steps = [asdict(step) | {"worth_random": self.worth(step.labels)} for step in self.steps]
        return {**self.facts, "steps": steps, "notes": list(self.notes)}


def learning_curve(
    embeddings: Embeddings, labels: LabelSource, block: float | None = None, report: Progress | None = None
) -> Curve:
    """Measure how accuracy grows with the number of labels, by logistic regression.

    In each draw half of the blocks are labelled and the other half is validated on. The same labels are taken in random
    order, and in the order in which `suggest` chooses among them; it learns from its earlier choices as it would from a
    person's answers.

    Args:
        embeddings: an opened output.
        labels: of classes.
        block: side of the blocks, in metres; None: a fifth of the labelled area.
        report: called with draws done and in all.

    Raises:
        InputError: the labels can't be used, or are too few.
        MissingExtra: scikit-learn, or a library that reads labels, isn't installed.
        TesseraError: a file couldn't be read.
    """
    need_learning("evaluate")
    read, x = with_embeddings(read_labels(labels, embeddings.grid, False, 5 * MOST_POOL), embeddings)
    y = np.asarray(read.values).astype(str)
    blocks = make_blocks([(read, embeddings.grid)], block)
    places = np.stack([read.cols, read.rows], axis=1)
    scene = _scene(embeddings)
    side = max(embeddings.grid.width, embeddings.grid.height)
    generator = np.random.default_rng(SEED)
    scores: dict[int, list[tuple[float, float]]] = {}
    for draw in range(DRAWS):
        pool, validated = _divide(blocks.groups, y, generator)
        cols, rows = places[pool].T
        may = Vectors(Pixels(cols, rows, np.zeros(len(pool), np.uint8)), x[pool])
        orders = _suggested(may, scene, y[pool], side), generator.permutation(len(pool))
        for size in SIZES:
            if size > min(map(len, orders)):
                break
            found = [_score(x, y, pool[order[:size]], validated) for order in orders]
            scores.setdefault(size, []).append((found[0], found[1]))
        if report is not None:
            report(draw + 1, DRAWS)
    steps = tuple(_step(size, np.array(each)) for size, each in scores.items() if len(each) == DRAWS)
    if not steps:
        raise InputError(
            f"{labels.path} has too few labels for a curve: expected more than {2 * SIZES[0]} apart"
        )
    facts = {
        "embeddings": str(embeddings.item.get("id", embeddings.path.name)),
        "labels": labels.path.name,
        "field": labels.field,
        "labelled_pixels": len(read),
        "classes": {name: int((y == name).sum()) for name in sorted(set(y.tolist()))},
        "blocks": len(set(blocks.groups.tolist())),
        "block_metres": blocks.metres,
        "draws": DRAWS,
        "score": "balanced_accuracy",
        "interval": f"{CONFIDENCE} % of the draws",
    }
    return Curve(facts, steps, read.notes)


def _scene(embeddings: Embeddings) -> Vectors:
    """Pixels that stand for the scene, as `suggestions.candidates` takes them."""
    grid = embeddings.grid
    step = max(1, max(grid.width, grid.height) // SAMPLES_ACROSS)
    rows, cols = np.mgrid[step // 2 : grid.height : step, step // 2 : grid.width : step].reshape(2, -1)
    vectors = embeddings.pixels(cols, rows)
    there = np.isfinite(vectors[:, 0])
    return Vectors(Pixels(cols[there], rows[there], np.zeros(there.sum(), np.uint8)), vectors[there])


def _divide(
    groups: NDArray[np.int64], y: NDArray[Any], generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of labels that may be chosen, and of those to validate on: of different blocks."""
    blocks = generator.permutation(np.unique(groups))
    chosen = np.isin(groups, blocks[: (len(blocks) + 1) // 2])
    pool, validated = np.flatnonzero(chosen), np.flatnonzero(~chosen)
    pool = np.sort(generator.permutation(pool)[:MOST_POOL])
    return pool, np.sort(generator.permutation(validated)[:MOST_VALIDATED])


def _suggested(may: Vectors, scene: Vectors, y: NDArray[Any], side: int) -> NDArray[np.int64]:
    """Indices of the pool in the order in which they are suggested."""
    chosen = np.zeros(0, np.int64)
    for size in SIZES:
        if len(chosen) >= FEW_LABELS and len(set(y[chosen].tolist())) > 1:
            model = learn("linear", may.vectors[chosen], y[chosen], base.Task())
            may, scene = (
                _with_margins(each, probabilities(model.scores(base.Vectors(each.vectors))))
                for each in (may, scene)
            )
        places = np.stack([may.pixels.cols[chosen], may.pixels.rows[chosen]], axis=1)
        known = Known(len(chosen), places, may.vectors[chosen])
        more = suggest(may, scene, known, side, size - len(chosen))
        chosen = np.concatenate([chosen, more])
        if len(chosen) < size:
            break
    return chosen


def _with_margins(of: Vectors, probabilities: NDArray[np.floating[Any]]) -> Vectors:
    """The same pixels, with the difference of their two largest probabilities (N, C) as margins, 0 to 255."""
    highest = np.sort(probabilities, axis=1)
    margins = np.rint(255 * (highest[:, -1] - highest[:, -2])).astype(np.uint8)
    return of._replace(pixels=of.pixels._replace(margins=margins))


def _score(
    x: NDArray[np.float32], y: NDArray[Any], learned: NDArray[np.int64], validated: NDArray[np.int64]
) -> float:
    """Balanced accuracy over the classes of the land that is validated on."""
    if len(set(y[learned].tolist())) < 2:
        predicted = np.full(len(validated), y[learned][0])
    else:
        predicted = learn("linear", x[learned], y[learned], base.Task()).predict(x[validated])
    right = predicted == y[validated]
    return float(np.mean([right[y[validated] == name].mean() for name in set(y[validated].tolist())]))


def _step(size: int, scores: NDArray[np.float64]) -> Step:
    """The means over draws (DRAWS, 2), with the middle `CONFIDENCE` percent of the draws."""
    each = (scores[:, 0], scores[:, 1], scores[:, 0] - scores[:, 1])
    ends = [50 - CONFIDENCE / 2, 50 + CONFIDENCE / 2]
    intervals = [Interval(float(one.mean()), *map(float, np.percentile(one, ends))) for one in each]
    return Step(size, *intervals)
