"""The algorithm that finds similar places."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingOutputRasterLayer,
    QgsProcessingOutputVectorLayer,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterPoint,
)

from tessera_qgis import inputs, layers, results
from tessera_qgis.algorithm import Algorithm
from tessera_qgis.values import Values

POINT, POINTS, TOP = "POINT", "POINTS", "TOP"


class Similar(Algorithm):
    """The command `similar`."""

    NAME = "similar"
    COMMAND = "similar"
    TITLE = "Find similar places"
    GROUP = "Maps and searches"
    HELP = """Finds the places that are like the ones you point to.

    Pick a point on the map, or choose a layer of points. The result is a new folder NAME.similar with a
    map of the cosine similarity, and the most similar regions."""

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare parameters and outputs."""
        for parameter in (
            *inputs.embeddings(),
            QgsProcessingParameterPoint(POINT, "A point to compare with", optional=True),
            QgsProcessingParameterFeatureSource(
                POINTS, "Points to compare with", [QgsProcessing.TypeVectorPoint], optional=True
            ),
            inputs.number(TOP, "Share of all pixels that belong to the top regions", 0.01),
            inputs.year(),
            inputs.dim(),
            inputs.memory(),
            *inputs.into_folder("NAME.similar"),
        ):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputRasterLayer("SIMILARITY", "Similarity"))
        self.addOutput(QgsProcessingOutputVectorLayer("REGIONS", "Top regions"))
        self.addOutput(QgsProcessingOutputNumber("THRESHOLD", "Lowest similarity in the top regions"))

    def processAlgorithm(self, parameters: Any, context: Any, feedback: Any) -> dict[str, Any]:
        """Search."""
        given = Values(self, parameters, context)
        options = {
            "--at": layers.points(self, parameters, (POINT, POINTS), context),
            "--top": given.number(TOP),
            "--year": given.whole_number(inputs.YEAR),
            "--dim": given.dim(),
            "--memory": given.text(inputs.MEMORY),
            "--overwrite": given.yes(inputs.OVERWRITE),
        }
        searched = layers.embeddings(self, parameters, (inputs.EMBEDDINGS, inputs.FOLDER), context)
        made = self.call(searched, options, given.folder(), feedback)
        if not made:
            return {}
        out = made["out"]
        return {
            inputs.OUT: str(out),
            "SIMILARITY": results.load(context, results.find_files(out, "similarity.tif"), "SIMILARITY"),
            "REGIONS": results.load(context, results.find_files(out, "regions.geojson"), "REGIONS"),
            "THRESHOLD": made["threshold"],
        }
