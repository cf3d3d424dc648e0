"""Draw labelled points from a raster of classes, and compare a map that was made from them with the whole raster.

python benchmarks/draw_points.py scene_dir/cover.tif points.geojson --each 10 --largest 8 --seed 0
tessera-engine map scene_dir.embeddings --labels points.geojson --field class
python benchmarks/draw_points.py scene_dir/cover.tif --map scene_dir.map
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.warp import transform


def read_classes(labels: Path) -> tuple[Any, dict[int, str]]:
    """(height, width) codes, and the name of each code but 0: from the tags `class_N`, or the number itself."""
    with rasterio.open(labels) as file:
        codes, tags = file.read(1), file.tags(1)
    return codes, {int(code): tags.get(f"class_{code}", str(code)) for code in np.unique(codes[codes != 0])}


def draw(labels: Path, each: int, largest: int | None, seed: int) -> dict[str, Any]:
    """GeoJSON: the centres of `each` random pixels of the largest classes, in degrees, with the field `class`."""
    codes, names = read_classes(labels)
    by_size = sorted(names, key=lambda code: -int((codes == code).sum()))
    names = {code: names[code] for code in sorted(by_size[:largest])}
    generator = np.random.default_rng(seed)
    features = []
    with rasterio.open(labels) as file:
        for code, name in names.items():
            rows, columns = np.nonzero(codes == code)
            drawn = generator.choice(rows.size, min(each, rows.size), replace=False)
            x, y = file.xy(rows[drawn], columns[drawn])
            for place in zip(*transform(file.crs, "EPSG:4326", x, y), strict=True):
                geometry = {"type": "Point", "coordinates": [round(degrees, 7) for degrees in place]}
                features.append({"type": "Feature", "geometry": geometry, "properties": {"class": name}})
    return {"type": "FeatureCollection", "features": features}


def compare(labels: Path, mapped: Path) -> tuple[float, float]:
    """Share of all labelled pixels that the map has right, and the mean of the mapped classes' shares."""
    codes, names = read_classes(labels)
    with rasterio.open(mapped / "map.tif") as file:
        values = file.read(1)
    with (mapped / "legend.csv").open(encoding="utf-8", newline="") as file:
        value_of = {row["class"]: int(row["value"]) for row in csv.DictReader(file)}
    right = {name: (values == value_of.get(name, -1))[codes == code] for code, name in names.items()}
    classes = [float(right[name].mean()) for name in value_of]
    return float(np.concatenate(list(right.values())).mean()), float(np.mean(classes))


def main() -> None:
    """Draw, or compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("labels", type=Path, help="GeoTIFF of classes; 0 is no class")
    parser.add_argument("points", type=Path, nargs="?", help="GeoJSON to write")
    parser.add_argument("--each", type=int, default=10, help="points of each class")
    parser.add_argument("--largest", type=int, help="only so many of the most frequent classes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--map", type=Path, help="folder that `tessera-engine map` wrote, to compare")
    given = parser.parse_args()
    if given.points:
        points = draw(given.labels, given.each, given.largest, given.seed)
        given.points.write_text(json.dumps(points), encoding="utf-8")
    if given.map:
        pixels, classes = compare(given.labels, given.map)
        print(
            f"{pixels:.1%} of all labelled pixels are right, {classes:.1%} averaged over the mapped classes"
        )


if __name__ == "__main__":
    main()
