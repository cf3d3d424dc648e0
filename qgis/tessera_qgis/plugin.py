"""The plugin: adds the provider to Processing, and takes it away."""

from __future__ import annotations

from qgis.core import QgsApplication

from tessera_qgis.provider import Provider


class Plugin:
    """What QGIS loads and unloads."""

    def __init__(self) -> None:
        self.provider: Provider | None = None

    def initProcessing(self) -> None:
        """Add the provider. `qgis_process` calls this alone."""
        self.provider = Provider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self) -> None:
        """Start in the window of QGIS."""
        self.initProcessing()

    def unload(self) -> None:
        """Take the provider away."""
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None
