"""Turn a pytest-benchmark JSON into tables and pictures: `python benchmarks/report.py bench.json OUT_FOLDER`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt


def network_table(runs: list[dict]) -> list[str]:
    """Markdown: pixels per second and the ratio to the faster PyTorch, a column a size."""
    lines = [
        f"| px/s (times the faster PyTorch) | {' | '.join(run['size'] for run in runs)} |",
        "|---|" + "---|" * len(runs),
    ]
    for name in runs[0]["rows"]:
        cells = [run["rows"][name] for run in runs]
        style = "**" if name == "fused int8" else ""
        text = [f"{style}{c['pixels_per_second']:,.0f} ({c['ratio']:.2f}){style}" for c in cells]
        lines.append(f"| {name} | {' | '.join(text)} |")
    drift = [run["rows"]["fused int8"] for run in runs]
    lines.append(
        "| *fused int8: centred cosine, mean / 1st percentile* | "
        + " | ".join(f"{d['centred_mean']:.4f} / {d['centred_p1']:.4f}" for d in drift)
        + " |"
    )
    if all("share_of_peak" in run for run in runs):
        shares = " | ".join(f"{run['share_of_peak']:.0%}" for run in runs)
        lines.append(f"| *fused int8: share of the CPU's int8 peak* | {shares} |")
    return lines


def embed_table(runs: list[dict]) -> list[str]:
    """Markdown: a row a scene."""
    lines = ["| scene | pixels per second | peak memory | network | output files |", "|---|---|---|---|---|"]
    for run in runs:
        shares = run["shares"]
        lines.append(
            f"| {run['edge']} x {run['edge']} | {run['pixels_per_second']:,.0f} | {run['memory'] / 1e6:.0f} MB | "
            f"{shares['network']:.1%} | {shares['output']:.1%} |"
        )
    return lines


def machine_line(machine: dict, threads: int) -> str:
    """What was measured on."""
    found = machine["tessera"]
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    return f"{found['cpu']}, {threads} threads, {found['instruction_sets'][0]}; {packages}."


def picture(networks: list[dict], embeds: list[dict], path: Path) -> None:
    """Speed against size of model and against drift, memory against size of scene."""
    figure, (by_size, by_drift, memory) = plt.subplots(1, 3, figsize=(15, 4.2), layout="constrained")
    for name in networks[0]["rows"]:
        rows = [run["rows"][name] for run in networks]
        speeds = [row["pixels_per_second"] for row in rows]
        style = {"lw": 2.5, "ms": 8} if name.startswith("fused") else {"lw": 1, "ms": 5}
        (line,) = by_size.plot([run["size"] for run in networks], speeds, "o-", label=name, **style)
        if name.endswith("int8"):
            x = [1 - row["centred_mean"] for row in rows]
            by_drift.plot(x, speeds, "o-", label=name, color=line.get_color(), **style)
    by_size.set(yscale="log", ylabel="pixels per second", title="Speed by size of model")
    by_drift.set(
        xscale="log",
        yscale="log",
        xlabel="1 - centred cosine",
        title="Speed by drift of int8, random weights",
    )
    memory.plot([run["edge"] for run in embeds], [run["memory"] / 1e6 for run in embeds], "o-")
    memory.set(
        ylim=(0, None),
        xlabel="edge of the scene, px",
        ylabel="peak memory, MB",
        title="Memory of embed --int8",
    )
    by_size.legend(fontsize=8)
    for axes in (by_size, by_drift, memory):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    source, out = map(Path, sys.argv[1:3])
    found = json.loads(source.read_text())
    runs = [each["extra_info"] for each in found["benchmarks"]]
    networks = [run for run in runs if "rows" in run]
    embeds = [run for run in runs if "edge" in run]
    out.mkdir(exist_ok=True)
    machine = machine_line(found["machine_info"], networks[0]["threads"])
    text = "\n".join([*network_table(networks), "", *embed_table(embeds), "", machine]) + "\n"
    (out / "benchmarks.md").write_text(text)
    picture(networks, embeds, out / "benchmarks.png")
    print(text)


if __name__ == "__main__":
    main()
