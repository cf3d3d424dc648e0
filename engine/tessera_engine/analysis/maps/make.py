"""From embeddings and labels to a map: learn, validate, predict strip by strip, write."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tessera_engine.analysis.labels.pixels import LabelSource
from tessera_engine.analysis.labels.reading import check_used
from tessera_engine.analysis.maps.fields import Fields
from tessera_engine.analysis.maps.learn import need_learning
from tessera_engine.analysis.maps.map_files import write_map_report
from tessera_engine.analysis.maps.mapping import Wanted, draw_all, strip_size
from tessera_engine.analysis.maps.quality import quality, validated_on
from tessera_engine.analysis.maps.testing import score_test
from tessera_engine.analysis.maps.training import train
from tessera_engine.analysis.options import MapKeywords, MapOptions, check_options
from tessera_engine.analysis.rasters import write_result_item
from tessera_engine.errors import InputError, check_type
from tessera_engine.files.result import check_apart, check_free, result_folder, result_pair
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.formats.embeddings.same_model import check_same_model
from tessera_engine.formats.given import (
    GivenPath,
    Several,
    check_path,
    identity_of,
    open_given,
    open_several,
    out_for,
)
from tessera_engine.progress import ShowProgress, shown
from tessera_engine.running.options import spelled_out

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class _Placed:
    """The fields of a map by segment.

    Attributes:
        mapped: on each output that is mapped.
        labelled: on each that has labels.
    """

    mapped: list[Fields]
    labelled: list[Fields]

    @classmethod
    def read(cls, path: Path, outputs: Sequence[Embeddings], sources: Sequence[Embeddings]) -> _Placed:
        """Lay the fields of a file onto outputs.

        Raises:
            InputError: the file can't be used, or no field lies on any output that is mapped.
        """
        for each in (*outputs, *sources):
            if each.grid.crs is None:
                raise InputError(
                    f"{each.path} has no CRS, so fields have no place in it; leave out by_segment="
                )
        found = [Fields.read(path, each.grid) for each in outputs]
        if not any(each.filled for each in found):
            raise InputError(
                f"no polygon of {path} holds the centre of a pixel of "
                f"{', '.join(str(each.path) for each in outputs)}; give by_segment= of the same place"
            )
        labelled = found if sources is outputs else [Fields.read(path, each.grid) for each in sources]
        return cls(found, labelled)


@dataclass(frozen=True, repr=False)
class Map:
    """A finished map.

    Attributes:
        out: the folder.
        report: the scores of the cross-validation, see `tessera_engine.analysis.maps.training.train`.
        notes: what was unusual about the labels, a line each.
        saved: the file of the classifier; None: not asked for.
    """

    out: Path
    report: dict[str, Any]
    notes: tuple[str, ...]
    saved: Path | None = None

    def __repr__(self) -> str:
        return f"<Map {self.out}: {quality(self.report)}, {validated_on(self.report)}>"


def map(
    embeddings: Several,
    labels: GivenPath,
    field: str | None = None,
    out: GivenPath | None = None,
    *,
    overwrite: bool = False,
    progress: ShowProgress = None,
    **options: Unpack[MapKeywords],
) -> Map:
    """Map whole scenes from a few labels.

    Of several outputs, each has its map in a folder of its name.

    Args:
        embeddings: what is mapped: an output folder, or `open_embeddings(...)`, or a list of them, by one model.
        labels: a file with points or polygons, a table or a raster, see
            `tessera_engine.analysis.labels.reading.read_labels`.
        field: the field of points or polygons, or the column of a table, to map.
        out: the folder to make; None: `<name>.map` in the current folder.
        overwrite: replace an earlier map.
        progress: a function to call with pixels done and in all; True to show progress, False not to; None: show it
            in terminals and notebooks.
        train: the embeddings at the labels, by the same model; None: those that are mapped. The labels may lie in any
            of several; where they overlap, a place is taken from the first that has data there.
        by_segment: a file of polygons, such as `segment` writes or the parcels of a register: each gets the mean
            probabilities of its pixels and the class with the largest one, or their mean number. Pixels outside are
            mapped one by one.
        method: `linear` (logistic or ridge regression), `knn`, `forest`, `boosting` (gradient boosting), `mlp` (a
            small neural network), or `auto`: what is best in cross-validation.
        context: 3 or 5: learn from the mean and the spread of the embeddings in the square of so many pixels around a
            pixel too; None: from the pixel alone, or what `auto` finds.
        balance: all classes weigh the same in learning, whatever their number of labels.
        test: a file with independent labels of the same field, which the map is scored on too.
        save: the file to keep what was learned in, for `apply`.
        probabilities: write the probability of each class, a band each.
        applicability: write how dissimilar each pixel is to the labels, and where the map can't be trusted.
        regression: the labels are numbers, not classes.
        block: side of the blocks of the spatial cross-validation, in metres; None: a fifth of the labelled area.
        layer: the layer of a file with several; None: the only one that has the field.
        labels_crs: the CRS of the labels' coordinates, such as "EPSG:32631"; None: what the file says.
        band: the band of a raster with several, from 1; None: the only one.
        nodata: the number that is no label; None: what a raster declares.
        dim: use only the first `dim` dimensions; None: all that are stored.
        year: the year to map, of an output with several years.
        train_year: the year to read from `train`, if it has several.
        until: the last day of the period to map, of an output with several periods.
        train_until: the last day of the period to read from `train`, if it has several.
        memory: what the process may take: bytes, or a size like "2GB"; None: half of the free memory, at most 4 GB.
        threads: CPU threads; None: all that this process may use.

    Raises:
        InputError: an argument is wrong, the labels can't be used, the embeddings are of different models, the memory
            is too little, or there is something at `out` already.
        MissingExtra: scikit-learn, or a library that reads labels, isn't installed.
        TesseraError: a file couldn't be read or written; nothing is left behind.
    """
    chosen = check_options(MapOptions, "map", options)
    check_type("overwrite", overwrite, (bool,), "True or False")
    target = out_for("embeddings", embeddings, "map", chosen.year, chosen.until)
    if out is not None:
        check_path("out", out, "a folder")
        target = Path(out)
    check_path("labels", labels, "a file with points or polygons, a table or a raster")
    if field is not None:
        check_type("field", field, (str,), "the name of a field")
    need_learning("map")
    file = Path(labels)
    opened = open_several("embeddings", embeddings, chosen.dim, chosen.year, chosen.until)
    sources = opened
    for name in ("train_year", "train_until"):
        if getattr(chosen, name) is not None and chosen.train is None:
            raise InputError(
                f"{name}={getattr(chosen, name)} is of train=, which is missing; give year= or until="
            )
    if chosen.train is not None:
        sources = [open_given("train", chosen.train, chosen.dim, chosen.train_year, chosen.train_until)]
        check_same_model(opened[0], sources[0])
    read = [each.path for each in (*opened, *sources)]
    read += [path for path in (file, chosen.test, chosen.by_segment) if path is not None]
    check_apart(target, read)
    wanted = Wanted(chosen.probabilities, chosen.memory, chosen.by_segment is not None)
    strips = [
        # Before anything is learned; the number of classes isn't known yet
        strip_size(each, wanted, 2, chosen.context or 0, chosen.applicability)
        for each in opened
    ]
    fields = None if chosen.by_segment is None else _Placed.read(chosen.by_segment, opened, sources)
    mapped_fields = None if fields is None else fields.mapped
    given = LabelSource(file, field, chosen.layer, chosen.labels_crs, chosen.band, chosen.nodata)
    check_used(given, *filter(None, [chosen.test]))
    identity = identity_of(
        "map", (*opened, *sources), labels=file, field=field, by_segment=chosen.by_segment, options=chosen
    )
    if chosen.save is not None:
        check_apart(chosen.save, read)
        if Path(os.path.realpath(chosen.save)).is_relative_to(os.path.realpath(target)):
            raise InputError(f"save={chosen.save} lies in {target}, which is made anew; choose another save=")
        check_free(chosen.save, overwrite, beside=target, name="save")
        if not sources[0].provenance.get("model_sha256"):
            raise InputError(
                f"{sources[0].path} doesn't record which model made it, so save={chosen.save} could never be applied "
                "safely; embed the scene again"
            )
    with ExitStack() as stack:
        tally = stack.enter_context(shown(progress, "mapping", "px"))
        saved = None
        if chosen.save is None:
            folder = stack.enter_context(result_folder(target, overwrite, identity))
        else:
            folder, saved = stack.enter_context(result_pair(target, chosen.save, overwrite, identity))
        trained = train(sources, given, chosen, None if fields is None else fields.labelled)
        classifier, report = trained.classifier, trained.report
        about = classifier.about
        strips = [
            strip_size(each, wanted, len(about.classes), about.context, chosen.applicability)
            for each in opened
        ]
        if chosen.test is not None:
            report["test"] = score_test(
                trained, sources, opened, replace(given, path=chosen.test), mapped_fields
            )
        # As it is now: what follows is of these scenes, not of the classifier
        kept = replace(classifier, about=msgspec.structs.replace(about, report=dict(report)))
        mapped = draw_all(folder, opened, classifier, strips, wanted, tally, mapped_fields)
        report |= mapped.facts
        mapped_names, names = (
            [str(each.item.get("id", each.path.name)) for each in some] for some in (opened, sources)
        )
        assets = mapped.assets + write_map_report(folder, report, trained, mapped_names)
        facts = {
            "method": about.method,
            "field": field,
            "labels": file.name,
            "labels_sha256": about.labels_sha256,
            **({} if chosen.by_segment is None else {"by_segment": report["by_segment"]}),
            "trained_on": names if len(names) > 1 else names[0],
        }
        title = f"Map of {about.title} from {about.labelled_pixels} labelled pixels"
        write_result_item(folder, [each.grid for each in opened], opened, "map", title, assets, facts)
        if saved is not None:
            saved.write_bytes(kept.to_bytes())
    return Map(target, report, tuple(report["notes"]), chosen.save)


map.__signature__ = spelled_out(map, MapKeywords, MapOptions())  # type: ignore[attr-defined]
