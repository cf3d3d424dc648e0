"""The algorithm that makes a table of embeddings."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessing, QgsProcessingOutputNumber, QgsProcessingParameterFeatureSource

from tessera_qgis import inputs, layers
from tessera_qgis.algorithm import Algorithm
from tessera_qgis.values import Values

SHAPES, POOL, BUFFER = "SHAPES", "POOL", "BUFFER"

POOLS = ["mean", "std", "median"]


class Sample(Algorithm):
    """The command `sample`."""

    NAME = "sample"
    COMMAND = "sample"
    TITLE = "Sample embeddings"
    GROUP = "Embeddings"
    HELP = """Makes a table of the embeddings at points or in polygons.

    The pixels of a polygon are pooled. The columns of the layer are kept. Several outputs give a row for
    each shape and year."""

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare parameters and outputs."""
        for parameter in (
            *inputs.embeddings(),
            QgsProcessingParameterFeatureSource(
                SHAPES, "Points or polygons", [QgsProcessing.TypeVectorAnyGeometry]
            ),
            inputs.choice(POOL, "What of a polygon's pixels", POOLS, several=True),
            inputs.advanced(inputs.line(BUFFER, "Let the shapes grow by this length, like 50m")),
            inputs.year(),
            inputs.dim(),
            inputs.memory(),
            *inputs.into_file("Table"),
        ):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputNumber("ROWS", "Rows"))
        self.addOutput(QgsProcessingOutputNumber("EMPTY", "Rows without an embedding"))

    def processAlgorithm(self, parameters: Any, context: Any, feedback: Any) -> dict[str, Any]:
        """Sample."""
        given = Values(self, parameters, context)
        table = given.file()
        shapes = layers.shapes(self, parameters, SHAPES, context, feedback)
        assert shapes is not None
        sampled = layers.embeddings(self, parameters, (inputs.EMBEDDINGS, inputs.FOLDER), context)
        options = {
            "--out": table,
            "--layer": shapes.layer,
            "--pool": ",".join(given.choices(POOL, POOLS)),
            "--buffer": given.text(BUFFER),
            "--year": given.whole_number(inputs.YEAR),
            "--dim": given.dim(),
            "--memory": given.text(inputs.MEMORY),
            "--overwrite": given.yes(inputs.OVERWRITE),
        }
        made = self.call([*sampled, shapes.path], options, table.parent, feedback)
        return {inputs.OUT: str(table), "ROWS": made["rows"], "EMPTY": made["empty"]} if made else {}
