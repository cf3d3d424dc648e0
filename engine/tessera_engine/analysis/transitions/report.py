"""The report of transitions."""

from __future__ import annotations

from pathlib import Path

from tessera_engine.analysis.areas.report import METHOD
from tessera_engine.analysis.areas.result import accuracy_text
from tessera_engine.analysis.reporting.document import (
    Block,
    Document,
    Figure,
    Heading,
    Notes,
    Paragraph,
    Table,
)
from tessera_engine.analysis.transitions.names import transition_name
from tessera_engine.analysis.transitions.result import FromTo


def report_of(found: FromTo, title: str, picture: Path) -> Document:
    """The report: what stayed, the matrix of transitions, and their estimated areas where points were checked.

    Args:
        found: the areas.
        title: of the report.
        picture: the map of transitions, a PNG beside the report.
    """
    hectares, names = found.hectares, found.classes
    before, after, stayed = hectares.sum(axis=1), hectares.sum(axis=0), hectares.diagonal()
    blocks: list[Block] = [
        Paragraph(
            f"{hectares.sum():,.1f} ha have a class on both maps, and {100 * found.unchanged:.1f} % of them the same."
        ),
        Figure(picture, f"Map: {title}"),
        Heading("Classes, in hectares on the maps"),
        Table(
            ("class", "before", "after", "net change", "stayed", "gained", "lost", "persistence"),
            tuple(
                (
                    name,
                    f"{before[i]:,.2f}",
                    f"{after[i]:,.2f}",
                    f"{after[i] - before[i]:+,.2f}",
                    f"{stayed[i]:,.2f}",
                    f"{after[i] - stayed[i]:,.2f}",
                    f"{before[i] - stayed[i]:,.2f}",
                    f"{100 * stayed[i] / before[i]:.1f} %" if before[i] else "-",
                )
                for i, name in enumerate(names)
            ),
        ),
        Paragraph("Persistence: the share of a class before that is the same class after."),
        Heading("From (rows) to (columns), in hectares on the maps"),
        Table(
            ("from", *(f"to {name}" for name in names), "before"),
            (
                *(
                    (name, *(f"{value:,.2f}" for value in hectares[i]), f"{before[i]:,.2f}")
                    for i, name in enumerate(names)
                ),
                ("after", *(f"{value:,.2f}" for value in after), f"{hectares.sum():,.2f}"),
            ),
        ),
    ]
    if found.areas is None:
        blocks.append(
            Paragraph(
                "These areas are counted pixels. Errors of either map look like change, so they are no estimate of it: "
                "check points that sample-design draws from this result."
            )
        )
        return Document(title, tuple(blocks))
    estimated = {each.name: each for each in found.areas.classes}
    cells = {
        (one, two): estimated[transition_name(one, two)].hectares
        for one in names
        for two in names
        if transition_name(one, two) in estimated
    }
    blocks += [
        *([Notes(found.areas.notes)] if found.areas.notes else []),
        Heading("From (rows) to (columns), in hectares, estimated from points"),
        Paragraph(
            f"{found.areas.facts['points_used']:,} points of {found.areas.facts['reference']} were checked. In "
            "brackets: 95 % intervals."
        ),
        Table(
            ("from", *(f"to {name}" for name in names)),
            tuple(
                (
                    one,
                    *(
                        f"{cell.value:,.2f} ({cell.low:,.2f} to {cell.high:,.2f})"
                        if (cell := cells.get((one, two))) is not None
                        else "-"
                        for two in names
                    ),
                )
                for one in names
            ),
        ),
        Heading("Transitions, estimated from points"),
        Table(
            (
                "transition",
                "on the maps, ha",
                "area, ha",
                "standard error, ha",
                "user's accuracy",
                "producer's accuracy",
            ),
            tuple(
                (
                    each.name,
                    f"{each.mapped:,.2f}",
                    f"{each.hectares.value:,.2f} ({each.hectares.low:,.2f} to {each.hectares.high:,.2f})",
                    f"{each.hectares.error:,.2f}",
                    accuracy_text(each.users),
                    accuracy_text(each.producers),
                )
                for each in found.areas.classes
            ),
        ),
        Heading("Method"),
        Paragraph(METHOD),
    ]
    return Document(title, tuple(blocks))
