"""Speed and drift of each runtime in each of its forms: `python benchmarks/speed.py OUT_FOLDER [--minutes 12]`.

The published shapes with random weights, the same ragged pixels of a simulated scene for all, packing included. Each
form has a process of its own, and they take turns (`tessera_engine.cli.pages.bench`), so that a busy machine slows all
alike. Writes speed.json and speed.md, whose tables are those of README.md and docs/speed.md. Sizes that would take
longer than there is time for are left out, and named.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import torch
from peak import multiplications, peak

from tessera_engine.backends.fused import choose_isa
from tessera_engine.cli.pages.bench import Runner, best_forms, compare, ways_to_run, with_qdq
from tessera_engine.cli.pages.doctor import examine
from tessera_engine.errors import TesseraError
from tessera_engine.machine import check_threads
from tessera_engine.model.file import read_model_file
from tessera_engine.scenes.sampling import sample_observations
from tessera_engine.tokens import pack
from tessera_export.checkpoint import save_checkpoint
from tessera_export.export import export_model
from tessera_export.reference import SIZES, Reference
from tessera_kernels.encoder.plan import INT8
from tessera_kernels.threads import set_threads

PIXELS = {"nano": 1024, "medium": 128, "small": 512, "v1.1": 64, "large": 64}
"""In the order in which sizes are measured. The fastest form takes at least a tenth of a second: with fewer pixels, the
starting of threads and their waiting for the last one count for more than within a scene, whose windows have more."""

WORK = {"nano": 1.0, "medium": 1.4, "small": 0.7, "v1.1": 1.0, "large": 1.2}
"""Time that a size takes, relative to nano: to start everything and compile most of it."""

COMPILED = ("nano", "medium")
"""Sizes that PyTorch compiles for. It takes a minute a form, and has never been the fastest other form."""

PEERS = {"torch": "PyTorch", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}


def make_checkpoint(size: str, path: Path) -> str | None:
    """Write a network with random weights; gives the statistics that its model file needs, if it has a choice."""
    torch.manual_seed(0)
    network = Reference(SIZES[size]).eval()
    if network.config.generation == "v2":
        save_checkpoint(network, path)
        return None
    torch.save({"model_state": network.state_dict()}, path)
    return "mpc"


def measure_size(size: str, folder: Path, pixels: int, rounds: int) -> dict:
    """All rows of one size."""
    statistics, files = make_checkpoint(size, folder / "checkpoint.pt"), {}
    for precision in ("fp32", "int8"):
        export_model(folder / "checkpoint.pt", folder / f"{precision}.onnx", precision, statistics=statistics)
        files[precision] = read_model_file(folder / f"{precision}.onnx")
    facts, threads = files["int8"].facts, check_threads(None)
    observations = sample_observations(None, facts, pixels)
    makers, baselines = ways_to_run(with_qdq(files, None, folder), threads, "cpu", full=True)
    with ExitStack() as stack:
        runners = {}
        for name, make in makers.items():
            if "compiled" in name and size not in COMPILED:
                continue
            try:
                runners[name] = stack.enter_context(Runner(make, observations, threads))
            except TesseraError as missing:
                print(f"  {name} is left out: {missing}", flush=True)
        rows = compare(runners, baselines, rounds)
    tokens = pack(observations, facts).tokens
    found = {
        "size": size,
        "pixels": len(tokens),
        "tokens": [len(tokens.s2.values) / len(tokens), len(tokens.s1.values) / len(tokens)],
        "threads": threads,
        "rounds": rounds,
        "rows": [asdict(row) for row in rows],
        "times_peer": {},
    }
    (ours,) = (row for row in rows if row.name == "fused int8")
    for peer in best_forms(rows, PEERS):
        found["times_peer"][peer.name] = ours.times(peer)
    arithmetic = INT8[choose_isa()]
    if arithmetic.dot.startswith("vpdpbusd") and facts.generation == "v2":
        set_threads(threads)
        done = multiplications(facts, tokens) / len(tokens) * ours.pixels_per_second
        found["share_of_peak"] = done / peak(arithmetic, threads)
    return found


def _rows(size: dict) -> dict[str, dict]:
    return {row["name"]: row for row in size["rows"]}


def _best(size: dict) -> dict[str, dict]:
    """Runtime -> the fastest of its rows."""
    found: dict[str, dict] = {}
    for row in sorted(size["rows"], key=lambda row: row["pixels_per_second"]):
        found[row["name"].split()[0]] = row
    return found


def _speed(row: dict) -> str:
    return f"{row['pixels_per_second']:,.0f} ({row['ratio']:.1f})"


def _drift(row: dict) -> str:
    return f"{row['drift']['centred_mean']:.5f} / {row['drift']['centred_p1']:.4f}"


def _table(first: str, sizes: list[dict], lines: dict[str, list[str]]) -> list[str]:
    head = [f"| {first} | {' | '.join(size['size'] for size in sizes)} |", "|---|" + "---|" * len(sizes)]
    return head + [f"| {name} | {' | '.join(cells)} |" for name, cells in lines.items()]


def short_table(sizes: list[dict]) -> list[str]:
    """README's: our rows, and the fastest form of each other runtime."""
    lines = {"PyTorch eager float32": [_speed(_rows(size)["torch eager fp32"]) for size in sizes]}
    for name in ("fused int8", "fused fp32"):
        cells = [_speed(_rows(size)[name]) for size in sizes]
        bold = "**" if name == "fused int8" else ""
        lines[f"{bold}{name}{bold}"] = [f"{bold}{cell}{bold}" for cell in cells]
    for runtime, title in PEERS.items():
        if all(runtime in _best(size) for size in sizes):
            best = [_best(size)[runtime] for size in sizes]
            lines[f"{title}'s fastest form"] = [
                f"{_speed(row)}, {row['name'].removeprefix(runtime).strip()}" for row in best
            ]
    lines["*fused int8 / the fastest of those*"] = [
        f"*{min(size['times_peer'].values()):.2f}*" for size in sizes
    ]
    return _table("pixels per second (times PyTorch eager float32)", sizes, lines)


def long_table(sizes: list[dict]) -> list[str]:
    """docs/speed.md's: every form, with its drift."""
    names = dict.fromkeys(name for size in sizes for name in _rows(size))
    lines = {}
    for name in names:
        rows = [_rows(size).get(name) for size in sizes]
        bold = "**" if name.startswith("fused int8") else ""
        lines[f"{bold}{name}{bold}"] = [f"{_speed(row)}; {_drift(row)}" if row else "" for row in rows]
    shares = [size.get("share_of_peak") for size in sizes]
    if any(shares):
        lines["*fused int8: share of the CPU's int8 peak*"] = [
            "" if share is None else f"{share:.0%}" for share in shares
        ]
    return _table("px/s (times PyTorch eager fp32); centred cosine, mean / first percentile", sizes, lines)


def notes(sizes: list[dict]) -> list[str]:
    """What was measured, on what, and how the fastest forms ran."""
    found = examine()
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    tokens = " + ".join(f"{count:.0f}" for count in sizes[0]["tokens"])
    first = (
        f"{found['cpu']}, {sizes[0]['threads']} threads, {found['instruction_sets'][0]}; {packages}. Random weights, "
        f"{tokens} tokens a pixel, median of {sizes[0]['rounds']} alternating rounds."
    )
    lines = [first]
    for size in sizes:
        rows = _rows(size)
        peers = [f"{name} ({rows[name]['how']}) {times:.2f}" for name, times in size["times_peer"].items()]
        lines.append(f"- {size['size']}, fused int8 / the fastest form of each: {'; '.join(peers)}")
    return lines


def main() -> None:
    """Measure, and write the tables after each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for speed.json and speed.md")
    parser.add_argument("--sizes", nargs="+", choices=list(PIXELS), default=list(PIXELS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=12, help="time there is")
    parser.add_argument(
        "--pixels", type=int, help="of every size; default: enough for some tenths of a second"
    )
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    start, sizes, each = time.monotonic(), [], 0.0
    for size in asked.sizes:
        left = 60 * asked.minutes - (time.monotonic() - start)
        if sizes and each * WORK[size] > left:
            print(
                f"{size} is left out: it takes about {each * WORK[size]:.0f} s, {left:.0f} s are left",
                flush=True,
            )
            continue
        before = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            pixels = asked.pixels or PIXELS[size]
            sizes.append(measure_size(size, Path(folder), pixels, asked.rounds))
        each = max(each, (time.monotonic() - before) / WORK[size])
        print(f"{size}: {time.monotonic() - before:.0f} s", flush=True)
        order = sorted(sizes, key=lambda size: list(SIZES).index(size["size"]))
        (asked.out / "speed.json").write_text(json.dumps(order, indent=1))
        text = "\n".join([*short_table(order), "", *long_table(order), "", *notes(order)]) + "\n"
        (asked.out / "speed.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
