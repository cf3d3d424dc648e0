"""What maps of a vq output cost, beside the same values as float32: `python benchmarks/vq_use.py OUTPUT OTHER COVER`.

OUTPUT is an output of `embed --int8`, COVER its land cover, and OTHER an output of another year of the same place. Both
outputs are converted to vq, and from there to npy, which has the same values and needs no decoding. Printed are the CPU
seconds a million pixels of whole calls, results on disk included: the least of some turns through both.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from rasterio.warp import transform

from tessera_engine import apply, change, open_embeddings, similar
from tessera_engine import map as make_map
from tessera_engine.running.convert import convert
from tessera_engine.scene import Grid

METHODS = {"knn": "kNN", "boosting": "gradient boosting", "linear": "a linear classifier"}
LABELS = 1000
TURNS = 3


def main() -> None:
    """Print the table, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("output", "other", "cover"):
        parser.add_argument(name, type=Path)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        forms = {}
        for form, origin in (("vq", None), ("npy", "vq")):
            for place in ("output", "other"):
                given = work / f"{place}.{origin}" if origin else getattr(asked, place)
                forms[form, place] = convert(
                    open_embeddings(given), work / f"{place}.{form}", form, progress=False
                )
        opened = open_embeddings(forms["vq", "output"])
        distinct = opened.read_distinct(opened.grid.window)
        counts = "none" if distinct is None else f"{len(distinct.vectors):,}"
        print(f"{opened.grid.window.pixels:,} pixels have {counts} different embeddings.\n")
        labels = _labels(asked.cover, work / "labels.tif", opened.grid)
        x, y = opened.grid.transform @ (opened.grid.width // 2, opened.grid.height // 2)
        (lon,), (lat,) = transform(opened.grid.crs, "EPSG:4326", [x], [y])
        calls: dict[str, Callable[[str], object]] = {}
        for method, title in METHODS.items():
            saved = work / f"{method}.model"
            make_map(
                forms["vq", "output"],
                labels,
                out=work / f"{method}.map",
                method=method,
                save=saved,
                progress=False,
            )
            calls[f"map by {title}"] = lambda form, saved=saved: apply(
                saved, forms[form, "output"], work / "mapped", overwrite=True, progress=False
            )
        calls["`similar`"] = lambda form: similar(
            forms[form, "output"], (lon, lat), work / "similar", overwrite=True, progress=False
        )
        calls["`change`"] = lambda form: change(
            forms[form, "output"], forms[form, "other"], work / "change", overwrite=True, progress=False
        )
        print(f"| classifiers from {LABELS:,} labels | vq | float32 |\n|---|---:|---:|")
        for name, call in calls.items():
            found: dict[str, list[float]] = {"vq": [], "npy": []}
            for _ in range(TURNS):
                for form, seconds in found.items():
                    start = time.process_time()
                    call(form)
                    seconds.append(time.process_time() - start)
            cells = (f"{min(seconds) / opened.grid.window.pixels * 1e6:.1f}" for seconds in found.values())
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _labels(cover: Path, path: Path, grid: Grid) -> Path:
    """The cover of some pixels drawn at random, on the output's grid; 0 elsewhere."""
    with rasterio.open(cover) as file:
        classes, profile = file.read(1)[: grid.height, : grid.width], file.profile
    chosen = np.random.default_rng(0).permutation(classes.size)[:LABELS]
    drawn = np.zeros(classes.size, classes.dtype)
    drawn[chosen] = classes.ravel()[chosen]
    place = {"height": grid.height, "width": grid.width, "crs": grid.crs, "transform": grid.transform}
    with rasterio.open(path, "w", **profile | place | {"nodata": 0}) as file:
        file.write(drawn.reshape(classes.shape), 1)
    return path


if __name__ == "__main__":
    main()
