"""What `info SCENE` prints for people: a table, the calendar and the findings."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from typing import Any

from tessera_engine.cli.console import print_line, print_table
from tessera_engine.cli.pages.calendar_strip import BLOCKS, HEADER, strip

COLUMNS = 80

_LABELS = {"s2": "S2", "s1_ascending": "S1 asc", "s1_descending": "S1 desc"}


def print_scene(described: Mapping[str, Any]) -> None:
    """Print a scene to stdout.

    Args:
        described: the result of `tessera_engine.cli.pages.info.describe_scene`.
    """
    print_table(list(_rows(described).items()))
    blocks = sys.stdout.isatty() and _can_print(BLOCKS)
    print_line(f"clear or valid share of {described['sampled_pixels']:,} sampled pixels, by day of year")
    print_line(f"{'':8}{HEADER.rstrip()}")
    for modality, label in _LABELS.items():
        shares = described["valid_share"][modality]
        print_line(f"{label:8}{strip(shares, blocks)}".rstrip() if shares else f"{label:8}no dates")
    print_line(
        "        "
        + ("· nothing, " if blocks else "0 nothing to 8 all, ")
        + "blank: no date in these five days"
    )
    if described["findings"]:
        print_line("")
        print_line("findings")
    for finding in described["findings"]:
        text = f"{finding['name']} ({finding['sure']}): {finding['found']}"
        for part in ("effect", "fix"):
            text += f". {part.capitalize()}: {finding[part]}" if finding[part] else ""
        for line in textwrap.wrap(text, COLUMNS, initial_indent="  ", subsequent_indent="    "):
            print_line(line)


def _rows(described: Mapping[str, Any]) -> dict[str, Any]:
    """The rows of the table: everything that takes one line."""
    box = described["footprint"]
    expected = described["expected"]
    dates = " ".join(f"{described[f'{modality}_dates']} {label}," for modality, label in _LABELS.items())
    rows = {
        "kind": "scene",
        "name": described["name"],
        "layout": described["layout"],
        "size": f"{described['width']} x {described['height']} px",
        "crs": described["crs"],
        "footprint": (
            f"west {box[0]:.5f} south {box[1]:.5f} east {box[2]:.5f} north {box[3]:.5f}" if box else None
        ),
        "dates": dates.rstrip(","),
        "in the model's range": _plausible(described["plausible_share"]),
    }
    if expected:
        rows["to embed it here"] = (
            f"{_duration(expected['seconds'])} and {expected['memory'] / 1e6:.0f} MB for {expected['pixels']:,} px: "
            f"{expected['pixels_per_second']:,.0f} px/s, timed on {expected['measured_pixels']} of its pixels with "
            f"{expected['model']}, {expected['backend']}, {expected['threads']} threads"
        )
    return rows


def _plausible(shares: Mapping[str, float]) -> str | None:
    """The smallest share of plausible values, and its band."""
    if not shares:
        return None
    band = min(shares, key=lambda name: shares[name])
    return f"{shares[band]:.1%} of the values or more in each band (least: {band})"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _can_print(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
