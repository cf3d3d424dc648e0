"""Parameters that several algorithms have: the same names, the same texts."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFile,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)

EMBEDDINGS, FOLDER = "EMBEDDINGS", "FOLDER"
LABELS, FIELD = "LABELS", "FIELD"
OUT, OVERWRITE = "OUT", "OVERWRITE"
YEAR, DIM, MEMORY = "YEAR", "DIM", "MEMORY"

DIMS = ["all", "16", "32", "64", "128"]
"""The first dimensions that can be used alone."""


def advanced(parameter: Any) -> Any:
    """A parameter that the dialog shows on demand."""
    parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.FlagAdvanced)
    return parameter


def embeddings(names: tuple[str, str] = (EMBEDDINGS, FOLDER), of: str = "") -> list[Any]:
    """Layers with embeddings, or a folder of them.

    Args:
        names: of the two parameters.
        of: which ones, to read.
    """
    return [
        QgsProcessingParameterMultipleLayers(
            names[0],
            f"Embeddings{of} (embeddings.tif)",
            QgsProcessing.TypeRaster,
            optional=True,
        ),
        QgsProcessingParameterFile(
            names[1],
            f"Or their folder or store{of}",
            QgsProcessingParameterFile.Folder,
            optional=True,
        ),
    ]


def labels(optional: bool) -> list[Any]:
    """A layer of labels and its field."""
    return [
        QgsProcessingParameterFeatureSource(
            LABELS, "Labels: points or polygons", [QgsProcessing.TypeVectorAnyGeometry], optional=optional
        ),
        QgsProcessingParameterField(
            FIELD, "Field of the labels", parentLayerParameterName=LABELS, optional=optional
        ),
    ]


def yes_or_no(name: str, text: str, default: bool = False) -> Any:
    """A choice."""
    return QgsProcessingParameterBoolean(name, text, defaultValue=default)


def whole_number(name: str, text: str, least: int, default: int | None = None) -> Any:
    """A whole number; without a default it is optional."""
    return QgsProcessingParameterNumber(
        name,
        text,
        QgsProcessingParameterNumber.Integer,
        defaultValue=default,
        optional=default is None,
        minValue=least,
    )


def number(name: str, text: str, default: float | None = None) -> Any:
    """A number; without a default it is optional."""
    return QgsProcessingParameterNumber(
        name, text, QgsProcessingParameterNumber.Double, defaultValue=default, optional=default is None
    )


def choice(name: str, text: str, options: list[str], several: bool = False) -> Any:
    """One of several words, the first by default; or any of them."""
    return QgsProcessingParameterEnum(
        name, text, options, allowMultiple=several, defaultValue=[0] if several else 0
    )


def line(name: str, text: str, default: str | None = None) -> Any:
    """A word or a line; without a default it is optional."""
    return QgsProcessingParameterString(name, text, defaultValue=default, optional=default is None)


def year() -> Any:
    """The year to use."""
    return advanced(whole_number(YEAR, "Year, if there are several", 1))


def dim() -> Any:
    """The dimensions to use."""
    return advanced(choice(DIM, "Use only the first dimensions", DIMS))


def memory() -> Any:
    """The limit of the memory."""
    return advanced(QgsProcessingParameterString(MEMORY, "Memory limit, like 2GB", optional=True))


def into_folder(made: str) -> list[Any]:
    """The folder in which a result appears.

    Args:
        made: the result, like `NAME.map`.
    """
    return [
        yes_or_no(OVERWRITE, "Replace an earlier result"),
        QgsProcessingParameterFolderDestination(OUT, f"Folder in which {made} appears"),
    ]


def into_file(text: str) -> list[Any]:
    """The file of points or of a table."""
    return [
        yes_or_no(OVERWRITE, "Replace an earlier file"),
        QgsProcessingParameterVectorDestination(OUT, text),
    ]
