"""What an algorithm got, as values of the program's options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import QgsProcessingException

from tessera_qgis import inputs

FILES = (".gpkg", ".geojson", ".csv", ".parquet")
"""Endings of what the program writes points and tables as."""


class Values:
    """Reads parameters. What wasn't given is None."""

    def __init__(self, algorithm: Any, parameters: Any, context: Any) -> None:
        self._algorithm, self._parameters, self._context = algorithm, parameters, context

    def _given(self, name: str) -> bool:
        return self._parameters.get(name) not in (None, "")

    def text(self, name: str) -> str | None:
        """A word, a line, a field or a file."""
        return self._algorithm.parameterAsString(self._parameters, name, self._context) or None

    def whole_number(self, name: str) -> int | None:
        """A whole number."""
        definition = self._algorithm.parameterDefinition(name)
        if not self._given(name) and definition.defaultValue() is None:
            return None
        return int(self._algorithm.parameterAsInt(self._parameters, name, self._context))

    def number(self, name: str) -> float | None:
        """A number."""
        definition = self._algorithm.parameterDefinition(name)
        if not self._given(name) and definition.defaultValue() is None:
            return None
        return float(self._algorithm.parameterAsDouble(self._parameters, name, self._context))

    def yes(self, name: str) -> bool:
        """A choice."""
        return bool(self._algorithm.parameterAsBool(self._parameters, name, self._context))

    def choice(self, name: str, options: list[str]) -> str:
        """One of several words."""
        return options[int(self._algorithm.parameterAsEnum(self._parameters, name, self._context))]

    def choices(self, name: str, options: list[str]) -> list[str]:
        """Any of several words."""
        found = self._algorithm.parameterAsEnums(self._parameters, name, self._context)
        return [options[each] for each in found]

    def dim(self) -> str | None:
        """The first dimensions that are used; None: all."""
        found = self.choice(inputs.DIM, inputs.DIMS)
        return None if found == inputs.DIMS[0] else found

    def folder(self) -> Path:
        """The folder in which a result appears."""
        return Path(
            self._algorithm.parameterAsFileOutput(self._parameters, inputs.OUT, self._context)
        ).absolute()

    def file_output(self, name: str) -> Path | None:
        """A file to write, beside the result."""
        if not self._given(name):
            return None
        return Path(self._algorithm.parameterAsFileOutput(self._parameters, name, self._context)).absolute()

    def file(self) -> Path:
        """The file of points or of a table.

        Raises:
            QgsProcessingException: it is no file that the program writes.
        """
        target = self._algorithm.parameterAsOutputLayer(self._parameters, inputs.OUT, self._context)
        path = Path(target)
        if (
            path.suffix.lower() not in FILES
            or "|" in target
            or target.startswith(("ogr:", "postgres:", "memory:"))
        ):
            raise QgsProcessingException(
                f"can't write to {target}; choose 'Save to File', with a name that ends with {', '.join(FILES)}"
            )
        return path.absolute()
