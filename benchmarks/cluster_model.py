"""How far a cluster scales, by a discrete simulation of the scheduler, the shared file system and the workers.

    python benchmarks/cluster_model.py                # 1 to 1,000 workers, as a table
    python benchmarks/cluster_model.py --countries    # the table of countries in docs/cluster.md
    python benchmarks/cluster_model.py --check        # against 1, 2 and 4 local workers of Dask, on an idle machine

A cell is read and computed at the same time, written, and marked. All reading and writing shares the file system's
bandwidth equally, up to a limit for each worker. The process that gives out the cells serves one request at a time. At
the end all cells are read once more, and one process writes the pictures. `Rates` says where each rate is from.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace

import numpy as np

PIXELS_A_KM2 = 10_000
CELL_PIXELS = 1 << 20

COUNTRIES = {"Flanders": 13_625, "Portugal": 92_226, "Kenya": 580_367, "Brazil": 8_510_000}
"""km2, with inland water."""

WATTS_A_CORE = 7.0
"""Of a whole server, at work; an assumption: 450 W for 64 cores."""


@dataclass(frozen=True)
class Rates:
    """What the simulation is fed with.

    Attributes:
        pixels_a_second: of one core; nano in int8, docs/speed.md: 8,464 on two cores of an EPYC.
        cores: of a worker.
        bytes_in: of a pixel's observations, as d-pixel tiles: 70 dates of Sentinel-2, 138 of Sentinel-1.
        bytes_out: of a pixel in the output; measured with the demo model on 512 x 512 simulated pixels.
        link: bytes a second of a worker's network.
        storage: bytes a second of the shared file system, for all workers together.
        request: seconds of the process that gives out the cells, for each cell; benchmarks/cluster_scale.py.
        marked: seconds after the last pixel of a cell: checksums, fsync, the mark.
        introduced: seconds until a new worker has its model.
        mark: seconds to read a mark at the end; benchmarks/cluster_scale.py.
        picture: pixels a second of the true colours, which one process writes at the end.
    """

    pixels_a_second: float = 4_232.0
    cores: int = 2
    bytes_in: float = 2_022.0
    bytes_out: float = 199.0
    link: float = 1.1e9
    storage: float = 5e9
    request: float = 0.0045
    marked: float = 1.0
    introduced: float = 6.0
    mark: float = 0.0006
    picture: float = 15e6


@dataclass(frozen=True)
class Simulated:
    """Seconds of the parts of a run, and the share of the workers' time in which they computed."""

    cells: float
    checking: float
    commit: float
    busy: float

    @property
    def total(self) -> float:
        return self.cells + self.checking + self.commit


def simulate(rates: Rates, workers: int, cells: int) -> Simulated:
    """A run of so many cells."""
    compute = CELL_PIXELS / (rates.pixels_a_second * rates.cores)
    moved = CELL_PIXELS * (rates.bytes_in + rates.bytes_out)
    work = flow(rates, workers, cells, compute, moved, rates.marked)
    check = flow(rates, workers, cells, 0.0, CELL_PIXELS * rates.bytes_out, 0.0)
    commit = cells * (rates.mark + CELL_PIXELS / rates.picture)
    return Simulated(rates.introduced + work, check, commit, cells * compute / (workers * work))


def flow(rates: Rates, workers: int, cells: int, compute: float, moved: float, after: float) -> float:
    """Seconds until all cells are done. An event is the end of a cell's computing, of its bytes, or of its marking."""
    now = free = 0.0  # the time, and when the process that gives out cells is free again
    left, done = cells, 0
    to_compute, to_move = np.zeros(workers), np.zeros(workers)
    starts, ends = np.full(workers, np.inf), np.full(workers, np.inf)
    active = np.zeros(workers, bool)

    def give(worker: int) -> None:
        nonlocal left, free
        if left:
            left -= 1
            free = max(free, now) + rates.request
            starts[worker] = free

    for worker in range(workers):
        give(worker)
    while done < cells:
        moving = active & (to_move > 0)
        share = min(rates.link, rates.storage / max(1, int(moving.sum())))
        waits = [float(starts.min()), float(ends.min())]
        computing = active & (to_compute > 0)
        if computing.any():
            waits.append(now + float(to_compute[computing].min()))
        if moving.any():
            waits.append(now + float(to_move[moving].min()) / share)
        step = max(0.0, min(waits) - now)
        now += step
        to_compute[computing] = np.maximum(0, to_compute[computing] - step)
        to_move[moving] -= step * share
        to_move[moving & (to_move < 1)] = 0.0
        to_compute[computing & (to_compute < 1e-9)] = 0.0
        begun = np.flatnonzero(starts <= now + 1e-12)
        to_compute[begun], to_move[begun], active[begun], starts[begun] = compute, moved, True, np.inf
        finished = active & (to_compute == 0) & (to_move == 0)
        ends[finished], active[finished] = now + after, False
        for worker in np.flatnonzero(ends <= now + 1e-12).tolist():
            ends[worker] = np.inf
            done += 1
            give(worker)
    return now


def scaling() -> None:
    """Print where it stops scaling, and why."""
    for name, rates, cells in (
        ("nano, int8, 4,000 cells (420,000 km2), file system of 5 GB/s", Rates(), 4_000),
        ("the same with 1 GB/s (one NFS server)", replace(Rates(), storage=1e9), 4_000),
        ("medium, int8 (552 px/s), 5 GB/s", replace(Rates(), pixels_a_second=276.0), 4_000),
        ("nano, int8, 556 cells (Kenya's tenth), 5 GB/s", Rates(), 556),
    ):
        print(f"\n{name}\n\n| workers | hours | of them cells | checking | commit | computing |")
        print("|---|---|---|---|---|---|")
        for workers in (1, 2, 4, 10, 30, 100, 300, 1000):
            run = simulate(rates, workers, cells)
            parts = " | ".join(
                f"{each / 3600:,.2f}" for each in (run.total, run.cells, run.checking, run.commit)
            )
            print(f"| {workers:,} | {parts} | {run.busy:.0%} |")


def countries() -> None:
    """Print the table of docs/cluster.md."""
    rates = Rates()
    print(
        "| | km2 | cells | core hours | hours, 50 workers | TB in | TB out | kWh |\n|---|---|---|---|---|---|---|---|"
    )
    for name, area in COUNTRIES.items():
        pixels = area * PIXELS_A_KM2
        cells = -(-pixels // CELL_PIXELS)
        hours = pixels / rates.pixels_a_second / 3600
        run = simulate(rates, 50, cells)
        facts = (
            f"{area:,}",
            f"{cells:,}",
            f"{hours:,.0f}",
            f"{run.total / 3600:,.1f}",
            f"{pixels * rates.bytes_in / 1e12:,.1f}",
            f"{pixels * rates.bytes_out / 1e12:,.2f}",
            f"{hours * WATTS_A_CORE / 1000:,.1f}",
        )
        print(f"| {name} | {' | '.join(facts)} |")


def resting(token, cell):
    """A cell of Dask that takes a fixed time, and no CPU."""
    time.sleep(REST)
    return {"kind": "done", "pixels": 1, "seconds": REST}


REST = 2.0


def check() -> None:
    """Compare the simulation with local workers whose cells take a fixed time: what giving out cells costs."""
    import distributed
    from cluster_scale import ready

    from tessera_engine.cluster import worker as works
    from tessera_engine.cluster.crew import Crew, Task
    from tessera_engine.cluster.order import Sealed
    from tessera_engine.scene import Window

    works.introduce = ready
    print("| workers | cells | simulated s | measured s |\n|---|---|---|---|")
    for workers in (1, 2, 4):
        cells = 8 * workers
        with (
            distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address=None,
                silence_logs=50,
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            crew = Crew(client, Sealed("token", "0", b""), print)
            crew.gather(None)
            begun = time.perf_counter()
            tasks = [Task(resting, Window(n, 0, 1, 1)) for n in range(cells)]
            assert sum(1 for _ in crew.work(tasks, lambda: None)) == cells
            measured = time.perf_counter() - begun
        expected = flow(Rates(), workers, cells, REST, 0.0, 0.0)
        print(f"| {workers} | {cells} | {expected:.1f} | {measured:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--countries", action="store_true")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if given.check:
        check()
    elif given.countries:
        countries()
    else:
        scaling()


if __name__ == "__main__":
    main()
