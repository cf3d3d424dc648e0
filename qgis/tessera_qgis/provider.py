"""The provider: its name, its algorithms, its setting."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from tessera_qgis import settings
from tessera_qgis.algorithms.apply import Apply
from tessera_qgis.algorithms.area import Area
from tessera_qgis.algorithms.change import Change
from tessera_qgis.algorithms.embed import Embed
from tessera_qgis.algorithms.map import Map
from tessera_qgis.algorithms.sample import Sample
from tessera_qgis.algorithms.sample_design import SampleDesign
from tessera_qgis.algorithms.similar import Similar
from tessera_qgis.algorithms.suggest import Suggest
from tessera_qgis.algorithms.transitions import Transitions

ALGORITHMS = (Embed, Similar, Map, Apply, Suggest, Change, Transitions, Sample, SampleDesign, Area)
"""To add an algorithm, write its module and add it here."""

TABLES = ["gpkg", "geojson", "csv", "parquet"]
"""What the engine writes points and tables as, the default first."""


class Provider(QgsProcessingProvider):
    """The algorithms of tessera-engine."""

    def id(self) -> str:
        """As scripts and `qgis_process` name it."""
        return "tessera_engine"

    def name(self) -> str:
        """As people read it."""
        return settings.GROUP

    def icon(self) -> QIcon:
        """Of the provider and of its algorithms."""
        return QIcon(str(Path(__file__).with_name("icon.svg")))

    def load(self) -> bool:
        """Add the setting and the algorithms."""
        settings.add(self.icon())
        self.refreshAlgorithms()
        return True

    def unload(self) -> None:
        """Take the setting away; its value is kept."""
        settings.remove()

    def loadAlgorithms(self) -> None:
        """Add the algorithms."""
        for algorithm in ALGORITHMS:
            self.addAlgorithm(algorithm())

    def supportedOutputVectorLayerExtensions(self) -> list[str]:
        """Endings of tables and points that the engine writes."""
        return TABLES

    def defaultVectorFileExtension(self, hasGeometry: bool = True) -> str:
        """The ending where none was chosen."""
        return TABLES[0]
