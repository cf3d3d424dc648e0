"""The tables about GPUs in docs/gpu.md and README.md, from docs/gpu.json: `python benchmarks/gpu_report.py`.

Each page has a place for them between two marks. Without the file, the pages say that nothing has been measured.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
JSON = ROOT / "docs" / "gpu.json"
BEGIN, END = "<!-- from gpu.json -->", "<!-- end -->"

NOT_YET = "**Not yet measured on a GPU.**"


def results(found: dict[str, Any], kind: str) -> dict[str, Any]:
    """The results of the stages of one kind, by the rest of their names."""
    return {
        name.removeprefix(f"{kind}: "): row["result"]
        for name, row in found["stages"].items()
        if name.startswith(f"{kind}: ") and "result" in row
    }


def speed_table(found: dict[str, Any]) -> list[str]:
    """Pixels a second by size and way, with drift where it was measured with the speed."""
    lines = ["| | px/s | launches alone | s/km2 | J/km2 | 1 - centred cosine |", "|---|---|---|---|---|---|"]
    for name, row in results(found, "speed").items():
        whole, alone, joules = row.get("whole", row), "", ""
        if "launches_alone" in row:
            alone = f"{row['launches_alone']['pixels_per_second']:,.0f}"
            energy = row["energy"]["joules_a_km2"]
            joules = "" if energy is None else f"{energy:,.1f}"
        drift = f"{1 - row['drift']['centred_mean']:.1e}" if "drift" in row else ""
        pace = f"{whole['pixels_per_second']:,.0f} | {alone} | {whole['seconds_a_km2']:.3g}"
        lines.append(f"| {name} | {pace} | {joules} | {drift} |")
    return lines


def right_table(found: dict[str, Any]) -> list[str]:
    """Drift, and whether bits are the same."""
    lines = [
        "| | largest difference | 1 - centred cosine | same bits again | in other batches |",
        "|---|---|---|---|---|",
    ]
    for name, row in results(found, "right").items():
        other = row["max_difference_in_other_batches"]
        lines.append(
            f"| {name} | {row['drift']['max_difference']:.1e} | {1 - row['drift']['centred_mean']:.1e} | "
            f"{'yes' if row['same_bits_again'] else 'no'} | {'the same' if other == 0 else f'{other:.1e}'} |"
        )
    return lines


def run_table(found: dict[str, Any]) -> list[str]:
    """Whole runs of `embed --int8` and where their time went."""
    lines = ["| `embed --int8` | px/s | shares of the time |", "|---|---|---|"]
    for name, row in results(found, "run").items():
        shares = ", ".join(f"{stage} {share:.0%}" for stage, share in row["shares"].items() if share >= 0.005)
        lines.append(f"| {name} | {row['pixels_per_second']:,.0f} | {shares} |")
    return lines


def page(found: dict[str, Any] | None) -> str:
    """What docs/gpu.md says."""
    if found is None:
        return (
            f"{NOT_YET} This project was built on machines without one. Everything below was tested\n"
            "against a stand-in of the device that computes on the CPU. Speed and memory on a GPU are not known.\n"
            "`make bench-gpu` measures them, in one command."
        )
    machine = found["stages"]["machine"]["result"]
    head = f"Measured on {machine['gpu']}, {machine['cpus']} CPUs, PyTorch {machine['torch']}."
    failed = [name for name, row in found["stages"].items() if "error" in row]
    if failed:
        head += f" **These stages failed: {', '.join(failed)}.**"
    tables = ("\n".join(table(found)) for table in (speed_table, right_table, run_table))
    return "\n\n".join([head, *tables])


def line(found: dict[str, Any] | None) -> str:
    """What README.md says."""
    rows = {} if found is None else results(found, "speed")
    if found is None or not rows:
        return NOT_YET
    name, best = max(rows.items(), key=lambda row: row[1].get("whole", row[1])["pixels_per_second"])
    speed = best.get("whole", best)["pixels_per_second"]
    gpu = found["stages"]["machine"]["result"]["gpu"].split(",")[0]
    return f"On {gpu}: {speed:,.0f} px/s ({name})."


def put(text: str, new: str) -> str:
    """A page with its marked place filled."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"expected one place between {BEGIN} and {END}")
    return pattern.sub(lambda _: f"{BEGIN}\n{new}\n{END}", text)


def pages() -> dict[Path, str]:
    """The pages as they should be, by path. A file in which nothing ran on a GPU counts as none."""
    found = json.loads(JSON.read_text(encoding="utf-8")) if JSON.exists() else None
    if found is not None and found["stages"]["machine"]["result"]["gpu"] is None:
        found = None
    made = {}
    for name, write in (("docs/gpu.md", page), ("README.md", line)):
        text = (ROOT / name).read_text(encoding="utf-8")
        made[ROOT / name] = put(text, write(found))
    return made


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        print(path)
