"""Pages that quote what benchmarks wrote quote the present tables."""

from __future__ import annotations

import json
import re

import pytest
from places import ROOT

SITE = "## simulated, 1,024 px"
VQ = "format vq: by noise, in patches, 255 + 256 + 256 + 256 words"
QUOTED = {
    "int8, 128 dims, Zstandard": "int8, 128 dims",
    "int8, 32 dims": "int8, 32 dims",
    "int8, 16 dims": "int8, 16 dims",
    "**vq** (255 + 256 + 256 + 256 vectors)": VQ,
    "255 + 256 vectors by plain distance, not offered": "RVQ, 255 + 256 words",
    "256 + 256 + 256 vectors by plain distance, not offered": "RVQ, 256 + 256 + 256 words",
    "20 + 256 vectors, as tessera-vq": "RVQ, 20 + 256 words",
}
"""A row's name on the page of smaller outputs -> its name on the page of lossy forms."""


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


def rows(page, after, names=1):
    """The rows of the first table after a text: the first cells, which name a row -> the others."""
    table = re.search(r"(?:^\|.*\n)+", read(page).split(f"\n{after}", 1)[1], re.MULTILINE).group()
    cells = [[cell.strip() for cell in line[1:-1].split("|")] for line in table.splitlines()[2:]]
    return {row[0] if names == 1 else tuple(row[:names]): row[names:] for row in cells}


def test_the_readme_has_the_sizes_and_losses_of_the_page_of_compression():
    measured = rows("docs/compression.md", "## A country on a memory stick\n")
    quoted = rows("README.md", "What each form takes as files")
    assert len(quoted) == 5
    for name, (size, area, countries, probe) in quoted.items():
        _, of_files, per_gb, loss, *each = measured["vq, 128 dims" if name.startswith("vq") else name]
        assert (size, area, countries) == (of_files, per_gb, ", ".join(each))
        assert probe == ("0" if name == "float32, 128 dims" else loss)


def test_the_page_of_evaluate_has_the_scores_of_the_page_of_compression():
    measured = rows("docs/compression.md", "## Forms and compute\n", names=2)
    for name, (size, _, found, *scores) in rows(
        "docs/evaluate.md", "## Results for the demo model\n"
    ).items():
        compute = "float32" if name == "float32, 128 dims" else "fused int8"
        of_bytes, _, share, *every = measured[compute, name]
        assert [size, found.replace(" ", "")] == [of_bytes, share]
        assert scores == [every[0], every[-1]]


def test_the_page_of_smaller_outputs_has_the_losses_of_the_benchmark():
    measured = rows("docs/lossy.md", f"{SITE}\n")
    quoted = rows("docs/smaller.md", "**It loses something.**")
    assert set(quoted) == set(QUOTED)
    for name, (size, *scores, found) in quoted.items():
        of_form = measured[QUOTED[name]]
        assert size == f"{float(of_form[0]):.1f}"
        assert found.replace(" ", "") == of_form[3]
        assert scores == of_form[6:10] or name.startswith("int8, 128 dims")


@pytest.mark.parametrize("page", ["README.md", "docs/smaller.md"])
def test_what_vq_loses_is_what_was_measured(page):
    _, _, _, found, similar, change, linear, common, *_, regression = rows("docs/lossy.md", f"{SITE}\n")[VQ]
    whole = float(re.search(r"regression (\d\.\d+)", read("docs/lossy.md")).group(1))
    less = whole + float(regression.split()[0])
    share, surely = change.split(", ")
    facts = [share, f"{whole:.3f}", f"{less:.3f}", f"{linear[1:4]} points"]
    if page == "docs/smaller.md":
        nano = rows("docs/lossy.md", "## random weights of nano, 256 px\n")[VQ]
        _, rare, _ = rows("docs/lossy.md", "## Rare classes\n", names=2)[SITE[3:], VQ]
        facts += [found, similar, surely, common[1:4], rare.split(" ", 1)[1]]
        facts += [nano[6].split(" ", 1)[1], *(nano[score][1:4] for score in (6, 8, 9))]
    text = " ".join(read(page).split()).replace(" %", "%")
    for fact in facts:
        assert fact in text


def test_the_page_of_smaller_outputs_has_the_times_of_the_lossless_benchmark():
    geotiff, zarr, npy = (
        rows("docs/lossless.md", f"## {kind}: codes alone") for kind in ("GeoTIFF", "Zarr", "npy")
    )
    measured = (
        geotiff["DEFLATE 1, differences of neighbours"],
        geotiff["ZSTD 1, differences of neighbours"],
        zarr["Blosc zstd 3, bits shuffled"],
        npy["not compressed"],
    )
    quoted = rows("docs/smaller.md", "## Without loss\n")
    for cells, of_layout in zip(quoted.values(), measured, strict=True):
        assert "{} B, {} s, {} s".format(*cells) == of_layout[0]


def test_the_page_of_outputs_has_how_much_faster_zstandard_is_read():
    seconds = {
        each["layout"]: each["read"]
        for each in json.loads(read("docs/lossless.json"))
        if (each["output"], each["kind"]) == ("simulated, 1024 px", "GeoTIFF")
    }
    times = seconds["DEFLATE 1, differences of neighbours"] / seconds["ZSTD 1, differences of neighbours"]
    assert f"to read DEFLATE takes {times:.1f} times as much CPU time" in read("docs/outputs.md")


def test_the_readme_has_the_speeds_of_the_page_of_speed():
    measured = rows("docs/speed.md", "centred cosine to float32, mean and first percentile:\n")
    quoted = rows("README.md", "runtime in its fastest form:\n")
    times = quoted.pop("*fused int8 / the fastest of those*")
    for column, ratio in enumerate(times):
        speeds = [each[column].strip("*") for each in quoted.values()]
        known = {each[2 * column].strip("*") for each in measured.values()}
        assert set(speeds) <= known
        ours, *others = sorted((int(each.split()[0].replace(",", "")) for each in speeds), reverse=True)
        assert ratio == f"*{ours / others[0]:.1f}*"
        assert speeds[1].startswith(f"{ours:,} ")  # the row of fused int8
