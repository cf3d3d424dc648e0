"""Turn a pytest-benchmark JSON into tables and pictures: `python benchmarks/report.py bench.json OUT_FOLDER`.

The speed of networks comes from `speed.json` in that folder, which `speed.py` writes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt


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


def machine_line(machine: dict) -> str:
    """What was measured on."""
    found = machine["tessera"]
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    return f"{found['cpu']}, {found['threads']} threads, {found['instruction_sets'][0]}; {packages}."


def picture(networks: list[dict], embeds: list[dict], path: Path) -> None:
    """Speed against size of model and against drift, memory against size of scene.

    Args:
        networks: the sizes of speed.json, see `speed.py`; may be none.
        embeds: the scenes.
        path: of the picture.
    """
    figure, (by_size, by_drift, memory) = plt.subplots(1, 3, figsize=(15, 4.2), layout="constrained")
    for name in dict.fromkeys(row["name"] for size in networks for row in size["rows"]):
        found = [(size["size"], row) for size in networks for row in size["rows"] if row["name"] == name]
        speeds = [row["pixels_per_second"] for _, row in found]
        style = {"lw": 2.5, "ms": 8} if name.startswith("fused") else {"lw": 1, "ms": 5}
        (line,) = by_size.plot([size for size, _ in found], speeds, "o-", label=name, **style)
        if not name.endswith("fp32"):
            x = [1 - row["drift"]["centred_mean"] for _, row in found]
            by_drift.plot(x, speeds, "o-", label=name, color=line.get_color(), **style)
    by_size.set(yscale="log", ylabel="pixels per second", title="Speed by size of model")
    by_drift.set(
        xscale="log",
        yscale="log",
        xlabel="1 - centred cosine",
        title="Speed by drift, random weights",
    )
    memory.plot([run["edge"] for run in embeds], [run["memory"] / 1e6 for run in embeds], "o-")
    memory.set(
        ylim=(0, None),
        xlabel="edge of the scene, px",
        ylabel="peak memory, MB",
        title="Memory of embed --int8",
    )
    if networks:
        by_size.legend(fontsize=8)
    for axes in (by_size, by_drift, memory):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> None:
    source, out = map(Path, sys.argv[1:3])
    found = json.loads(source.read_text())
    runs = [each["extra_info"] for each in found["benchmarks"]]
    embeds = [run for run in runs if "edge" in run]
    out.mkdir(exist_ok=True)
    speed = out / "speed.json"
    networks = json.loads(speed.read_text()) if speed.exists() else []
    text = "\n".join([*embed_table(embeds), "", machine_line(found["machine_info"])]) + "\n"
    (out / "benchmarks.md").write_text(text)
    picture(networks, embeds, out / "benchmarks.png")
    print(text)


if __name__ == "__main__":
    main()
