"""The algorithm that finds change between two years."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessingOutputNumber,
    QgsProcessingOutputRasterLayer,
    QgsProcessingOutputVectorLayer,
)

from tessera_qgis import inputs, layers, results
from tessera_qgis.algorithm import Algorithm
from tessera_qgis.values import Values

BEFORE, AFTER = ("BEFORE", "BEFORE_FOLDER"), ("AFTER", "AFTER_FOLDER")
TOP = "TOP"


class Change(Algorithm):
    """The command `change`."""

    NAME = "change"
    COMMAND = "change"
    TITLE = "Find change between two years"
    GROUP = "Maps and searches"
    HELP = """Compares embeddings of two years, made by the same model.

    The change that all pixels have in common (weather, dates) is removed: 0 means no other change, 1 as
    different as two random pixels. The result is a new folder NAME.change with a map, and the regions
    that changed most."""

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare parameters and outputs."""
        for parameter in (
            *inputs.embeddings(BEFORE, " of the earlier year"),
            *inputs.embeddings(AFTER, " of the later year"),
            inputs.number(TOP, "Share of all pixels that belong to the top regions", 0.01),
            inputs.dim(),
            inputs.memory(),
            *inputs.into_folder("NAME.change"),
        ):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputRasterLayer("CHANGE", "Change"))
        self.addOutput(QgsProcessingOutputVectorLayer("REGIONS", "Top regions"))
        self.addOutput(QgsProcessingOutputNumber("THRESHOLD", "Lowest change in the top regions"))

    def processAlgorithm(self, parameters: Any, context: Any, feedback: Any) -> dict[str, Any]:
        """Compare."""
        given = Values(self, parameters, context)
        options = {
            "--top": given.number(TOP),
            "--dim": given.dim(),
            "--memory": given.text(inputs.MEMORY),
            "--overwrite": given.yes(inputs.OVERWRITE),
        }
        compared = [
            folder
            for names in (BEFORE, AFTER)
            for folder in layers.embeddings(self, parameters, names, context)
        ]
        made = self.call(compared, options, given.folder(), feedback)
        if not made:
            return {}
        out = made["out"]
        return {
            inputs.OUT: str(out),
            "CHANGE": results.load(context, results.find_files(out, "change.tif"), "CHANGE"),
            "REGIONS": results.load(context, results.find_files(out, "regions.geojson"), "REGIONS"),
            "THRESHOLD": made["threshold"],
        }
