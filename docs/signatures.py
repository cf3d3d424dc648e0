"""Signatures on the page of Python as `help()` and editors show them: each option by its name, each type spelled out.

mkdocstrings reads the source, where a function has `**options` and types have names of their own.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable
from typing import Any, get_origin

import griffe

import tessera_engine

_KINDS = {
    inspect.Parameter.POSITIONAL_OR_KEYWORD: griffe.ParameterKind.positional_or_keyword,
    inspect.Parameter.KEYWORD_ONLY: griffe.ParameterKind.keyword_only,
    inspect.Parameter.VAR_KEYWORD: griffe.ParameterKind.var_keyword,
}


class SpelledOut(griffe.Extension):
    """Called for each function that mkdocstrings reads."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """Take the signature that a function of the package's face has when it runs."""
        function = getattr(tessera_engine, func.name) if func.name in tessera_engine.__all__ else None
        if function is None or function.__module__ != func.module.path or func.parent != func.module:
            return
        names = vars(inspect.getmodule(function))
        func.parameters = griffe.Parameters(
            *(
                griffe.Parameter(
                    each.name,
                    annotation=_spelled(str(each.annotation), names),
                    kind=_KINDS[each.kind],
                    default=None if each.default is each.empty else repr(each.default),
                )
                for each in inspect.signature(function).parameters.values()
            )
        )


def _spelled(annotation: str, names: dict[str, Any]) -> str:
    """A type with names of types in the place of our names for unions of them."""

    def spell(found: re.Match[str]) -> str:
        value: type | Callable[..., Any] | None = names.get(found[0])
        if isinstance(value, types.UnionType) or get_origin(value) is not None:
            return re.sub(r"\b(?:\w+\.)+(?=\w)", "", str(value))
        return found[0]

    return re.sub(r"\b[A-Z]\w+\b", spell, annotation)
