"""The page of `lossy.py`."""

from __future__ import annotations

from typing import Any

HEAD = """\
# What forms of one to twenty bytes a pixel lose

Written by `python benchmarks/lossy.py`. Every form is compared with int8 codes of 128 dimensions.

| column | |
|---|---|
| bytes | a pixel, of everything, after Zstandard |
| CPU | seconds to code, compress and decode a million pixels, on a busy machine |
| R2 | share of the variance of all 128 dimensions that is kept |
| found | share of the ten nearest of 20,000 pixels that are still among the ten nearest |
| similar | the same for the 1 % of pixels that are most similar to 20 places |
| change | the same for the 1 % that changed most between two years; then the probability that a pixel with another \
land cover has changed more than one without |
| linear, knn, forest | macro F1 of land cover, in points |
| common | macro F1 of a linear probe among the classes of 5 % of the land or more |
| regression | R2 of summer NDVI |

The last five are differences to int8 codes, with paired 95 % intervals. They are learned from 4,000 pixels and scored
on up to 40,000 of land that was held out.

| form | |
|---|---|
| 255 + 256 words | a codebook of 255 vectors, and one of 256 for what the first one leaves |
| by noise | distances are in units of the noise between neighbours, and words of all codebooks are chosen together |
| in patches | neighbouring pixels that are alike are coded once, by their mean |
| RVQ | residual vector quantisation: by plain distance, one codebook after the other |
| PQ | product quantisation: each group of dimensions has a codebook of 256 words |
| components | principal components in steps of one size, a half (coarse) or a fifth (fine) of the first one's spread |

The simulated scene is made by `tessera-engine simulate scene --size 1024 --seed 11`, and embedded by the demo model in
int8. The other year is its upper left tile with `--year 1`. The random weights are those of a network of nano's shape,
and their scene is the upper left 256 x 256 pixels. Flanders is smaller than a tile of 512 pixels: codebooks take most
of its bytes. Its intervals are wide.
"""

RARE = """\
## Rare classes

Two classes of one tile, thinned to 0.5 % of its pixels each, against all others: macro F1 of two classes, in percent,
and the difference to int8 codes.
"""

SHOWN = (("linear", 100), ("common", 100), ("knn", 100), ("forest", 100), ("regression", 1))


def report(forms: list[dict[str, Any]], rare: list[dict[str, Any]]) -> str:
    """The page.

    Args:
        forms: of each site and form, what `lossy.measure_site` gives.
        rare: and what `lossy.measure_rare` gives.
    """
    lines = [HEAD]
    for site in dict.fromkeys(each["site"] for each in forms):
        here = [each for each in forms if each["site"] == site]
        first = here[0]
        scores = ", ".join(f"{name} {factor * first[name]:.3g}" for name, factor in SHOWN if name in first)
        lines += [f"## {site}", "", f"int8 codes of 128 dimensions: {scores}.", ""]
        titles = ["form", "bytes", "CPU", "R2", "found", "similar", "change", *(name for name, _ in SHOWN)]
        lines += [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
        for each in here:
            change = f"{each['change_top']:.0%}, {each['change_auc']:.3f}" if "change_top" in each else ""
            cells = [
                each["form"],
                f"{each['bytes_per_pixel']:.2f}",
                f"{each['encode_decode_cpu_s_per_mpx']:.1f}",
                f"{each['r2']:.3f}",
                f"{each['nearest_found']:.0%}",
                f"{each['similar_top']:.0%}",
                change,
                *(_less(each, name, factor) for name, factor in SHOWN),
            ]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    if rare:
        lines += [RARE, "| site | form | linear | difference | kNN |", "|---|---|---|---|---|"]
        for each in rare:
            knn = f"{100 * each['rare knn']:.1f}"
            cells = [each["site"], each["form"], f"{100 * each['rare']:.1f}", _less(each, "rare", 100), knn]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def _less(each: dict[str, Any], name: str, factor: float) -> str:
    less = each.get(f"{name} less")
    if less is None:
        return ""
    digits = 1 if factor == 100 else 3
    value, low, high = (f"{factor * less[key]:+.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"
