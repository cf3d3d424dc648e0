"""The compression benchmark's tables and picture."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from tessera_engine.analysis.maps.forms import PIXEL_KM2
from tessera_engine.analysis.maps.intervals import Interval
from tessera_engine.analysis.maps.learn import EVALUATED

COMPUTES = {"fp32": "float32", "int8": "fused int8", "qdq": "static Q/DQ"}
SCORE = "macro_f1"
PROBE = "linear"

INTRODUCTION = """\
# What compression costs

Written by `make compression`, on a CPU in {minutes:.0f} minutes, with the model `{model}`. All scores are of land that
was held out: whole blocks or parcels, in five folds, the same for all features. Scores are macro F1 in percent of all
held-out predictions together. In brackets are 95 % intervals, of 1,000 random weightings of the blocks or parcels
([evaluate.md](evaluate.md)); they are *paired* where two forms are compared. The intervals cover the choice of land to
validate on only, not of land to learn from."""

LIMITS = """\
Flanders is small. Its blocks of 160 m are smaller than its large fields, so parts of a held-out block's field may be
in the training data, and scores by blocks are too high. Scores by parcels are not, but there are few parcels. Crops
with fewer than three parcels (two of five) are left out."""

FORMS = """\
## Forms and compute

Linear probe. *Bytes a pixel*: before the compression of files; files take less ([below](#a-country-on-a-memory-stick)).
*Drift*: centred cosine to the float32 network's values in the same number of dimensions, mean and first percentile.
*Found*: share of the ten pixels nearest by float32 and 128 dimensions that are among the ten nearest by this form. Both
are measured on {site}. Static Q/DQ is the graph for GPUs, computed by ONNX Runtime on this CPU.

vq needs all pixels of a tile of 512 x 512 pixels, and {tile} is such a tile. {site} is smaller, and vq loses less
there. Cells are empty where only the labelled pixels were embedded."""

STICK = """\
## A country on a memory stick

Embeddings of one year in GB (10^9 bytes), with 10 m pixels and float32 compute. *As files*: bytes a pixel after
Zstandard of all that embeddings are read from (values, codes and scales, or numbers and codebooks), measured on {tile}.
GeoTIFFs differ from that by up to 6 %, and overviews add a third; counts and quality add 0.6 to 1.2 bytes a pixel.
*Linear probe*: macro F1 there, less that of float32 with 128 dimensions, in points (paired). On land of four tiles vq
loses 0.6 points. It loses more in searches, changes and regressions: [lossy.md](lossy.md)."""

COUNTRIES = {"Wales": 20_780, "Portugal": 92_200, "Kenya": 580_400}
"""Their areas in km2."""

PAIRS = """\
## int8 and vq against float32

Difference in macro F1 to float32 compute, in points (paired)."""

SMALLER = """\
## Smaller forms that were tried

Four bits a code (codes -7..7 and a scale for each pixel), and one bit (above or below the scene's mean; the nearest
are then ranked again by int8 codes). Float32 compute. *Less the mean* needs the scene's mean vector as well."""

UNORDERED = """\
The same on {site} for a network of nano's shape with random weights. Its dimensions are in no order, and its vectors
have nearly everything in common:"""

PEERS = """\
## Beside other features

Flanders 2018. Monthly medians: ten bands, VV and VH of each month, gaps interpolated. Presto: its authors' code and
weights on the same medians; a sensor's month without data is masked, and so are weather, terrain and Dynamic World, for
which there are no data here."""


def report(model, sites, measured, tried, unordered, peers, sizes, minutes) -> str:
    """The whole page; `sizes` are the bytes a pixel of each form that is offered, on the last site."""
    tasks = [(site.name, task.name) for site in sites for task in site.tasks]
    first = sites[0].name
    of_first = [task for task in tasks if task[0] == first]
    parts = [
        INTRODUCTION.format(model=model, minutes=minutes),
        "\n".join(f"* {site.name}, {task.name}: {task.size}." for site in sites for task in site.tasks),
        LIMITS,
        "![Scores by bytes a pixel, and beside other features](compression.png)",
        FORMS.format(site=first, tile=sites[-1].name),
        _forms(measured, tasks),
        STICK.format(tile=sites[-1].name),
        _stick(measured, sizes, tasks[-1]),
        PAIRS,
        _pairs(measured, tasks),
        SMALLER,
        _forms(tried, tasks),
        UNORDERED.format(site=first),
        _forms(unordered, of_first),
    ]
    if peers:
        parts += [PEERS, *_peers(peers)]
    return "\n\n".join(parts) + "\n"


def _table(titles: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (titles, ["---"] * len(titles), *rows))


def _percent(score: Interval, sign: str = "") -> str:
    value, low, high = (f"{100 * each:{sign}.1f}" for each in (score.value, score.low, score.high))
    return f"{value} ({low} to {high})"


def _forms(measured, tasks) -> str:
    titles = ["compute", "form", "bytes a pixel", "drift", "found"]
    rows = []
    for each in measured:
        drift, found = each.drift, "" if each.neighbours is None else f"{each.neighbours:.0%}"
        if each.reranked is not None:
            found += f", re-ranked {each.reranked:.0%}"
        scores = (each.outcomes.get((*task, PROBE)) for task in tasks)
        rows.append(
            [
                COMPUTES[each.compute],
                each.form.name,
                f"{each.form.bytes_per_pixel:.3g}",
                "" if drift is None else f"{drift.centred_mean:.5f}, {drift.centred_p1:.5f}",
                found,
                *("" if score is None else _percent(score.scores()[SCORE]) for score in scores),
            ]
        )
    return _table([*titles, *(", ".join(task) for task in tasks)], rows)


def _stick(measured, sizes, task) -> str:
    titles = ["form", "bytes a pixel", "as files", "km2 per GB", "linear probe"]
    titles += [f"{name} ({area:,} km2)" for name, area in COUNTRIES.items()]
    forms = {each.form.name: each for each in measured if each.compute == "fp32"}
    whole = forms["float32, 128 dims"].outcomes[(*task, PROBE)]
    rows = []
    for name, size in sizes.items():
        per_km2 = size / PIXEL_KM2
        rows.append(
            [
                name,
                f"{forms[name].form.bytes_per_pixel:.3g}",
                f"{size:.3g}",
                f"{1e9 / per_km2:,.0f}",
                _percent(forms[name].outcomes[(*task, PROBE)].less(whole, SCORE), "+"),
                *(_gigabytes(area * per_km2) for area in COUNTRIES.values()),
            ]
        )
    return _table(titles, rows)


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.{0 if size >= 1e11 else 1}f}"


def _pairs(measured, tasks) -> str:
    by_name = {(each.compute, each.form.name): each for each in measured}
    rows = []
    for form, less in (("int8, 128", 128), ("int8, 16", 16), ("int8, 16", 128), ("vq, 128", 128)):
        whole = by_name["fp32", f"float32, {less} dims"]
        for compute in dict.fromkeys(each.compute for each in measured):
            one = by_name[compute, f"{form} dims"]
            for method in ("linear", "knn"):
                keys = [(*task, method) for task in tasks]
                cells = [
                    _percent(one.outcomes[key].less(whole.outcomes[key], SCORE), "+")
                    if key in one.outcomes
                    else ""
                    for key in keys
                ]
                rows.append([f"{form} dims", COMPUTES[compute], f"float32, {less} dims", method, *cells])
    titles = ["form", "compute", "compared with", "method"]
    return _table([*titles, *(", ".join(task) for task in tasks)], rows)


def _peers(peers) -> list[str]:
    tasks = list(dict.fromkeys(task for task, _ in peers[0].outcomes))
    rows = [
        [
            peer.name,
            str(peer.dims),
            method,
            *(_percent(peer.outcomes[task, method].scores()[SCORE]) for task in tasks),
        ]
        for peer in peers
        for method in EVALUATED
    ]
    baseline = peers[0]
    differences = [
        [
            f"{peer.name}, linear",
            *(
                _percent(peer.outcomes[task, PROBE].less(baseline.outcomes[task, "forest"], SCORE), "+")
                for task in tasks
            ),
        ]
        for peer in peers[1:]
    ]
    return [
        _table(["features", "dims", "method", *tasks], rows),
        f"Less {baseline.name} with a random forest (paired):",
        _table(["features, method", *tasks], differences),
    ]


def picture(measured, tried, peers, path: Path) -> None:
    """Scores against bytes a pixel, and peers."""
    figure, axes = plt.subplots(
        1, 2 if peers else 1, figsize=(14 if peers else 8, 5), layout="constrained", squeeze=False
    )
    by_size = axes[0, 0]
    offered = [each for each in measured if each.compute == "fp32" and each.form.name.startswith("int8")]
    smallest = [each for each in measured if each.compute == "fp32" and each.form.whole]
    whole = next(each for each in measured if each.compute == "fp32" and each.form.name.startswith("float32"))
    for i, task in enumerate(key[:2] for key in whole.outcomes if key[2] == PROBE):
        key = (*task, PROBE)
        for style, marker, forms in (("-", "o", [whole, *offered]), ("", "s", smallest), ("", "x", tried)):
            forms = [each for each in forms if key in each.outcomes]
            scores = [each.outcomes[key].scores()[SCORE] for each in forms]
            # A little to the side, so that intervals of different tasks don't hide each other
            x = [each.form.bytes_per_pixel * 1.04 ** (i - 2) for each in forms]
            by_size.errorbar(
                x,
                [100 * score.value for score in scores],
                [
                    [100 * (score.value - score.low) for score in scores],
                    [100 * (score.high - score.value) for score in scores],
                ],
                color=f"C{i}",
                ls=style,
                marker=marker,
                lw=1.2,
                elinewidth=0.7,
                ms=6,
                label=", ".join(task) if marker == "o" else None,
            )
    by_size.set(
        xscale="log",
        xlabel="bytes a pixel",
        ylabel="macro F1, percent",
        title="Linear probe: float32 and int8 prefixes (o), vq (s), four bits and one (x)",
    )
    sizes = [each.form.bytes_per_pixel for each in [whole, *offered, *smallest]]
    by_size.set_xticks(sizes, [f"{size:.3g}" for size in sizes])
    by_size.minorticks_off()
    by_size.legend(fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    by_size.grid(alpha=0.3)
    if peers:
        beside = axes[0, 1]
        tasks = list(dict.fromkeys(task for task, _ in peers[0].outcomes))
        for i, peer in enumerate(peers):
            for j, method in enumerate(EVALUATED):
                scores = [peer.outcomes[task, method].scores()[SCORE] for task in tasks]
                x = [
                    k + (i * len(EVALUATED) + j) * 0.8 / (len(peers) * len(EVALUATED))
                    for k in range(len(tasks))
                ]
                beside.errorbar(
                    x,
                    [100 * score.value for score in scores],
                    [
                        [100 * (score.value - score.low) for score in scores],
                        [100 * (score.high - score.value) for score in scores],
                    ],
                    color=f"C{i}",
                    ls="",
                    marker="osD"[j],
                    ms=6,
                    elinewidth=0.7,
                    label=f"{peer.name}: {method}",
                )
        beside.set_xticks([k + 0.37 for k in range(len(tasks))], tasks)
        beside.set(ylabel="macro F1, percent", title="Flanders 2018, the same folds")
        beside.legend(fontsize=7, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.06))
        beside.grid(alpha=0.3, axis="y")
    figure.savefig(path, dpi=110)
    plt.close(figure)
