"""The algorithm that draws points to check."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingParameterRasterLayer

from tessera_qgis import inputs, layers
from tessera_qgis.algorithm import Algorithm
from tessera_qgis.values import Values

MAP, PER_CLASS, SEED, SHOW_CLASS, NODATA = "MAP", "PER_CLASS", "SEED", "SHOW_CLASS", "NODATA"


class SampleDesign(Algorithm):
    """The command `sample-design`."""

    NAME = "sample_design"
    COMMAND = "sample-design"
    TITLE = "Draw points to check"
    GROUP = "Areas"
    HELP = """Draws random points of each class of a map.

    Check them on the ground or in images, fill in their column 'reference', and give them to 'Estimate
    areas'."""

    def initAlgorithm(self, configuration: Any = None) -> None:
        """Declare parameters and outputs."""
        for parameter in (
            QgsProcessingParameterRasterLayer(MAP, "Map of classes"),
            inputs.whole_number(PER_CLASS, "Points of each class", 1, 50),
            inputs.advanced(inputs.whole_number(SEED, "Seed of the random draw", 0, 0)),
            inputs.advanced(inputs.yes_or_no(SHOW_CLASS, "Write the map's class of each point")),
            inputs.advanced(inputs.number(NODATA, "The map's value of pixels without a class")),
            *inputs.into_file("Points"),
        ):
            self.addParameter(parameter)

    def processAlgorithm(self, parameters: Any, context: Any, feedback: Any) -> dict[str, Any]:
        """Draw."""
        given = Values(self, parameters, context)
        target = given.file()
        options = {
            "--out": target,
            "--per-class": given.whole_number(PER_CLASS),
            "--seed": given.whole_number(SEED),
            "--show-class": given.yes(SHOW_CLASS),
            "--nodata": given.number(NODATA),
            "--overwrite": given.yes(inputs.OVERWRITE),
        }
        of = layers.class_map(self, parameters, MAP, context)
        made = self.call([of], options, target.parent, feedback)
        return {inputs.OUT: str(target)} if made else {}
