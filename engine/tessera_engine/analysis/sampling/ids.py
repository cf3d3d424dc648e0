"""Whether shapes have an identity of their own."""

from __future__ import annotations

from typing import Any

from tessera_engine.errors import InputError
from tessera_engine.files.nearby import nearest
from tessera_engine.places.features import Features
from tessera_engine.places.shapes import listed


def check_ids(features: Features, path: Any, id: str | None) -> str | None:
    """A warning if shapes have no identity of their own; None where all have.

    Args:
        features: the shapes.
        path: their file, for messages.
        id: the column with the ids, as the user named it; None: one that is called id, if there is one.

    Raises:
        InputError: there is no such column, or with `id` given its values are not unique.
    """
    names = [str(name) for name in features.table.column_names]
    column = id
    if column is None:
        column = next((name for name in names if name.casefold() == "id"), None)
        if column is None:
            return None
    elif column not in names:
        near = nearest(column, names)
        hint = f"; did you mean '{near}'?" if near else ""
        raise InputError(f"{path} has no column '{column}'; its columns: {listed(names)}{hint}")
    values = features.table.column(column).to_pylist()
    seen: set[Any] = set()
    twice: list[Any] = []
    for value in values:
        if value in seen:
            twice.append(value)
        seen.add(value)
    if not twice and None not in seen:
        return None
    examples = ", ".join(str(each)[:40] for each in dict.fromkeys(twice))
    what = f"several rows with the same value ({examples[:120]})" if twice else "rows without a value"
    if id is not None:
        raise InputError(f"{path} has {what} in id={column}; expected a value of its own in each row")
    return f"warning: {path} has {what} in the column '{column}'; all rows are kept"
