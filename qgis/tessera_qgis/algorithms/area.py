"""The algorithm that estimates areas."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingOutputHtml,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterRasterLayer,
)

from tessera_qgis import inputs, layers
from tessera_qgis.algorithm import Algorithm
from tessera_qgis.values import Values

MAP, REFERENCE, NODATA = "MAP", "REFERENCE", "NODATA"


class Area(Algorithm):
    """The command `area`."""

    NAME = "area"
    COMMAND = "area"
    TITLE = "Estimate areas"
    GROUP = "Areas"
    HELP = """Estimates the area of each class and the accuracy of a map, with intervals, from points
    that were checked.

    Counted pixels of a map are no estimate of areas. The points are those of 'Draw points to check', with
    their column 'reference' filled in. The result is a new folder NAME.area with a report."""

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare parameters and outputs."""
        for parameter in (
            QgsProcessingParameterRasterLayer(MAP, "Map of classes"),
            QgsProcessingParameterFeatureSource(
                REFERENCE, "Points that were checked", [QgsProcessing.TypeVectorAnyGeometry]
            ),
            QgsProcessingParameterField(
                inputs.FIELD,
                "Field with the class that was found",
                "reference",
                parentLayerParameterName=REFERENCE,
                optional=True,
            ),
            inputs.advanced(inputs.number(NODATA, "The map's value of pixels without a class")),
            *inputs.into_folder("NAME.area"),
        ):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputHtml("REPORT", "Report"))
        self.addOutput(QgsProcessingOutputNumber("ACCURACY", "Overall accuracy"))

    def processAlgorithm(self, parameters: Any, context: Any, feedback: Any) -> dict[str, Any]:
        """Estimate."""
        given = Values(self, parameters, context)
        checked = layers.shapes(self, parameters, REFERENCE, context, feedback)
        of = layers.class_map(self, parameters, MAP, context)
        folder = given.folder()
        options = {
            "--reference": checked and checked.path,
            "--layer": checked and checked.layer,
            "--field": given.text(inputs.FIELD),
            "--nodata": given.number(NODATA),
            "--out": folder / f"{of.stem}.area",
            "--overwrite": given.yes(inputs.OVERWRITE),
        }
        made = self.call([of], options, folder, feedback)
        if not made:
            return {}
        return {
            inputs.OUT: str(made["out"]),
            "REPORT": str(made["out"] / "report.html"),
            "ACCURACY": made["overall_accuracy"]["value"],
        }
