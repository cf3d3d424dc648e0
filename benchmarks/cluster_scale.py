"""Memory and time of the process that gives out the cells, with the scheduler in it: 20,000 cells that take no time.

    python benchmarks/cluster_scale.py --cells 20000

Workers answer at once and write nothing, so what is measured is Dask's scheduler, the client, the crew, and the reading
of all marks at the end. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

from tessera_engine.cluster import worker as works
from tessera_engine.cluster.commit import total
from tessera_engine.cluster.crew import Crew, Task
from tessera_engine.cluster.marks import Mark, write_mark
from tessera_engine.cluster.order import Sealed
from tessera_engine.running.run import Computed
from tessera_engine.scene import Window

FILES = 28
"""Of a cell: four shards of seven arrays."""


def ready(sealed):
    return {
        "kind": works.READY,
        "host": "here",
        "threads": 1,
        "computed": ("none", "0", "none"),
        "probe": "0" * 64,
    }


def nothing(token, cell):
    return {"kind": works.DONE, "pixels": cell[2] * cell[3], "seconds": 0.0}


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def main() -> None:
    import distributed

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    cells = [Window(n % 150 * 1024, n // 150 * 1024, 1024, 1024) for n in range(given.cells)]
    works.introduce = ready
    with (
        distributed.LocalCluster(
            n_workers=given.workers, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        crew = Crew(client, Sealed("token", "0", b""), print)
        crew.gather(None)
        before = megabytes()
        begun, cpu = time.perf_counter(), time.process_time()
        done = sum(1 for _ in crew.work([Task(nothing, cell) for cell in cells], lambda: None))
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        after = megabytes()
        with tempfile.TemporaryDirectory() as folder:
            for cell in cells:
                names = (
                    f"output/embeddings.zarr/utm31/embeddings/c/0/0/{cell.row}/{cell.col}/{n}"
                    for n in range(FILES)
                )
                files = dict.fromkeys(names, "5" * 64)
                computed = Computed("fused", "numba", "avx2")
                mark = Mark(
                    "t", cell, 1 << 20, [1 << 20], [0], files, 16384, "1" * 64, computed, "2" * 64, "pc", 1.0
                )
                write_mark(Path(folder), mark)
            begun = time.perf_counter()
            totals = total(SimpleNamespace(staging=Path(folder), folder=Path(folder)), cells)
            reading = time.perf_counter() - begun
        found = {
            "cells": done,
            "files": len(totals.files),
            "ms_cpu_a_cell": round(1000 * cpu / done, 2),
            "ms_a_cell": round(1000 * seconds / done, 2),
            "marks_read_s": round(reading, 1),
            "mb_before": round(before),
            "mb_after_cells": round(after),
            "mb_at_the_end": round(megabytes()),
        }
    json.dump(found, sys.stdout, indent=2)


if __name__ == "__main__":
    main()
