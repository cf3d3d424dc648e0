"""Layers of QGIS as the files and points that the program takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsProcessingException,
    QgsVectorLayer,
)

from tessera_qgis.sources import file_of, is_whole_file, output_folder

FORMATS = ["gpkg", "shp", "geojson", "fgb"]
"""Files of shapes that the program reads as QGIS does. All others are written to a temporary GeoPackage."""

DEGREES = "EPSG:4326"

MOST_POINTS = 500
"""On one command line; Windows takes 32,767 characters."""


class Shapes(NamedTuple):
    """A layer of shapes in a file.

    Attributes:
        path: the file.
        layer: its name in the file; None: the only one.
    """

    path: str
    layer: str | None


def shapes(
    algorithm: Any, parameters: Any, name: str, context: Any, feedback: Any, alone: bool = False
) -> Shapes | None:
    """A layer of shapes: its own file, or a temporary GeoPackage of what isn't in a file as QGIS shows it.

    Memory layers, databases, archives, selected features only and filtered layers are written to one.

    Args:
        algorithm: the algorithm.
        parameters: what it got.
        name: of the parameter.
        context: of the algorithm.
        feedback: of the algorithm.
        alone: whether the program has no option for the name of a layer, so that the file must have one layer only.

    Raises:
        QgsProcessingException: the layer can't be read, or has unsaved edits.
    """
    if parameters.get(name) in (None, ""):
        return None
    layer = algorithm.parameterAsVectorLayer(parameters, name, context)
    formats = FORMATS
    if isinstance(layer, QgsVectorLayer):
        if layer.isModified():
            # QGIS gives new features without their ids, and not all of them can be written
            raise QgsProcessingException(
                f"the layer {layer.name()} has edits that are not saved; save them first"
            )
        if not is_whole_file(layer.source(), alone):
            formats = []
    path, inner = algorithm.parameterAsCompatibleSourceLayerPathAndLayerName(
        parameters, name, context, formats, "gpkg", feedback
    )
    if not path:
        raise QgsProcessingException(algorithm.invalidSourceError(parameters, name))
    return Shapes(str(Path(path).absolute()), inner or None)


def points(
    algorithm: Any, parameters: Any, names: tuple[str, str], context: Any
) -> list[tuple[float, float]]:
    """Longitudes and latitudes of a point that was picked on the map, and of a layer of points.

    Args:
        algorithm: the algorithm.
        parameters: what it got.
        names: of the parameter with one point, and of the one with a layer.
        context: of the algorithm.

    Raises:
        QgsProcessingException: there is no point, or there are too many.
    """
    single, several = names
    degrees = QgsCoordinateReferenceSystem(DEGREES)
    found = []
    if parameters.get(single) not in (None, ""):
        point = algorithm.parameterAsPoint(parameters, single, context, degrees)
        found.append((point.x(), point.y()))
    source = algorithm.parameterAsSource(parameters, several, context)
    if source is not None:
        into_degrees = QgsCoordinateTransform(source.sourceCrs(), degrees, context.transformContext())
        for feature in source.getFeatures():
            geometry = feature.geometry()
            if geometry.isNull():
                continue
            geometry.transform(into_degrees)
            found += [(vertex.x(), vertex.y()) for vertex in geometry.vertices()]
    if not found:
        raise QgsProcessingException("there is no point; pick one on the map, or choose a layer of points")
    if len(found) > MOST_POINTS:
        raise QgsProcessingException(f"got {len(found)} points, expected at most {MOST_POINTS}; select fewer")
    return found


def embeddings(algorithm: Any, parameters: Any, names: tuple[str, str], context: Any) -> list[Path]:
    """Folders of embeddings: of layers, or a folder.

    Args:
        algorithm: the algorithm.
        parameters: what it got.
        names: of the parameter with layers, and of the one with a folder.
        context: of the algorithm.

    Raises:
        QgsProcessingException: there is neither, both, or a layer that isn't in an output folder.
    """
    layers, folder = names
    given = algorithm.parameterAsLayerList(parameters, layers, context) if parameters.get(layers) else []
    folders = [_output_of(layer.source()) for layer in given]
    chosen = algorithm.parameterAsString(parameters, folder, context)
    if bool(chosen) == bool(folders):
        raise QgsProcessingException(
            "got both embeddings and a folder, expected one of them"
            if folders
            else "there are no embeddings; choose embeddings.tif of an output folder, or give the folder"
        )
    return folders or [Path(chosen).absolute()]


def class_map(algorithm: Any, parameters: Any, name: str, context: Any) -> Path:
    """A map of classes: the folder of `map` or `change`, or the file of another map.

    Args:
        algorithm: the algorithm.
        parameters: what it got.
        name: of the parameter.
        context: of the algorithm.

    Raises:
        QgsProcessingException: the layer isn't a file.
    """
    file = raster(algorithm, parameters, name, context)
    folder = output_folder(file)
    return folder if folder is not None and file.name in ("map.tif", "transitions.tif") else file


def raster(algorithm: Any, parameters: Any, name: str, context: Any) -> Path:
    """The file of a raster layer.

    Args:
        algorithm: the algorithm.
        parameters: what it got.
        name: of the parameter.
        context: of the algorithm.

    Raises:
        QgsProcessingException: the layer isn't a file.
    """
    layer = algorithm.parameterAsRasterLayer(parameters, name, context)
    if layer is None:
        raise QgsProcessingException(algorithm.invalidRasterError(parameters, name))
    return _file_of(layer.source())


def _file_of(source: str) -> Path:
    file = file_of(source)
    if file is None:
        raise QgsProcessingException(f"the layer {source} is not a file of its own; save it as GeoTIFF first")
    return file


def _output_of(source: str) -> Path:
    file = _file_of(source)
    folder = output_folder(file)
    if folder is None:
        raise QgsProcessingException(
            f"{file} does not lie in an output folder of tessera-engine, which has an item.json; "
            "choose embeddings.tif of one"
        )
    return folder
