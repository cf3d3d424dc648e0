"""The columns of a table: the user's as they are, and ours beside them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tessera_engine.places.features import Features

GEOMETRY = "geometry"

PREFIX = "tessera_"
"""Of the name of a column of ours where the user has one of that name."""

EXAMPLES = 3
"""Names or values that a message quotes at most."""


@dataclass(frozen=True)
class Columns:
    """The columns of a table.

    Attributes:
        user: a pyarrow.Table with the user's columns, under the names that they have in the result.
        facts: our name -> its name in the result, for year, pixels, ...
        vectors: names of the dimensions, for each vector of a row.
        notes: what was renamed, a line each.
    """

    user: Any
    facts: dict[str, str]
    vectors: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def columns_for(features: Features, facts: Sequence[str], vectors: Sequence[str], dim: int) -> Columns:
    """Names for all columns, different in lower case too, as databases need them.

    Args:
        features: the shapes with the user's columns, which keep their names.
        facts: names of our columns, besides those of vectors.
        vectors: what the dimensions of each vector are called.
        dim: their number.
    """
    taken: set[str] = set()
    renamed = []
    names = []
    for name in features.table.column_names:
        new = _free(str(name) or "column", taken, "")
        names.append(new)
        if new != name:
            renamed.append(f"{name!r} is '{new}'")
    ours = [
        *facts,
        GEOMETRY,
        *(f"{vector}_{number:03d}" for vector in vectors for number in range(1, dim + 1)),
    ]
    found = {}
    for name in ours:
        found[name] = _free(name, taken, PREFIX)
        if found[name] != name:
            renamed.append(f"our '{name}' is '{found[name]}'")
    notes = []
    if renamed:
        more = f", and {len(renamed) - EXAMPLES} more" if len(renamed) > EXAMPLES else ""
        notes.append(f"note: columns with the same name: {', '.join(renamed[:EXAMPLES])}{more}")
    return Columns(
        _flat(features.table.rename_columns(names)),
        {name: found[name] for name in (*facts, GEOMETRY)},
        tuple(tuple(found[f"{vector}_{number:03d}"] for number in range(1, dim + 1)) for vector in vectors),
        tuple(notes),
    )


def _free(name: str, taken: set[str], prefix: str) -> str:
    """The name, or one like it that isn't taken; it is then."""
    new, number = name, 2
    if prefix and new.casefold() in taken:
        new = f"{prefix}{name}"
    base = new
    while new.casefold() in taken:
        new, number = f"{base}_{number}", number + 1
    taken.add(new.casefold())
    return new


def _flat(table: Any) -> Any:
    """The table with lists and structs as JSON, and without dictionaries: not every format has these."""
    import pyarrow
    import pyarrow.types as types

    for i, field in enumerate(table.schema):
        kind, column = field.type, table.column(i)
        if types.is_dictionary(kind):
            column = column.cast(kind.value_type)
        elif types.is_nested(kind):
            texts = [None if each is None else json.dumps(each, default=str) for each in column.to_pylist()]
            column = pyarrow.array(texts, pyarrow.string())
        elif types.is_null(kind):
            column = column.cast(pyarrow.string())
        else:
            continue
        table = table.set_column(i, field.name, column)
    return table
