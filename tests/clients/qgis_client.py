"""Run by the Python of a QGIS: opens files as its users do, and prints what it reads.

    QT_QPA_PLATFORM=offscreen /usr/bin/python3 tests/clients/qgis_client.py fields.gpkg table.gpkg OUTPUT/quality.tif

On Debian `apt install qgis python3-qgis` installs it. Ends with 1 if a file isn't valid, or has no CRS.
"""

import sys

from qgis.core import Qgis, QgsApplication, QgsRasterLayer, QgsVectorLayer

SHOWN = 3
"""Bands or columns of which a value is printed."""

app = QgsApplication([], False)
app.initQgis()
print("QGIS", Qgis.QGIS_VERSION)
failed = False
for path in sys.argv[1:]:
    layer = QgsRasterLayer(path) if path.endswith(".tif") else QgsVectorLayer(path)
    usable = layer.isValid() and layer.crs().isValid()
    failed |= not usable
    print(path, layer.crs().authid() if usable else "can't be used", layer.extent().toString(3))
    if not usable:
        continue
    if isinstance(layer, QgsRasterLayer):
        centre = layer.extent().center()
        values = [
            layer.dataProvider().sample(centre, band + 1)[0] for band in range(min(SHOWN, layer.bandCount()))
        ]
        print("   ", layer.bandCount(), "bands; in the middle", values)
    else:
        feature = next(layer.getFeatures())
        print("   ", layer.featureCount(), "features; the first", feature.attributes()[: 2 * SHOWN])
app.exitQgis()
sys.exit(failed)
