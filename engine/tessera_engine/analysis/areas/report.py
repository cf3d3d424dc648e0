"""The report of areas and accuracies."""

from __future__ import annotations

from tessera_engine.analysis.areas.estimate import Estimate
from tessera_engine.analysis.areas.result import Areas, accuracy_text, percent
from tessera_engine.analysis.maps.quality import FEWEST_LABELS
from tessera_engine.analysis.reporting.document import Block, Document, Heading, Notes, Paragraph, Table

METHOD = (
    "Estimates for a stratified random sample by Stehman 2014; where the strata are the map's classes, these are those "
    "of Olofsson et al. 2014. The interval of an area is the estimate and 1.96 standard errors on each side. That of "
    "an accuracy is a score interval (Wilson 1927, with effective points as in Franco et al. 2019), which holds close "
    "to 100 % and where no error was seen."
)


def report_of(areas: Areas) -> Document:
    """The report: areas, accuracies and the table of errors."""
    facts, names = areas.facts, [each.name for each in areas.classes]
    blocks: list[Block] = [
        Paragraph(
            f"{facts['points_used']:,} points of {facts['reference']} were checked, drawn from "
            f"{facts['hectares']:,.1f} ha in {len(facts['strata_pixels'])} strata ({facts['strata']}). The map is "
            f"right on {percent(areas.overall)} of the area. In brackets: 95 % intervals."
        ),
        *([Notes(areas.notes)] if areas.notes else []),
        Heading("Areas"),
        Table(
            ("class", "on the map, ha", "area, ha", "standard error, ha", "95 % interval, ha"),
            tuple(
                (
                    each.name,
                    f"{each.mapped:,.2f}",
                    f"{each.hectares.value:,.2f}",
                    f"{each.hectares.error:,.2f}",
                    f"{each.hectares.low:,.2f} to {each.hectares.high:,.2f}",
                )
                for each in areas.classes
            ),
        ),
        Heading("Accuracy"),
        Table(
            ("class", "user's accuracy", "standard error", "producer's accuracy", "standard error"),
            tuple(
                (
                    each.name,
                    accuracy_text(each.users),
                    _error(each.users),
                    accuracy_text(each.producers),
                    _error(each.producers),
                )
                for each in areas.classes
            ),
        ),
        Paragraph(
            "User's accuracy: the share of a class on the map that is this class. Producer's accuracy: the share of "
            f"the class that the map has. Neither is known from fewer than {FEWEST_LABELS} points."
        ),
        Heading("Errors, as percent of the area"),
        Table(
            ("on the map", *(f"in fact {name}" for name in names), "points"),
            tuple(
                (name, *(f"{100 * share:.2f}" for share in areas.proportions[i]), f"{sum(areas.counts[i]):,}")
                for i, name in enumerate(names)
            ),
        ),
        Heading("Errors, as points"),
        Table(
            ("on the map", *(f"in fact {name}" for name in names)),
            tuple((name, *(f"{count:,}" for count in areas.counts[i])) for i, name in enumerate(names)),
        ),
        Heading("Method"),
        Paragraph(METHOD),
    ]
    return Document(f"Areas and accuracy of {facts['map']}", tuple(blocks))


def _error(found: Estimate | None) -> str:
    return "" if found is None or found.points < FEWEST_LABELS else f"{100 * found.error:.1f} %"
