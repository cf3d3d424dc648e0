"""What each stage of a run costs a pixel on one core, and how many cores it can feed: `python benchmarks/stages.py`.

CPU time of one thread, so that a busy machine hardly matters. The network and the stages marked *shared* are divided
among all cores. Each of the others has one thread: with N cores the network needs 1 / N of its time a pixel, and a
stage keeps up as long as that is more than its own. Stages of the main thread (*main*) add up: the network waits.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tessera_engine.files.staging import Staging, checksum
from tessera_engine.running import pipeline
from tessera_engine.running.changes import sums
from tessera_engine.running.journal import Finished, Journal
from tessera_engine.running.loading import load_model
from tessera_engine.scenes import open_scene
from tessera_engine.simulate import simulate
from tessera_engine.tokens import pack
from tessera_kernels.quantize import quantize
from tessera_kernels.threads import set_threads

TURNS = 5


def cost(work: Callable[[], object], pixels: int) -> float:
    """Microseconds of this thread a pixel: the least of some turns, after a first one."""
    work()
    found = []
    for _ in range(TURNS):
        start = time.thread_time()
        work()
        found.append(time.thread_time() - start)
    return 1e6 * min(found) / pixels


def main() -> None:
    """Print the table, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--size", type=int, default=96, help="pixels along the sides of the scene")
    asked = parser.parse_args()
    set_threads(1)
    model = load_model(asked.model, "int8", "fused", threads=1)
    backend = model.backend
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        simulate(folder / "scene", asked.size, seed=5)
        reader = open_scene(folder / "scene").reader
        window = reader.grid.window
        observations = reader.read(window)
        packed = pack(observations, backend.model.facts)
        embedding = backend.run(packed.tokens)
        staging = Staging.create(folder, reader.grid, backend.model.facts.dims, "int8")
        journal = Journal(folder / "journal", {}, window.pixels)
        seen = sums(observations)
        growing = pipeline._Growing(backend, observations, pipeline._Here.of(window, None))
        step = growing.start(pipeline.Part(staging), pipeline.Statistics(), lambda _: None, True, seen)
        block = step.finish(pipeline.Statistics())
        record = window, Finished(growing.with_data, checksum(block), seen)

        def each(work: Callable[[], object]) -> float:
            return cost(work, window.pixels)

        network = each(lambda: backend.run(packed.tokens))
        quantising = each(lambda: quantize(embedding))
        stages = {
            "pack": ("shared", each(lambda: pack(observations, backend.model.facts))),
            "quantise": ("shared", quantising),
            "true colours for the quicklook": (
                "shared",
                each(lambda: pipeline._true_colours(observations, window.pixels)),
            ),
            "arrange a window's results": ("main", each(lambda: growing.results(step)) - quantising),
            "checksum of the results": ("main", each(lambda: checksum(block))),
            "read a d-pixel tile": ("reading", each(lambda: reader.read(window))),
            "checksum of what was read": ("reading", each(lambda: sums(observations))),
            "stage and record": (
                "writing",
                each(lambda: pipeline._write(staging, window, block, journal, record)),
            ),
        }
    print(f"| {asked.model}, µs of one core a pixel | | thread | cores that it feeds |\n|---|---:|---|---:|")
    print(f"| network | {network:.1f} | shared | |")
    for name, (thread, micros) in stages.items():
        cores = "" if thread == "shared" else f"{network / micros:,.0f}"
        print(f"| {name} | {micros:.2f} | {thread} | {cores} |")
    for thread in ("main", "reading", "writing"):
        total = sum(micros for where, micros in stages.values() if where == thread)
        print(f"| *all of the thread: {thread}* | {total:.2f} | | {network / total:,.0f} |")


if __name__ == "__main__":
    main()
