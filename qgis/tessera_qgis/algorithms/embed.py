"""The algorithm that computes embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    Qgis,
    QgsCoordinateReferenceSystem,
    QgsProcessing,
    QgsProcessingOutputRasterLayer,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFile,
    QgsRasterLayer,
)

from tessera_qgis import inputs, layers, results
from tessera_qgis.algorithm import Algorithm
from tessera_qgis.values import Values

SCENE, MODEL, INT8, EXTENT, AOI, SEASON, STRICT = (
    "SCENE",
    "MODEL",
    "INT8",
    "EXTENT",
    "AOI",
    "SEASON",
    "STRICT",
)

FILES = {"EMBEDDED": "embeddings.tif", "TRUECOLOUR": "truecolour.tif"}


class Embed(Algorithm):
    """The command `embed`."""

    NAME = "embed"
    COMMAND = "embed"
    TITLE = "Embed a scene"
    GROUP = "Embeddings"
    HELP = """Computes the embeddings of one year of Sentinel-2 and Sentinel-1.

    The scene is a folder: products as downloaded, a data cube, date mosaics or d-pixel tiles. The result
    is a new folder NAME.embeddings with embeddings.tif, a picture in true colour and a record of how they
    were made.

    The model 'demo' only shows how the engine works. Give the name of a model that was added to tessera-
    engine, or a model file.

    In int8 it is faster, and takes a quarter of the space.

    A cancelled run keeps what is finished: run the same again to resume it."""

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare parameters and outputs."""
        for parameter in (
            QgsProcessingParameterFile(SCENE, "Scene folder", QgsProcessingParameterFile.Folder),
            inputs.line(MODEL, "Model: name or file", "demo"),
            inputs.yes_or_no(INT8, "Compute and store in int8", True),
            QgsProcessingParameterExtent(EXTENT, "Only this part", optional=True),
            QgsProcessingParameterFeatureSource(
                AOI, "Only the pixels in these shapes", [QgsProcessing.TypeVectorAnyGeometry], optional=True
            ),
            inputs.advanced(inputs.whole_number(inputs.YEAR, "Year. Default: the one with most dates", 1)),
            inputs.advanced(inputs.line(SEASON, "Season, like 2023-11:2024-06")),
            inputs.advanced(inputs.choice(inputs.DIM, "Keep only the first dimensions", inputs.DIMS)),
            inputs.memory(),
            inputs.advanced(inputs.yes_or_no(STRICT, "Treat every warning about the scene as an error")),
            *inputs.into_folder("NAME.embeddings"),
        ):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputRasterLayer("EMBEDDED", "Embeddings"))
        self.addOutput(QgsProcessingOutputRasterLayer("TRUECOLOUR", "True colour"))

    def processAlgorithm(self, parameters: Any, context: Any, feedback: Any) -> dict[str, Any]:
        """Embed."""
        given = Values(self, parameters, context)
        part = layers.shapes(self, parameters, AOI, context, feedback)
        folder = given.folder()
        model = given.text(MODEL) or "demo"
        options = {
            "--model": str(Path(model).absolute()) if Path(model).is_file() else model,
            "--int8": given.yes(INT8),
            "--bbox": self._box(parameters, context),
            "--aoi": part and part.path,
            "--layer": part and part.layer,
            "--year": given.whole_number(inputs.YEAR),
            "--season": given.text(SEASON),
            "--dim": given.dim(),
            "--memory": given.text(inputs.MEMORY),
            "--strict": given.yes(STRICT),
            "--overwrite": given.yes(inputs.OVERWRITE),
        }
        made = self.call([Path(given.text(SCENE) or "").absolute()], options, folder, feedback)
        if not made:
            return {}
        out = made["out"]
        if options["--int8"] and self._reads_without_sign(out / FILES["EMBEDDED"]):
            feedback.pushWarning(
                "this QGIS has a GDAL before 3.7 and reads int8 codes without their sign: the colours of "
                "embeddings.tif are wrong, what is made from it is right"
            )
        files = {
            name: results.load(context, results.find_files(out, file), name) for name, file in FILES.items()
        }
        return {inputs.OUT: str(out), **files}

    def _reads_without_sign(self, file: Path) -> bool:
        layer = QgsRasterLayer(str(file))
        return bool(layer.isValid() and layer.dataProvider().dataType(1) == Qgis.Byte)

    def _box(self, parameters: Any, context: Any) -> tuple[float, float, float, float] | None:
        if parameters.get(EXTENT) in (None, ""):
            return None
        degrees = QgsCoordinateReferenceSystem(layers.DEGREES)
        box = self.parameterAsExtent(parameters, EXTENT, context, degrees)
        if box.isNull():
            return None
        return box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()
