"""The algorithm that maps with a saved classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import QgsProcessingOutputRasterLayer, QgsProcessingParameterFile

from tessera_qgis import inputs, layers, results
from tessera_qgis.algorithm import Algorithm
from tessera_qgis.algorithms.map import MAPS, PROBABILITIES
from tessera_qgis.values import Values

CLASSIFIER = "CLASSIFIER"


class Apply(Algorithm):
    """The command `apply`."""

    NAME = "apply"
    COMMAND = "apply"
    TITLE = "Apply a saved classifier"
    GROUP = "Maps and searches"
    HELP = """Maps other scenes or years with a classifier that 'Map from labels' kept in a file.

    Needs embeddings of the model that the classifier was learned from. Its accuracy is that of its own
    labels. The result is a new folder NAME.map."""

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare parameters and outputs."""
        for parameter in (
            QgsProcessingParameterFile(CLASSIFIER, "Classifier"),
            *inputs.embeddings(),
            inputs.advanced(inputs.yes_or_no(PROBABILITIES, "Also write the probability of each class")),
            inputs.year(),
            inputs.memory(),
            *inputs.into_folder("NAME.map"),
        ):
            self.addParameter(parameter)
        for name, file in MAPS.items():
            self.addOutput(QgsProcessingOutputRasterLayer(name, file))

    def processAlgorithm(self, parameters: Any, context: Any, feedback: Any) -> dict[str, Any]:
        """Map."""
        given = Values(self, parameters, context)
        options = {
            "--probabilities": given.yes(PROBABILITIES),
            "--year": given.whole_number(inputs.YEAR),
            "--memory": given.text(inputs.MEMORY),
            "--overwrite": given.yes(inputs.OVERWRITE),
        }
        classifier = Path(given.text(CLASSIFIER) or "").absolute()
        mapped = layers.embeddings(self, parameters, (inputs.EMBEDDINGS, inputs.FOLDER), context)
        made = self.call([classifier, *mapped], options, given.folder(), feedback)
        if not made:
            return {}
        out = made["out"]
        found = {
            name: results.load(context, results.find_files(out, file), name) for name, file in MAPS.items()
        }
        return {inputs.OUT: str(out), **found}
