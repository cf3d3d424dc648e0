"""The algorithm that suggests points to label."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingParameterRasterLayer

from tessera_qgis import inputs, layers
from tessera_qgis.algorithm import Algorithm
from tessera_qgis.values import Values

COUNT, MAP = "COUNT", "MAP"


class Suggest(Algorithm):
    """The command `suggest`."""

    NAME = "suggest"
    COMMAND = "suggest"
    TITLE = "Suggest points to label"
    GROUP = "Maps and searches"
    HELP = """Suggests the points whose labels would help a map most, in the order in which they help.

    Fill in their empty column. Such points are for learning, not for areas: those need a random sample."""

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare parameters and outputs."""
        for parameter in (
            *inputs.embeddings(),
            inputs.whole_number(COUNT, "Number of points", 1, 20),
            *inputs.labels(optional=True),
            QgsProcessingParameterRasterLayer(MAP, "Map that was made from these labels", optional=True),
            inputs.year(),
            *inputs.into_file("Points"),
        ):
            self.addParameter(parameter)

    def processAlgorithm(self, parameters: Any, context: Any, feedback: Any) -> dict[str, Any]:
        """Suggest."""
        given = Values(self, parameters, context)
        target = given.file()
        labels = layers.shapes(self, parameters, inputs.LABELS, context, feedback)
        options = {
            "--out": target,
            "--count": given.whole_number(COUNT),
            "--labels": labels and labels.path,
            "--layer": labels and labels.layer,
            "--field": given.text(inputs.FIELD),
            "--map": layers.class_map(self, parameters, MAP, context) if parameters.get(MAP) else None,
            "--year": given.whole_number(inputs.YEAR),
            "--overwrite": given.yes(inputs.OVERWRITE),
        }
        of = layers.embeddings(self, parameters, (inputs.EMBEDDINGS, inputs.FOLDER), context)
        made = self.call(of, options, target.parent, feedback)
        return {inputs.OUT: str(target)} if made else {}
