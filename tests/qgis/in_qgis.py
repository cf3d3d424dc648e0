"""Run by the Python of QGIS: what its users do with the plugin. Prints what the named function returns, as JSON.

python3 tests/qgis/in_qgis.py qgis PROGRAM FUNCTION ARGUMENT...
"""

import json
import os
import sys
import threading
from pathlib import Path

from qgis.core import (
    Qgis,
    QgsApplication,
    QgsFeature,
    QgsGeometry,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProject,
    QgsRasterLayer,
    QgsSettings,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QSize

sys.path[:0] = [sys.argv[1], "/usr/share/qgis/python/plugins"]


class Feedback(QgsProcessingFeedback):
    """Keeps what an algorithm says; cancels at so many percent, if they are given."""

    def __init__(self, cancel_at=101):
        super().__init__(False)
        self.said, self.progress, self.cancel_at = [], [], cancel_at
        self.progressChanged.connect(self._advance)

    def _advance(self, percent):
        self.progress.append(percent)
        if percent >= self.cancel_at:
            self.cancel()

    def _hear(self, kind, text):
        self.said.append([kind, text])

    def pushInfo(self, text):
        self._hear("info", text)

    def pushWarning(self, text):
        self._hear("warning", text)

    def pushCommandInfo(self, text):
        self._hear("command", text)


def run(name, feedback=None, **parameters):
    """Run an algorithm as the dialog does; gives what it made and the layers that were loaded."""
    from processing.gui.Postprocessing import handleAlgorithmResults

    algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"tessera_engine:{name}")
    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    feedback = feedback or Feedback()
    context.setFeedback(feedback)
    fine, why = algorithm.checkParameterValues(parameters, context)
    if not fine:
        return {"error": why}, feedback
    before = set(QgsProject.instance().mapLayers())
    try:
        made, _ = algorithm.run(parameters, context, feedback, catchExceptions=False)
    except QgsProcessingException as error:
        return {"error": str(error)}, feedback
    handleAlgorithmResults(algorithm, context, Feedback(), True, parameters)
    layers = QgsProject.instance().mapLayers()
    made["layers"] = {layer.name(): describe(layer) for key, layer in layers.items() if key not in before}
    return made, feedback


def describe(layer):
    """What QGIS shows of a layer."""
    if isinstance(layer, QgsVectorLayer):
        return {"valid": layer.isValid(), "features": layer.featureCount(), "fields": layer.fields().names()}
    renderer = layer.renderer()
    names = [layer.bandName(band + 1) for band in range(min(9, layer.bandCount()))]
    found = {
        "valid": layer.isValid(),
        "bands": layer.bandCount(),
        "renderer": renderer.type(),
        "names": names,
    }
    if renderer.type() == "paletted":
        found["classes"] = [[each.value, each.label, each.color.name()] for each in renderer.classes()]
    if renderer.type() == "singlebandpseudocolor":
        items = renderer.shader().rasterShaderFunction().colorRampItemList()
        found["items"] = [[each.value, each.color.name()] for each in items]
    if renderer.type() == "multibandcolor":
        found["limits"] = [
            [each.minimumValue(), each.maximumValue()]
            for each in (
                renderer.redContrastEnhancement(),
                renderer.greenContrastEnhancement(),
                renderer.blueContrastEnhancement(),
            )
            if each is not None
        ]
    return found


def styles(*paths):
    """What QGIS shows of files that a user opens."""
    return {path: describe(QgsRasterLayer(path, "opened")) for path in paths}


def draw(picture, *paths):
    """Draw files on each other, the first on top, into a picture."""
    layers = [QgsRasterLayer(path, "drawn") for path in paths]
    settings = QgsMapSettings()
    settings.setLayers(layers)
    settings.setDestinationCrs(layers[0].crs())
    settings.setExtent(layers[0].extent())
    settings.setOutputSize(QSize(480, 480))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    image = job.renderedImage()
    image.save(picture)
    return sorted({image.pixelColor(x, y).name() for x in range(5, 480, 10) for y in range(5, 480, 10)})


def chain(scene, other, labels, folder):
    """Everything from a scene to areas, each step from the layers of the one before."""
    folder = str(Path(folder))
    made = {"version": Qgis.QGIS_VERSION}
    made["embed"], feedback = run("embed", SCENE=scene, OUT=folder)
    made["progress"], made["said"] = feedback.progress, feedback.said
    (embedded,) = (
        layer
        for layer in QgsProject.instance().mapLayers().values()
        if layer.name().endswith("embeddings: embeddings")
    )
    made["without sign"] = any(
        embedded.dataProvider().bandStatistics(band).maximumValue > 127 for band in range(1, 9)
    )
    made["again"], _ = run("embed", SCENE=scene, OUT=folder)
    later, _ = run("embed", SCENE=other, OUT=folder)
    centre = embedded.extent().center()
    point = f"{centre.x()},{centre.y()} [{embedded.crs().authid()}]"
    made["similar"], _ = run("similar", EMBEDDINGS=[embedded], POINT=point, OUT=folder)
    made["map"], _ = run(
        "map",
        EMBEDDINGS=[embedded],
        LABELS=labels,
        FIELD="class",
        PROBABILITIES=True,
        APPLICABILITY=True,
        SAVE=f"{folder}/c.model",
        OUT=folder,
    )
    made["apply"], _ = run("apply", CLASSIFIER=f"{folder}/c.model", FOLDER=later["OUT"], OUT=folder)
    made["change"], _ = run("change", BEFORE=[embedded], AFTER_FOLDER=later["OUT"], OUT=folder)
    made["transitions"], _ = run(
        "transitions", BEFORE=made["map"]["MAP"], AFTER=made["apply"]["MAP"], OUT=f"{folder}/areas"
    )
    made["suggest"], _ = run("suggest", EMBEDDINGS=[embedded], COUNT=5, OUT=f"{folder}/next.gpkg")
    made["sample"], _ = run("sample", EMBEDDINGS=[embedded], SHAPES=labels, OUT=f"{folder}/table.gpkg")
    made["design"], _ = run(
        "sample_design", MAP=made["map"]["MAP"], PER_CLASS=5, SHOW_CLASS=True, OUT=f"{folder}/check.gpkg"
    )
    checked = QgsVectorLayer(f"{folder}/check.gpkg", "checked", "ogr")
    index = checked.fields().indexOf("reference")
    with_class = checked.fields().indexOf("map_class")
    values = {feature.id(): {index: feature[with_class]} for feature in checked.getFeatures()}
    checked.dataProvider().changeAttributeValues(values)
    made["area"], _ = run("area", MAP=made["map"]["MAP"], REFERENCE=f"{folder}/check.gpkg", OUT=folder)
    return made


def shapes(output, labels, folder):
    """Layers that aren't files as they are: in memory, selected, filtered, edited, in a file with several layers."""
    made = {}
    embeddings = {"FOLDER": output}
    file = QgsVectorLayer(labels, "labels", "ogr")
    memory = QgsVectorLayer("Point?crs=EPSG:4326&field=name:string", "in memory", "memory")
    for place in [each.geometry() for each in file.getFeatures()][:3]:
        feature = QgsFeature(memory.fields())
        feature.setGeometry(place)
        feature["name"] = "é"
        memory.dataProvider().addFeature(feature)
    QgsProject.instance().addMapLayers([file, memory])
    out = 0

    def rows(layer, **more):
        nonlocal out
        out += 1
        found, feedback = run("sample", SHAPES=layer, OUT=f"{folder}/{out}.gpkg", **embeddings, **more)
        return found.get("ROWS", found.get("error")), [
            text for kind, text in feedback.said if kind == "command"
        ]

    made["file"] = rows(file)
    made["memory"] = rows(memory)
    file.selectByIds([each.id() for each in file.getFeatures()][:2])
    made["all of a selection"] = rows(file)[0]
    made["selected"] = rows(QgsProcessingFeatureSourceDefinition(file.id(), True))[0]
    file.setSubsetString("\"class\" = 'water'")
    made["water"] = file.featureCount()
    made["filtered"] = rows(file)[0]
    file.setSubsetString("")
    file.startEditing()
    extra = QgsFeature(file.fields())
    extra.setGeometry(QgsGeometry.fromPointXY(next(memory.getFeatures()).geometry().asPoint()))
    file.addFeature(extra)
    made["edited"] = rows(file)[0]
    file.rollBack()
    made["several points"], _ = run("similar", POINTS=memory, OUT=folder, **embeddings)
    made["points of a mixed file"] = rows(f"{folder}/mixed.geojson|geometrytype=Point")[0]
    made["two layers"] = rows(f"{folder}/two.gpkg|layername=second")
    return made


def options(scene, other, labels, folder):
    """A part of a scene by its extent and by shapes, several embeddings at once, a raster of labels, tables of all kinds."""
    made = {}
    cover = QgsRasterLayer(f"{scene}/cover.tif", "cover")
    box, crs = cover.extent(), cover.crs().authid()
    west = f"{box.xMinimum()},{box.center().x()},{box.yMinimum()},{box.yMaximum()} [{crs}]"
    made["extent"], _ = run("embed", SCENE=scene, EXTENT=west, OUT=f"{folder}/extent", DIM=1)
    points = QgsVectorLayer(labels, "labels", "ogr")
    QgsProject.instance().addMapLayer(points)
    points.selectByIds([each.id() for each in points.getFeatures()][:2])
    two = QgsProcessingFeatureSourceDefinition(points.id(), True)
    made["shapes"], _ = run("embed", SCENE=scene, AOI=two, OUT=f"{folder}/shapes", INT8=False)
    first, _ = run("embed", SCENE=scene, OUT=f"{folder}/whole")
    second, _ = run("embed", SCENE=other, OUT=f"{folder}/whole")
    both = [first["EMBEDDED"], second["EMBEDDED"]]
    made["raster"], _ = run(
        "map", EMBEDDINGS=both, LABELS_RASTER=f"{scene}/cover.tif", METHOD=1, OUT=f"{folder}/maps"
    )
    for ending in ("csv", "geojson", "parquet"):
        out = f"{folder}/table.{ending}"
        made[ending], _ = run("sample", EMBEDDINGS=[both[0]], SHAPES=labels, DIM=1, POOL=[0, 1], OUT=out)
    return made


def mistakes(output, scene, folder):
    """What people get wrong: each as the one line that they see."""
    raster, sample = f"{output}/embeddings.tif", f"{folder}/x.gpkg"
    other = f"{scene}/cover.tif"
    wrong = {
        "no embeddings": ("similar", {"POINT": "4.9,50.8 [EPSG:4326]"}),
        "both": ("similar", {"POINT": "4.9,50.8 [EPSG:4326]", "EMBEDDINGS": [raster], "FOLDER": output}),
        "no output": ("similar", {"POINT": "4.9,50.8 [EPSG:4326]", "EMBEDDINGS": [other]}),
        "no point": ("similar", {"EMBEDDINGS": [raster]}),
        "far away": ("similar", {"POINT": "0,0 [EPSG:4326]", "EMBEDDINGS": [raster]}),
        "no scene": ("embed", {"SCENE": f"{folder}"}),
        "no model": ("embed", {"SCENE": scene, "MODEL": "nothing-like-it"}),
        "no labels": ("map", {"EMBEDDINGS": [raster]}),
        "no file": ("sample_design", {"MAP": other, "OUT": f"{folder}/x.xlsx"}),
        "in a database": (
            "sample_design",
            {"MAP": other, "OUT": f"ogr:dbname='{sample}' table=\"x\" (geom)"},
        ),
    }
    return {
        name: run(algorithm, **{"OUT": folder, **values})[0] for name, (algorithm, values) in wrong.items()
    }


def cancel(scene, folder, memory):
    """Cancel when a fifth is embedded, in a thread as QGIS does; then run it again."""
    feedback = Feedback(cancel_at=20)
    result = []
    worker = threading.Thread(
        target=lambda: result.append(run("embed", feedback, SCENE=scene, OUT=folder, MEMORY=memory)[0])
    )
    worker.start()
    while worker.is_alive():
        QgsApplication.processEvents()
        worker.join(0.05)
    left = sorted(path.name for path in Path(folder).iterdir())
    again, _ = run("embed", SCENE=scene, OUT=folder, MEMORY=memory)
    return {
        "said": feedback.said,
        "progress": feedback.progress,
        "made": result[0],
        "left": left,
        "again": again,
    }


def main():
    """Start QGIS with Processing and the provider, and call the function."""
    app = QgsApplication([], False)
    app.initQgis()
    from processing.core.Processing import Processing

    Processing.initialize()
    from tessera_qgis.plugin import Plugin

    plugin = Plugin()
    plugin.initProcessing()
    QgsSettings().setValue("Processing/Configuration/TESSERA_ENGINE_PROGRAM", sys.argv[2])
    found = globals()[sys.argv[3]](*sys.argv[4:])
    print(json.dumps(found, default=str))
    sys.stdout.flush()
    plugin.unload()
    # Python and QGIS take down each other's objects at exit, which crashes
    os._exit(0)


main()
