"""The algorithm that says what became of each class."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingOutputHtml,
    QgsProcessingOutputRasterLayer,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterRasterLayer,
)

from tessera_qgis import inputs, layers, results
from tessera_qgis.algorithm import Algorithm
from tessera_qgis.values import Values

BEFORE, AFTER, REFERENCE = "BEFORE", "AFTER", "REFERENCE"


class Transitions(Algorithm):
    """The command `change --from-to`."""

    NAME = "transitions"
    COMMAND = "change"
    TITLE = "Transitions between two maps"
    GROUP = "Areas"
    HELP = """Compares two maps of classes, and says what became of each class, in hectares.

    With points that were checked, which 'Draw points to check' draws from a map of transitions, the areas
    have intervals. The result is a new folder NAME.change with a map of transitions and a report."""

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare parameters and outputs."""
        for parameter in (
            QgsProcessingParameterRasterLayer(BEFORE, "Map of the earlier time"),
            QgsProcessingParameterRasterLayer(AFTER, "Map of the later time"),
            QgsProcessingParameterFeatureSource(
                REFERENCE, "Points that were checked", [QgsProcessing.TypeVectorAnyGeometry], optional=True
            ),
            QgsProcessingParameterField(
                inputs.FIELD, "Field with the transition", parentLayerParameterName=REFERENCE, optional=True
            ),
            *inputs.into_folder("NAME.change"),
        ):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputRasterLayer("TRANSITIONS", "Transitions"))
        self.addOutput(QgsProcessingOutputHtml("REPORT", "Report"))

    def processAlgorithm(self, parameters: Any, context: Any, feedback: Any) -> dict[str, Any]:
        """Compare."""
        given = Values(self, parameters, context)
        checked = layers.shapes(self, parameters, REFERENCE, context, feedback, alone=True)
        options = {
            "--from-to": True,
            "--reference": checked and checked.path,
            "--field": given.text(inputs.FIELD),
            "--overwrite": given.yes(inputs.OVERWRITE),
        }
        maps = [layers.class_map(self, parameters, name, context) for name in (BEFORE, AFTER)]
        made = self.call(maps, options, given.folder(), feedback)
        if not made:
            return {}
        out = made["out"]
        return {
            inputs.OUT: str(out),
            "TRANSITIONS": results.load(context, results.find_files(out, "transitions.tif"), "TRANSITIONS"),
            "REPORT": str(out / "report.html"),
        }
