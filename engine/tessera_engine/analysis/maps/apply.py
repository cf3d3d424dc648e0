"""Map scenes with a classifier that was saved, or with a network from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tessera_engine.analysis.maps.classifier import Classifier
from tessera_engine.analysis.maps.classifier_file import (
    begins_like_classifier,
    parse_classifier,
    read_content,
)
from tessera_engine.analysis.maps.head import Head
from tessera_engine.analysis.maps.head_loading import load_head
from tessera_engine.analysis.maps.mapping import Wanted, draw_all, strip_size
from tessera_engine.analysis.maps.predictor import Predictor
from tessera_engine.analysis.options import ApplyKeywords, ApplyOptions, check_options
from tessera_engine.analysis.rasters import write_result_item
from tessera_engine.errors import InputError, check_type
from tessera_engine.files.checksums import path_sha256
from tessera_engine.files.result import check_apart, result_folder
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.given import GivenPath, Several, check_path, identity_of, open_each, out_for
from tessera_engine.machine import check_threads
from tessera_engine.progress import ShowProgress, shown
from tessera_engine.running.options import spelled_out

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True, repr=False)
class Applied:
    """A finished map of a saved classifier.

    Attributes:
        out: the folder.
        report: `quality` of the classifier when it was saved, and what `Mapped.facts` has: `pixels` with data and their
            `hectares`, both of each class as `mapped`, and `beyond_applicability`.
        notes: what is worth knowing, a line each.
    """

    out: Path
    report: dict[str, Any]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"<Applied {self.out}: {self.report['pixels']:,} pixels; {self.report['quality']}>"


def apply(
    classifier: GivenPath,
    embeddings: Several,
    out: GivenPath | None = None,
    *,
    overwrite: bool = False,
    progress: ShowProgress = None,
    **options: Unpack[ApplyKeywords],
) -> Applied:
    """Map scenes with a classifier that `map(..., save=...)` wrote: other places, years and zones.

    Of several outputs, each has its map in a folder of its name. For the same embeddings, the map is the one that `map`
    made, to the bit.

    Args:
        classifier: its file; or an ONNX network from elsewhere, see `tessera_engine.analysis.maps.heads`.
        embeddings: what is mapped: an output folder, or `open_embeddings(...)`, or a list of them, by the model whose
            embeddings the classifier was learned from.
        out: the folder to make; None: `<name>.map` in the current folder.
        overwrite: replace an earlier map.
        progress: a function to call with pixels done and in all; True to show progress, False not to; None: show it
            in terminals and notebooks.
        probabilities: write the probability of each class, a band each.
        year: the year to map, of an output with several years.
        until: the last day of the period to map, of an output with several periods.
        memory: what the process may take: bytes, or a size like "2GB"; None: half of the free memory, at most 4 GB.
        threads: CPU threads; None: all that this process may use.

    Raises:
        InputError: an argument is wrong, the embeddings are of another model or have too few dimensions, the memory is
            too little, or there is something at `out` already.
        ModelError: the classifier can't be read, or was changed.
        TesseraError: a file couldn't be read or written; nothing is left behind.
    """
    chosen = check_options(ApplyOptions, "apply", options)
    check_type("overwrite", overwrite, (bool,), "True or False")
    check_path("classifier", classifier, "a file that map(..., save=...) wrote")
    target = out_for("embeddings", embeddings, "map", chosen.year, chosen.until)
    if out is not None:
        check_path("out", out, "a folder")
        target = Path(out)
    file = Path(classifier)
    used = open_predictor(file, check_threads(chosen.threads))
    opened = [
        fitting(used, file, each) for each in open_each("embeddings", embeddings, chosen.year, chosen.until)
    ]
    check_apart(target, [file, *(each.path for each in opened)])
    wanted = Wanted(chosen.probabilities, chosen.memory)
    classes = used.meaning.classes
    count, around = (0 if classes is None else len(classes.names)), 2 * used.margin + 1
    trust = used.meaning.threshold is not None
    strips = [strip_size(each, wanted, count, around if used.margin else 0, trust) for each in opened]
    identity = identity_of("apply", opened, classifier=file, options=chosen)
    with shown(progress, "mapping", "px") as tally, result_folder(target, overwrite, identity) as folder:
        mapped = draw_all(folder, opened, used, strips, wanted, tally)
        facts = {"classifier": file.name, "classifier_sha256": path_sha256(file)}
        if isinstance(used, Classifier):
            about = used.about
            facts |= {
                "method": about.method,
                "trained_on": about.trained_on,
                "labels_sha256": about.labels_sha256,
            }
        title = f"Map of {used.meaning.title} by {file.name}"
        grids = [each.grid for each in opened]
        write_result_item(folder, grids, opened, "map", title, mapped.assets, facts)
    report = {"quality": used.meaning.quality, **mapped.facts}
    return Applied(target, report, tuple(_notes(used, file, opened)))


def open_predictor(path: Path, threads: int) -> Classifier | Head:
    """Read a classifier that `map` saved, or an ONNX network from elsewhere.

    Raises:
        ModelError: it is none of them, or can't be used.
    """
    content = read_content(path)
    if begins_like_classifier(content):
        return parse_classifier(path, content)
    return load_head(path, content, threads)


def fitting(predictor: Predictor, file: Path, embeddings: Embeddings) -> Embeddings:
    """The embeddings as a classifier takes them: their first dimensions.

    Raises:
        InputError: they are of another or an unknown model, or have too few dimensions.
    """
    needs, facts = predictor.needs, embeddings.provenance
    if needs.model_sha256 and not facts.get("model_sha256"):
        raise InputError(
            f"{embeddings.path} doesn't record which model made it, so {file} can't be applied to it; embed the scene "
            f"with {needs.model}"
        )
    if needs.model_sha256 and facts["model_sha256"] != needs.model_sha256:
        raise InputError(
            f"{embeddings.path} was made by model {facts['model']} ({str(facts['model_sha256'])[:12]}), but {file} was "
            f"learned from embeddings of {needs.model} ({needs.model_sha256[:12]}); embed the scene with that model"
        )
    if embeddings.dim < needs.dim:
        raise InputError(
            f"{embeddings.path} has {embeddings.dim} dimensions, but {file} was learned from {needs.dim}; embed "
            f"the scene with all of these, or save a classifier that was learned from {embeddings.dim}"
        )
    return replace(embeddings, dim=needs.dim)


def _notes(predictor: Classifier | Head, file: Path, opened: Sequence[Embeddings]) -> list[str]:
    if isinstance(predictor, Head):
        if predictor.needs.model_sha256:
            return []
        return [
            f"{file} doesn't record the model whose embeddings it takes; make sure that it is the model of these"
        ]
    stored_as = predictor.about.stored_as
    return [
        f"{each.path} stores {each.stored_as}, but the classifier was learned from {stored_as}"
        for each in opened
        if each.stored_as != stored_as
    ]


apply.__signature__ = spelled_out(apply, ApplyKeywords, ApplyOptions())  # type: ignore[attr-defined]
