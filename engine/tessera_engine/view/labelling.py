"""Labels, and what is made of them: the live map, its accuracy, and files beside the output."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tessera_engine.errors import InputError
from tessera_engine.progress import Progress
from tessera_engine.view.guard import Refused
from tessera_engine.view.levels import hectares
from tessera_engine.view.search import COSINE, Answer, Answers, Question, cosines
from tessera_engine.view.viewed import Viewed

if TYPE_CHECKING:
    from tessera_engine.view.label_document import LabelFile


@dataclass(frozen=True)
class Classified:
    """A live map: see `tessera_engine.view.search.Versioned`."""

    version: int
    stored: NDArray[np.uint8]


class Labelling:
    """The labels of the first output.

    What takes long to load is loaded when it is needed: who only looks doesn't wait for libraries of maps.
    """

    def __init__(self, viewed: Viewed) -> None:
        self._viewed = viewed

    @cached_property
    def _file(self) -> LabelFile:
        from tessera_engine.view.label_document import LabelFile

        return LabelFile.beside(self._viewed.embeddings.path, self._viewed.embeddings.grid)

    def document(self) -> dict[str, Any]:
        """All labels."""
        return self._file.load().to_dict()

    def save(self, value: Any) -> int:
        """Save all labels; gives their revision.

        Raises:
            Refused: other labels were saved meanwhile: 409.
            InputError: they can't be used.
        """
        from tessera_engine.view.label_document import Outdated, parse_document

        try:
            return self._file.save(parse_document(value, self._file.grid)).revision
        except Outdated as error:
            raise Refused(409, str(error)) from None

    def add_file(self, name: str, content: bytes) -> dict[str, Any]:
        """Add the labels of a file; gives all, how many were added, and a note on what was left out."""
        from tessera_engine.view.label_import import import_labels

        imported = import_labels(self._file.load(), self._file.grid, name, content)
        saved = self._file.save(imported.labels) if imported.added else imported.labels
        return saved.to_dict() | {"added": imported.added, "note": imported.note}

    def classify(self, viewed: Viewed, answers: Answers, report: Progress | None) -> dict[str, Any]:
        """Give each pixel of an output its class; what the page is told.

        Raises:
            InputError: no label lies on a pixel with data.
        """
        from tessera_engine.view.classes import live_map

        start, version = time.perf_counter(), answers.number()
        found, searched, grid = self._file.load(), viewed.whole(), viewed.embeddings.grid
        made = live_map(found, viewed.full(), searched, report)
        answers.keep("classes", viewed.number, Classified(version, made.classified))
        # A pixel of an overview stands for several
        stands_for = grid.window.pixels / searched.grid.window.pixels
        area = hectares(grid)
        return {
            "version": version,
            "z": viewed.level_of(searched),
            "classes": [
                {"id": each.id, "pixels": pixels, "ha": None if area is None else pixels * stands_for * area}
                for each, pixels in zip(found.classes, made.pixels, strict=True)
            ],
            "method": made.method,
            "enough": made.enough,
            "next": [place._asdict() for place in made.next],
            "milliseconds": round(1000 * (time.perf_counter() - start)),
        }

    def accuracy(self, viewed: Viewed) -> Callable[[Progress], dict[str, Any]]:
        """A job that finds how accurate the final map of the labels would be."""

        def work(report: Progress) -> dict[str, Any]:
            from tessera_engine.view.final_map import assess_labels

            report(0, 1)
            found = self._file.load()
            ids = {each.name: each.id for each in found.classes}
            assessed = assess_labels(found, viewed.full())
            for each in assessed.get("per_class", ()):
                each["id"] = ids.get(each["name"])
            return assessed

        return work

    def final_map(self, viewed: Viewed, method: str) -> Callable[[Progress], dict[str, Any]]:
        """A job that writes the final map of the labels beside the output."""
        found = self._file.load()

        def work(report: Progress) -> dict[str, Any]:
            from tessera_engine.view.final_map import export_map

            # From the output's own files, as the command reads them: strips of another size may round differently
            made = export_map(found, viewed.embeddings, method, report)
            return {"name": made.folder.name, "labels": made.labels.name, "notes": list(made.notes)}

        return work

    def write_labels(self, format: str) -> str:
        """Write the labels beside the output; gives the name of the file."""
        from tessera_engine.view.final_map import export_labels

        return export_labels(self._file.load(), self._viewed.embeddings, format).name


def write_similarity(viewed: Viewed, answer: Answer, threshold: float) -> str:
    """Write an answer at full resolution beside the output, as `tessera-engine similar` does; gives the folder's name.

    Raises:
        InputError: the threshold is no cosine, or the place can't be written.
        TesseraError: a file can't be read or written.
    """
    from tessera_engine.analysis.rasters import write_map, write_result_item
    from tessera_engine.analysis.regions import find_regions, write_regions
    from tessera_engine.files.result import result_folder
    from tessera_engine.formats.given import identity_of
    from tessera_engine.view.final_map import free_names

    if not (math.isfinite(threshold) and COSINE[0] <= threshold <= COSINE[1]):
        raise InputError(f"threshold={threshold} is not a cosine; give -1 to 1")
    question = answer.question or Question(())
    opened, grid = viewed.embeddings, viewed.embeddings.grid
    (out,) = free_names(opened, [".similar"])
    identity = identity_of("view", (opened,), question=question, threshold=threshold)
    with result_folder(out, False, identity) as folder:
        values = cosines(viewed, viewed.full(), question)
        title = "Cosine similarity to the chosen pixels"
        assets = [write_map(folder / "similarity.tif", values, grid, title, np.nan)]
        if grid.crs is not None:
            features = find_regions(values, threshold, grid, "similarity")
            assets.append(write_regions(folder, features, "The largest regions above the threshold"))
        facts = {
            "pixels": [list(pixel) for pixel in question.positives],
            "unlike_pixels": [list(pixel) for pixel in question.negatives],
            "threshold": threshold,
        }
        write_result_item(folder, (grid,), (opened,), "similar", title, assets, facts)
    return out.name
