"""The algorithm that maps labels."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingException,
    QgsProcessingOutputHtml,
    QgsProcessingOutputRasterLayer,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterRasterLayer,
)

from tessera_qgis import inputs, layers, results
from tessera_qgis.algorithm import Algorithm
from tessera_qgis.values import Values

METHOD, REGRESSION, BY_SEGMENT, LABELS_RASTER, SAVE = (
    "METHOD",
    "REGRESSION",
    "BY_SEGMENT",
    "LABELS_RASTER",
    "SAVE",
)
PROBABILITIES, APPLICABILITY, BALANCE = "PROBABILITIES", "APPLICABILITY", "BALANCE"

METHODS = ["linear", "knn", "forest", "boosting", "mlp", "auto"]

MAPS = {
    "MAP": "map.tif",
    "CONFIDENCE": "confidence.tif",
    "PROBABILITY": "probabilities.tif",
    "APPLICABLE": "applicability.tif",
}
"""Outputs and their files; the last two only if they were asked for."""


class Map(Algorithm):
    """The command `map`."""

    NAME = "map"
    COMMAND = "map"
    TITLE = "Map from labels"
    GROUP = "Maps and searches"
    HELP = """Learns from labels, and maps the whole scene.

    Labels are points or polygons with a field, or a raster. The accuracy is cross-validated over spatial
    blocks. The result is a new folder NAME.map with the map, how sure it is, a picture and a report.
    Needs the extra 'maps' of tessera-engine."""

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare parameters and outputs."""
        for parameter in (
            *inputs.embeddings(),
            *inputs.labels(optional=True),
            inputs.advanced(
                QgsProcessingParameterRasterLayer(LABELS_RASTER, "Or a raster of labels", optional=True)
            ),
            inputs.choice(METHOD, "Method", METHODS),
            inputs.yes_or_no(REGRESSION, "The labels are numbers, not classes"),
            inputs.advanced(
                QgsProcessingParameterFeatureSource(
                    BY_SEGMENT,
                    "Polygons that get one class each",
                    [QgsProcessing.TypeVectorPolygon],
                    optional=True,
                )
            ),
            inputs.advanced(
                inputs.yes_or_no(BALANCE, "All classes weigh the same, however many labels they have")
            ),
            inputs.advanced(inputs.yes_or_no(PROBABILITIES, "Also write the probability of each class")),
            inputs.advanced(inputs.yes_or_no(APPLICABILITY, "Also map where the map can't be trusted")),
            inputs.advanced(
                QgsProcessingParameterFileDestination(
                    SAVE,
                    "Keep the classifier in this file",
                    "Classifiers (*.model)",
                    optional=True,
                    createByDefault=False,
                )
            ),
            inputs.year(),
            inputs.dim(),
            inputs.memory(),
            *inputs.into_folder("NAME.map"),
        ):
            self.addParameter(parameter)
        for name, file in MAPS.items():
            self.addOutput(QgsProcessingOutputRasterLayer(name, file))
        self.addOutput(QgsProcessingOutputHtml("REPORT", "Report"))

    def processAlgorithm(self, parameters: Any, context: Any, feedback: Any) -> dict[str, Any]:
        """Learn and map."""
        given = Values(self, parameters, context)
        learned = layers.shapes(self, parameters, inputs.LABELS, context, feedback)
        raster = (
            layers.raster(self, parameters, LABELS_RASTER, context) if parameters.get(LABELS_RASTER) else None
        )
        if (learned is None) == (raster is None):
            raise QgsProcessingException(
                "expected either a layer of labels with its field, or a raster of labels"
            )
        fields = layers.shapes(self, parameters, BY_SEGMENT, context, feedback, alone=True)
        saved = given.file_output(SAVE)
        options = {
            "--labels": raster if learned is None else learned.path,
            "--layer": learned and learned.layer,
            "--field": given.text(inputs.FIELD) if raster is None else None,
            "--method": given.choice(METHOD, METHODS),
            "--regression": given.yes(REGRESSION),
            "--by-segment": fields and fields.path,
            "--balance": given.yes(BALANCE),
            "--probabilities": given.yes(PROBABILITIES),
            "--applicability": given.yes(APPLICABILITY),
            "--save": saved,
            "--year": given.whole_number(inputs.YEAR),
            "--dim": given.dim(),
            "--memory": given.text(inputs.MEMORY),
            "--overwrite": given.yes(inputs.OVERWRITE),
        }
        mapped = layers.embeddings(self, parameters, (inputs.EMBEDDINGS, inputs.FOLDER), context)
        made = self.call(mapped, options, given.folder(), feedback)
        if not made:
            return {}
        out = made["out"]
        found = {
            name: results.load(context, results.find_files(out, file), name) for name, file in MAPS.items()
        }
        found["REPORT"] = str(out / "report.html")
        return {inputs.OUT: str(out), **({SAVE: str(saved)} if saved else {}), **found}
