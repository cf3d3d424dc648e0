"""From the labels of a viewer to files beside the output, and how accurate the map of these labels is.

The map is what `tessera-engine map` makes of the exported labels, and the accuracy is what `tessera-engine evaluate`
finds.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tessera_engine.analysis.labels.pixels import LabelSource, with_embeddings
from tessera_engine.analysis.labels.reading import read_labels
from tessera_engine.analysis.maps.compare import Comparison
from tessera_engine.analysis.maps.learn import make_blocks, need_learning
from tessera_engine.analysis.maps.make import map as make_map
from tessera_engine.analysis.maps.quality import FEWEST_LABELS
from tessera_engine.analysis.maps.training import MOST_LABELS
from tessera_engine.errors import InputError
from tessera_engine.files.nearby import unknown
from tessera_engine.files.result import result_file
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.machine import check_threads
from tessera_engine.progress import ShowProgress
from tessera_engine.view.label_document import FIELD, Document, beside_the_output
from tessera_engine.view.label_export import write_labels

ENDINGS = {"geojson": ".labels.geojson", "gpkg": ".labels.gpkg", "tee": ".labels.tee.json"}
"""Format of exported labels -> what follows the output's name."""

MOST_NUMBER = 10_000


class FinalMap(NamedTuple):
    """A map that was exported.

    Attributes:
        folder: of the map.
        labels: the file that it was made from.
        report: of its cross-validation.
        notes: what was unusual about the labels, a line each.
    """

    folder: Path
    labels: Path
    report: dict[str, Any]
    notes: tuple[str, ...]


def free_names(embeddings: Embeddings, endings: Sequence[str]) -> list[Path]:
    """Names beside an output at which nothing stands: with these endings, and the same number if one is needed.

    Raises:
        InputError: there are too many already.
    """
    here = embeddings.path.absolute()
    name = here.name.removesuffix(".embeddings")
    for number in range(1, MOST_NUMBER):
        numbered = name if number == 1 else f"{name}-{number}"
        paths = [here.with_name(f"{numbered}{ending}") for ending in endings]
        if not any(map(os.path.lexists, paths)):
            return paths
    raise InputError(
        f"{here.with_name(name + endings[0])} and {MOST_NUMBER:,} more exist already; remove some"
    )


def export_labels(found: Document, embeddings: Embeddings, format: str) -> Path:
    """Write labels beside the output, under a name at which nothing stands.

    Args:
        found: the labels.
        embeddings: the output.
        format: one of `ENDINGS`.

    Raises:
        InputError: there are no labels, the format is unknown, the output has no CRS, or the place can't be written.
        MissingExtra: a library that writes the file isn't installed.
        TesseraError: it can't be written.
    """
    if format not in ENDINGS:
        raise unknown("format", format, ENDINGS)
    (path,) = free_names(embeddings, [ENDINGS[format]])
    with beside_the_output():
        _write(path, found, embeddings, format)
    return path


def _write(path: Path, found: Document, embeddings: Embeddings, format: str) -> None:
    about = embeddings.path.absolute().name, embeddings.provenance.get("year")
    with result_file(path, overwrite=False, identity=None) as made:
        staged = made.with_name("staging")
        staged.mkdir()
        # SQLite keeps a journal beside its file, and GDAL knows a GeoPackage by the end of its name
        write_labels(staged / path.name, found, embeddings.grid, format, *about)
        (staged / path.name).rename(made)


def export_map(
    found: Document, embeddings: Embeddings, method: str = "linear", progress: ShowProgress = None
) -> FinalMap:
    """Make the map that `tessera-engine map` makes of the labels, and write the labels that it was made from.

    Args:
        found: the labels.
        embeddings: the output.
        method: one of `tessera_engine.analysis.maps.learn.METHODS`.
        progress: a function to call with pixels done and in all; may raise to stop.

    Raises:
        InputError: the labels can't be used, or the place can't be written.
        MissingExtra: a library for maps isn't installed.
        TesseraError: a file can't be read or written.
    """
    need_learning("map")
    folder, labels = free_names(embeddings, [".map", ENDINGS["gpkg"]])
    with beside_the_output():
        _write(labels, found, embeddings, "gpkg")
    try:
        with beside_the_output():
            made = make_map(embeddings, labels, FIELD, folder, method=method, progress=progress)
    except BaseException:
        labels.unlink(missing_ok=True)  # it was written here, for this map
        raise
    return FinalMap(made.out, labels, made.report, made.notes)


def assess_labels(
    found: Document, embeddings: Embeddings, method: str = "linear", threads: int | None = None
) -> dict[str, Any]:
    """How accurate the final map would be, on land that is held out from learning.

    Args:
        found: the labels.
        embeddings: the output.
        method: one of `tessera_engine.analysis.maps.learn.METHODS`.
        threads: CPU threads; None: all that this process may use.

    Returns:
        `{"known": False, "why": ...}`; or `{"known": True, "balanced": ..., "low": ..., "high": ..., "accuracy": ...,
        "per_class": [{"name", "recall", "labels"}, ...], "blocks", "folds"}`, the interval for similar land.

    Raises:
        InputError: the output has no CRS.
        MissingExtra: a library for maps isn't installed.
        TesseraError: a file can't be read.
    """
    need_learning("accuracy")
    try:
        with tempfile.TemporaryDirectory(prefix="tessera-labels-") as folder:
            path = Path(folder) / "labels.gpkg"
            write_labels(path, found, embeddings.grid, "gpkg", "labels", None)
            read = read_labels(LabelSource(path, FIELD), embeddings.grid, False, MOST_LABELS)
        read, x = with_embeddings(read, embeddings)
        counts = {name: int((read.values == name).sum()) for name in sorted(set(read.values))}
        few = [name for name, count in counts.items() if count < FEWEST_LABELS]
        if len(counts) < 2:
            return _unknown("it takes labels of two classes or more")
        if few:
            named = ", ".join(few[:3]) + (f" and {len(few) - 3} more" if len(few) > 3 else "")
            return _unknown(f"fewer than {FEWEST_LABELS} labelled pixels of {named}")
        blocks = make_blocks([(read, embeddings.grid)], None)
    except InputError as error:
        if embeddings.grid.crs is None:
            raise
        return _unknown(str(error).replace("give a smaller block=, or labels", "give labels"))
    comparison = Comparison(read.values, blocks.groups, False, check_threads(threads))
    outcome = comparison.measure(x, method)
    main = outcome.scores()["balanced_accuracy"]
    counted, right = outcome.means["balanced_accuracy"]
    recall = right.sum(axis=0) / counted.sum(axis=0)
    return {
        "known": True,
        "balanced": main.value,
        "low": main.low,
        "high": main.high,
        "accuracy": outcome.values["accuracy"],
        "per_class": [
            {"name": name, "recall": float(recall[i]), "labels": counts[name]}
            for i, name in enumerate(comparison.names)
        ],
        "blocks": len(set(comparison.groups.tolist())),
        "folds": len(comparison.folds),
        "block_metres": blocks.metres,
    }


def _unknown(why: str) -> dict[str, Any]:
    return {"known": False, "why": why}
