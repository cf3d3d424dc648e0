"""Fuzz one parser guided by coverage: `python tests/fuzz/guided.py item --seconds 600`. Needs atheris (Linux, x86).

The same inputs, mutations and checks as `run.py`; atheris keeps what reaches new code of ours and changes it further.
What breaks something is kept in the corpus. Everything runs in one process, so a crash of a library ends it: libFuzzer
then writes the input into the current folder.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

if __name__ == "__main__":
    ROOT = Path(__file__).resolve().parents[2]
    ROOMS = [str(ROOT / room) for room in ("tests", "tests/helpers", "engine", "export", "kernels")]
    sys.path[:0] = ROOMS
    os.environ["PYTHONPATH"] = os.pathsep.join(ROOMS)

import atheris

with atheris.instrument_imports(include=["tessera_engine", "tessera_export"]):
    from fuzz.parsers import PARSERS, seeds

from fuzz.mutations import mutate_bytes
from fuzz.run import Input, keep, make_surroundings
from fuzz.watch import Broke, Place, Watch

BETWEEN = b"\0"
"""Stands between the name of the valid input and the bytes: what libFuzzer changes has both."""


def main() -> None:
    """Read the command line, and fuzz until the time is over."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("parser", choices=sorted(PARSERS))
    options.add_argument("--seconds", type=float, default=600.0)
    options.add_argument("--made", type=Path, help="surroundings that were made before")
    given = options.parse_args()
    parser, folder = PARSERS[given.parser], Path(tempfile.mkdtemp(prefix="fuzz-guided-"))
    made = given.made or folder / "made"
    if given.made is None:
        made.mkdir()
        make_surroundings(made)
    place = Place(made, folder / "inputs", folder / "out")
    growing = folder / "corpus"
    for each in (place.inputs, place.out, growing):
        each.mkdir()
    valid = seeds(given.parser, made)
    for name, data in valid.items():
        (growing / name).write_bytes(name.encode() + BETWEEN + data)
    prepared = parser.prepare(place) if parser.prepare else None
    watch, counts, until = Watch(place), Counter(), time.monotonic() + given.seconds

    def mutate(data: bytes, longest: int, seed: int) -> bytes:
        rng = Random(seed)
        name, _, content = data.partition(BETWEEN)
        try:
            changed = rng.choice(parser.mutations)(rng, content)
        except Exception:  # it was changed before, and isn't what the mutation expects any more
            changed = mutate_bytes(rng, content)
        return (name + BETWEEN + changed)[:longest]

    def try_one(data: bytes) -> None:
        if time.monotonic() > until:
            facts = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
            print(
                f"{given.parser}: {facts}; {len(os.listdir(growing))} inputs reach different code", flush=True
            )
            os._exit(any(kind not in ("accepted", "refused") for kind in counts))
        name, _, content = bytes(data).partition(BETWEEN)
        if name.decode("ascii", "replace") not in valid:
            return
        try:
            accepted = watch.attempt(lambda: parser.parse(place, prepared, name.decode(), content))
            counts["accepted" if accepted else "refused"] += 1
        except Broke as broke:
            counts[broke.kind] += 1
            keep(given.parser, Input(name.decode(), content))
            print(f"{given.parser}: {broke.kind}: {str(broke)[-1500:]}", file=sys.stderr, flush=True)

    arguments = [sys.argv[0], str(growing), "-max_len=200000", "-rss_limit_mb=8000", "-verbosity=0"]
    atheris.Setup(arguments, try_one, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
