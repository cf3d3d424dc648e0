"""The page of `lossy.py`."""

from __future__ import annotations

from typing import Any

HEAD = (
    "# What forms of one to twenty bytes a pixel lose",
    "",
    "Written by `python benchmarks/lossy.py`, beside int8 codes of 128 dimensions. Bytes a pixel: everything after",
    "Zstandard. CPU: seconds to code and decode a million pixels, on a busy machine. R2: share of the variance of all",
    "128 dimensions that is kept. *Found*: of the ten nearest of 20,000 pixels. *Similar*: of the 1 % of pixels most",
    "similar to 20 places. *Change*: of the 1 % that changed most between two years; how surely a pixel with another",
    "land cover has changed more than one without (1: always). Scores: macro F1 in points, and R2 of a regression of",
    "summer NDVI, less those of int8 codes of 128 dimensions; learned from 4,000 pixels, and scored on 40,000 of land",
    "that was held out; with 95 % intervals, paired.",
    "Common classes: those of 5 % of the land or more. *By noise*: words are near in units of the noise between",
    "neighbours, and chosen together. *In patches*: neighbouring pixels that are alike are coded once, by their mean.",
    "Rows of one site may be of several runs, each compared with int8 codes of its own: those of the last two sites",
    "were scored on the 4,000 pixels, but for *format vq*.",
    "",
)

RARE = (
    "## Rare classes",
    "",
    "Two classes of one tile, thinned to 0.5 % of its pixels each, against all others: macro F1 of two classes.",
    "",
)

SHOWN = (("linear", 100), ("common", 100), ("knn", 100), ("forest", 100), ("regression", 1))


def report(forms: list[dict[str, Any]], rare: list[dict[str, Any]]) -> str:
    """The page.

    Args:
        forms: of each site and form, what `lossy.measure_site` gives.
        rare: and what `lossy.measure_rare` gives.
    """
    lines = list(HEAD)
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
        lines += [*RARE, "| site | form | linear | less | kNN |", "|---|---|---|---|---|"]
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
