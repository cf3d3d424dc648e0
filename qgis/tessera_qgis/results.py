"""What an algorithm made, as layers: loaded with the styles that lie beside the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsFillSymbol,
    QgsProcessingContext,
    QgsProcessingLayerPostProcessorInterface,
    QgsSingleSymbolRenderer,
    QgsVectorLayer,
)

OUTLINE = {"style": "no", "outline_color": "#e31a1c", "outline_width": "0.5"}
"""Regions are drawn over the map that they were found on."""

_waiting: list[Any] = []
"""QGIS doesn't own what is called after a layer is loaded, so it is kept here."""


class _Named(QgsProcessingLayerPostProcessorInterface):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def postProcessLayer(self, layer: Any, context: Any, feedback: Any) -> None:
        """Give a loaded layer its name and its style. Processing loads layers without the style beside the file."""
        layer.setName(self.name)
        layer.loadDefaultStyle()
        if isinstance(layer, QgsVectorLayer) and not Path(layer.styleURI()).is_file():
            layer.setRenderer(QgsSingleSymbolRenderer(QgsFillSymbol.createSimple(OUTLINE)))
        layer.triggerRepaint()


def find_files(out: Path, name: str) -> list[Path]:
    """A file of a result: one, or one for each of several embeddings, in a folder of its name each.

    Args:
        out: folder of the result.
        name: like `map.tif`.
    """
    return [out / name] if (out / name).is_file() else sorted(out.glob(f"*/{name}"))


def load(context: Any, files: list[Path], output: str) -> str | None:
    """Have files loaded as layers when the algorithm is finished.

    Args:
        context: of the algorithm.
        files: of one kind.
        output: name of the algorithm's output.

    Returns:
        The first file, as the value of the output; None if there is none.
    """
    for file in files if context.project() is not None else []:
        title = f"{file.parent.name}: {file.stem}"
        details = QgsProcessingContext.LayerDetails(title, context.project(), output)
        processor = _Named(title)
        _waiting.append(processor)
        details.setPostProcessor(processor)
        context.addLayerToLoadOnCompletion(str(file), details)
    return str(files[0]) if files else None
