"""The rasters of transitions, their legend and a picture."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from tessera_engine.analysis.class_map import TAG, TRANSITIONS
from tessera_engine.analysis.rasters import write_map
from tessera_engine.analysis.transitions.compare import Transitions
from tessera_engine.analysis.transitions.names import transition_colours, transition_name
from tessera_engine.formats.cog.styles import StyledClass, style_classes
from tessera_engine.geo import grid_fields
from tessera_engine.pictures.colours import Colour
from tessera_engine.pictures.frame import thinned, write_framed
from tessera_engine.pictures.legend import Swatch, Swatches
from tessera_engine.stac.items import Asset

NO_CLASS = 0


def write_rasters(folder: Path, found: Transitions, classes: dict[str, Colour], title: str) -> list[Asset]:
    """`transitions.tif`, `legend.csv` and `transitions.png`."""
    pairs = [(found.names[i], found.names[j]) for i, j in found.pairs.tolist()]
    names = [transition_name(*pair) for pair in pairs]
    colours = transition_colours(pairs, classes)
    table = dict(enumerate(colours, 1))
    tags = {f"{TAG.upper()}{number}": name for number, name in enumerate(names, 1)}
    small = found.values.dtype == np.uint8
    assets = [
        write_map(
            folder / TRANSITIONS, found.values, found.grid, title, NO_CLASS, table if small else None, tags
        )
    ]
    counts = [int(found.counts[tuple(pair)]) for pair in found.pairs.tolist()]
    styled = zip(names, colours, counts, strict=True)
    style_classes(folder / TRANSITIONS, {number: StyledClass(*each) for number, each in enumerate(styled, 1)})
    with (folder / "legend.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["value", "class", "colour", "pixels", "before", "after"])
        for number, (name, pair, colour) in enumerate(
            zip(names, found.pairs.tolist(), colours, strict=True), 1
        ):
            hexadecimal = "#{:02x}{:02x}{:02x}".format(*colour)
            before, after = (found.names[i] for i in pair)
            rows.writerow([number, name, hexadecimal, counts[number - 1], before, after])
    assets.append(
        Asset("legend", "legend.csv", "text/csv", "Value, transition, colour, pixels", ("metadata",))
    )
    step, grid = thinned(found.grid)
    lookup = np.full((len(names) + 1, 3), 255, np.uint8)
    lookup[1:] = colours
    legend = Swatches([Swatch(name, table[number], str(number)) for number, name in enumerate(names, 1)])
    picture = lookup[found.values[::step, ::step]]
    framed = write_framed(folder / "transitions.png", [picture], grid, (title,), legend)
    return [
        *assets,
        Asset(
            "picture",
            "transitions.png",
            "image/png",
            f"{title}, with legend",
            ("overview",),
            grid_fields(framed),
        ),
    ]
