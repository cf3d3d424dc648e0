"""Turn a pytest-benchmark JSON into a table and a picture: `python benchmarks/report.py bench.json OUT_FOLDER`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

SIZES = ("nano", "small", "medium")


def read(path: Path) -> tuple[dict, list[dict]]:
    """Machine, and a row for each network benchmark."""
    found = json.loads(path.read_text())
    rows = []
    for each in found["benchmarks"]:
        info = each["extra_info"]
        if "size" not in info:
            continue
        names = each["params"]
        what = (
            f"PyTorch eager, batch {names['batch']}"
            if "batch" in names
            else f"{names['name']} {names['precision']}"
        )
        speed = info["pixels"] / each["stats"]["median"]
        rows.append({"what": what, "speed": speed, **info})
    return found["machine_info"], rows


def table(machine: dict, rows: list[dict]) -> str:
    """Markdown: pixels per second and the ratio to the faster PyTorch."""
    t = machine["tessera"]
    base = {
        size: max(row["speed"] for row in rows if row["size"] == size and row["what"].startswith("PyTorch"))
        for size in SIZES
    }
    lines = [
        f"| px/s (times the faster PyTorch) | {' | '.join(SIZES)} |",
        "|---|" + "---|" * len(SIZES),
    ]
    for what in dict.fromkeys(row["what"] for row in rows):
        cells = []
        for size in SIZES:
            (speed,) = [row["speed"] for row in rows if row["what"] == what and row["size"] == size]
            cells.append(f"{speed:,.0f} ({speed / base[size]:.2f})")
        lines.append(f"| {what} | {' | '.join(cells)} |")
    packages = ", ".join(f"{name} {version}" for name, version in t["packages"].items())
    lines += ["", f"{t['cpu']}, {t['threads']} threads, {t['instruction_sets'][0]}; {packages}."]
    return "\n".join(lines) + "\n"


def picture(rows: list[dict], path: Path) -> None:
    """Speed against size of model, and against drift."""
    figure, (by_size, by_drift) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for what in dict.fromkeys(row["what"] for row in rows):
        ours = [row for row in rows if row["what"] == what]
        style = {"lw": 2.5, "ms": 8} if what.startswith("fused") else {"lw": 1, "ms": 5}
        by_size.plot([r["size"] for r in ours], [r["speed"] for r in ours], "o-", label=what, **style)
        drifting = [row for row in ours if "centred_mean" in row]
        if drifting:
            x = [max(1 - row["centred_mean"], 1e-9) for row in drifting]
            by_drift.plot(x, [r["speed"] for r in drifting], "o-", label=what, **style)
    by_size.set(yscale="log", ylabel="pixels per second", title="Speed by size of model")
    by_drift.set(
        xscale="log", yscale="log", xlabel="drift: 1 - centred cosine", title="Speed by drift, random weights"
    )
    by_size.legend(fontsize=8)
    for axes in (by_size, by_drift):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    source, out = map(Path, sys.argv[1:3])
    machine, rows = read(source)
    out.mkdir(exist_ok=True)
    text = table(machine, rows)
    (out / "benchmarks.md").write_text(text)
    picture(rows, out / "benchmarks.png")
    print(text)


if __name__ == "__main__":
    main()
