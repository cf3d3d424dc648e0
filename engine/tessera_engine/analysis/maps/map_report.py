"""The report of a map: how good it is, where that holds, what was mapped, and from what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tessera_engine.analysis.maps.about import About
from tessera_engine.analysis.maps.intervals import CONFIDENCE
from tessera_engine.analysis.maps.map_tables import NOT_KNOWN, class_table, context_text, tried_table
from tessera_engine.analysis.maps.quality import (
    FEWEST_LABELS,
    quality,
    unknown_because_of,
    validated_on,
)
from tessera_engine.analysis.maps.report import PERCENT, TITLES
from tessera_engine.analysis.reporting.document import (
    Block,
    Document,
    Facts,
    Figure,
    Heading,
    Notes,
    Paragraph,
    Table,
)

MOST_PICTURES = 12
"""Pictures of maps in a report; those of further outputs lie in their folders."""

MOST_ACROSS = 20
"""Classes of a confusion matrix at most. Of more classes, the most frequent confusions are listed."""

MOST_CONFUSIONS = 30

NUMBERS = "Numbers that are predicted for held-out labels, over the labels"


@dataclass(frozen=True)
class Figures:
    """The figures of a report, PNGs beside it or in folders beside it.

    Attributes:
        maps: the pictures of the maps.
        held_out: how well held-out labels are predicted: the confidence of classes, or numbers; None: there is none.
    """

    maps: tuple[Path, ...]
    held_out: Path | None


def map_document(
    report: Mapping[str, Any], about: About, embeddings: Sequence[str], figures: Figures
) -> Document:
    """The report.

    Args:
        report: see `tessera_engine.analysis.maps.training.train`, with the facts of what was mapped.
        about: the facts of the classifier.
        embeddings: the names of what was mapped.
        figures: pictures.
    """
    blocks: list[Block] = [
        Paragraph(f"{quality(report)}, {validated_on(report)}."),
        *([Notes(tuple(report["notes"]))] if report["notes"] else []),
        *(Figure(path, f"Map of {about.title}") for path in figures.maps[:MOST_PICTURES]),
        *_cross_validation(report),
        *([Figure(figures.held_out, NUMBERS)] if figures.held_out and "classes" not in report else []),
        *(_methods(report) if "tried" in report else []),
        *(_test(report["test"]) if "test" in report else []),
        *(_confidence(report["reliability"], figures.held_out) if "reliability" in report else []),
        *_mapped(report),
        *_applicability(report),
        Heading("How it was made"),
        Facts(tuple(_provenance(report, about, embeddings).items())),
    ]
    return Document(f"Map of {about.title}", tuple(blocks))


def _cross_validation(report: Mapping[str, Any]) -> list[Block]:
    how = (
        "Spatial cross-validation: whole blocks of land are held out, because pixels beside a label are nearly copies "
        f"of it. In brackets: {CONFIDENCE} % intervals over the blocks. They cover the choice of the land to validate "
        "on, not of the land to learn from."
    )
    if report.get("labelled_fields"):
        how += (
            f" The labels lie in {report['labelled_fields']:,} fields. A field is held out as a whole, and each of its "
            "labels is compared with the class, or the number, of the field."
        )
    return [Heading("Accuracy on land that was held out"), Paragraph(how), *_scores(report)]


def _scores(report: Mapping[str, Any]) -> list[Block]:
    """The scores of all labels; of classes the scores of each and the confusion matrix too."""
    known = not unknown_because_of(report)
    blocks: list[Block] = [
        Table(
            ("score", f"value ({CONFIDENCE} % interval)"),
            tuple(
                (TITLES[name], _score(report[name], ends, name) if known else NOT_KNOWN)
                for name, ends in report["intervals"].items()
            ),
        )
    ]
    if "classes" not in report:
        return [*blocks, Paragraph(f"Mean absolute error: {report['mae']:.3g}.")]
    about = (
        "Precision: the share of what is predicted as a class that is this class. Recall: the share of a class that is "
        f"found. F1: their harmonic mean. None is known from fewer than {FEWEST_LABELS} labelled pixels of a class."
    )
    return [*blocks, class_table(report), Paragraph(about), *_confusion(report)]


def _score(value: float, ends: Sequence[float], name: str) -> str:
    if name in PERCENT:
        return f"{100 * value:.1f} % ({100 * ends[0]:.1f} to {100 * ends[1]:.1f} %)"
    return f"{value:.3g} ({ends[0]:.3g} to {ends[1]:.3g})"


def _confusion(report: Mapping[str, Any]) -> list[Block]:
    """Labelled pixels by their class and the predicted one."""
    names, counts = list(report["classes"]), report["confusion"]
    if len(names) <= MOST_ACROSS:
        rows = tuple(
            (name, *(f"{count:,}" for count in counts[i]), f"{sum(counts[i]):,}")
            for i, name in enumerate(names)
        )
        titles = ("label", *(f"predicted {name}" for name in names), "labels")
        return [Heading("Confusion matrix, as labelled pixels"), Table(titles, rows)]
    wrong = sorted(
        (-counts[i][j], names[i], names[j])
        for i in range(len(names))
        for j in range(len(names))
        if i != j and counts[i][j]
    )
    rows = tuple((label, predicted, f"{-count:,}") for count, label, predicted in wrong[:MOST_CONFUSIONS])
    return [
        Heading("Most frequent confusions, as labelled pixels"),
        Table(("label", "predicted", "labelled pixels"), rows),
        Paragraph("report.json has the whole confusion matrix."),
    ]


def _methods(report: Mapping[str, Any]) -> list[Block]:
    return [
        Heading("Methods that were compared"),
        tried_table(report),
        Paragraph("All were measured on the same folds. The map was made by the best one."),
    ]


def _test(test: Mapping[str, Any]) -> list[Block]:
    line = quality(test, "independent labels")
    return [
        Heading("Accuracy on independent labels"),
        Paragraph(f"{test['labels']}: {line}, in {test['blocks']} blocks."),
        *([Notes(tuple(test["notes"]))] if test["notes"] else []),
        *_scores(test),
    ]


def _confidence(reliability: Mapping[str, Any], figure: Path | None) -> list[Block]:
    error, before = (100 * reliability[name] for name in ("calibration_error", "calibration_error_before"))
    text = (
        "On held-out labels, the confidence and the share of labels that are right differ by "
        f"{error:.1f} % on average (expected calibration error)"
    )
    if reliability["temperature"] == 1:
        text += ". Confidences are not calibrated: that did not reduce this error by more than its standard error."
    else:
        text += (
            f"; before calibration by {before:.1f} %. Scores are divided by {reliability['temperature']:.3g}."
        )
    blocks: list[Block] = [Heading("Confidence"), Paragraph(text)]
    if figure is not None:
        blocks.append(Figure(figure, "How often held-out labels are right, by their confidence"))
    return blocks


def _mapped(report: Mapping[str, Any]) -> list[Block]:
    """What the map has of each class, with the warning that it is no estimate."""
    if "mapped" not in report:
        return [
            Heading("What was mapped"),
            Paragraph(f"{report['pixels']:,} pixels with data{_of_hectares(report)}."),
        ]
    rows = [
        (
            name,
            f"{each['pixels']:,}",
            "-" if each["hectares"] is None else f"{each['hectares']:,.2f}",
            f"{100 * each['pixels'] / max(1, report['pixels']):.1f} %",
        )
        for name, each in report["mapped"].items()
    ]
    return [
        Heading("Classes on the map"),
        Paragraph(
            "These are counted pixels, not an estimate of areas: a map confuses classes more often one way than the "
            "other. For areas with intervals, check a random sample: sample-design draws it, area estimates from it."
        ),
        Table(("class", "pixels", "hectares on the map", "share"), tuple(rows)),
    ]


def _of_hectares(report: Mapping[str, Any]) -> str:
    return "" if report["hectares"] is None else f", {report['hectares']:,.2f} ha"


def _applicability(report: Mapping[str, Any]) -> list[Block]:
    heading = Heading("Where the map may be trusted")
    if "beyond_applicability" not in report:
        return [
            heading,
            Paragraph("Not known: the area of applicability was not asked for."),
        ]
    return [
        heading,
        Paragraph(
            f"{100 * report['beyond_applicability']:.1f} % of the map lies beyond the area of applicability (Meyer and "
            "Pebesma 2021): these pixels are less similar to the labels than labels of one fold are to those of the "
            "others. The scores of this report don't hold there. applicability.tif has these pixels."
        ),
    ]


def _provenance(report: Mapping[str, Any], about: About, embeddings: Sequence[str]) -> dict[str, str]:
    """Facts by name."""
    of_model = f", sha256 {about.model_sha256}" if about.model_sha256 else ""
    facts = {
        "embeddings": ", ".join(embeddings),
        "learned from": about.trained_on,
        "time": " to ".join(about.season) or NOT_KNOWN,
        "model": f"{about.model or NOT_KNOWN}{of_model}",
        "dimensions": f"{about.dim}, stored as {about.stored_as}",
        "labels": f"{about.labels}{f', field {about.field}' if about.field else ''}, sha256 {about.labels_sha256}",
        "labelled pixels": f"{about.labelled_pixels:,}",
        "method": about.method,
        "surroundings": context_text(about.context) or "none",
        "classes weigh the same": "yes" if report["balance"] else "no",
        "tessera-engine": about.engine,
    }
    if about.regression:
        del facts["classes weigh the same"]
    if "by_segment" in report:
        facts["fields"] = report["by_segment"]
    return facts
