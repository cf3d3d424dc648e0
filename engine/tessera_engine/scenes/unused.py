"""What became no product: each file and folder once, with the reason; nothing is left out without a word."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from tessera_engine.scenes.metadata.kinds import (
    is_unfinished,
    is_unknown,
    kind_of_file,
    kind_of_product,
)
from tessera_engine.scenes.metadata.listing import list_folder
from tessera_engine.scenes.metadata.members import in_zip, is_zip
from tessera_engine.scenes.products import Asset, Listing, Problem, Unusable

SHOWN = 20
"""Lines that are printed; JSON lists all."""

_ALL = "json=True (in Python: scene.reader.unused) lists them"

_SIDECAR = re.compile(
    r"\.(aux\.xml|aux|ovr|msk|tfw|tifw|wld|jgw|j2w|prj|xml|md5|sha\d*|meta4|metalink|txt|log|html?|jpe?g|png|gif|kmz?|"
    r"qml|sld|json|geojson|sig|asc|yaml|yml)$",
    re.I,
)
"""Files beside a product that say something about it, with its name at their beginning."""

_MAYBE_IMAGE = range(10, 21)
"""Numbers of bands without descriptions with which a GeoTIFF is probably an image of Sentinel-2."""

_NO_PRODUCT = "has neither metadata nor images of Sentinel-2 Level-2A; download it again"
_BESIDE_TILE = "is not read with d-pixel tiles, which are a scene of their own; move it to another folder"

_SAFE = re.compile(r"\.SAFE$|^S2[A-D]_MSIL2A_\d{8}T\d{6}_", re.I)


def beside_tiles(folder: Path, tiles: Iterable[Path], files: Collection[str]) -> tuple[Problem, ...]:
    """What lies in the folder of a scene of d-pixel tiles and belongs to none of them.

    Args:
        folder: the scene folder.
        tiles: the folders of its tiles.
        files: names of the files of a tile.
    """
    listing = list_folder(folder)
    claimed = {path.resolve() / name for path in tiles for name in files}
    claimed |= {problem.source for problem in listing.problems}
    return (*listing.problems, *left_over(listing, claimed, _BESIDE_TILE))


def left_over(listing: Listing, claimed: Collection[Path], reason: str = _NO_PRODUCT) -> list[Problem]:
    """Find what no layout has claimed.

    Args:
        listing: the scene folder's files.
        claimed: files of products, files and folders that a layout knows, and those that have a reason already.
        reason: why something with the name of a Sentinel-2 L2A product is not used.

    Returns:
        A problem for each file, or for the outermost folder with the name of a product that isn't read. Sidecars of
        claimed files are left out.
    """
    together = set(claimed)
    rest = Listing(listing.folder, listing.files, claimed=frozenset(together)).unclaimed
    beside: dict[Path, list[str]] = {}
    for path in together:
        beside.setdefault(path.parent, []).append(path.stem)
    found: dict[Path, Problem] = {}
    for path in rest:
        if not _is_sidecar(path, beside.get(path.parent, ())):
            problem = _of_file(path, listing.folder, reason)
            found.setdefault(problem.source, problem)
    for folder in listing.empty:
        if folder not in together and together.isdisjoint(folder.parents):
            lost = _SAFE.search(folder.name) is not None or kind_of_product(folder.name) is not None
            reason = "is an empty folder" + ("; download the product again" if lost else "")
            found[folder] = Problem(folder, reason, lost)
    return [found[path] for path in sorted(found)]


def _is_sidecar(path: Path, names: Iterable[str]) -> bool:
    if is_unfinished(path.name) or _SIDECAR.search(path.name) is None:
        return False
    return any(path.name.startswith(name) and not path.name[len(name)].isalnum() for name in names)


def _of_file(path: Path, root: Path, of_l2a: str) -> Problem:
    """The reason for a file, or for the outermost folder around it whose name says more."""
    for each in [*reversed([parent for parent in path.parents if parent.is_relative_to(root)]), path]:
        kind = kind_of_product(each.name) if each != root else None
        if kind is not None:
            return Problem(each, *kind)
        if each not in (root, path) and _SAFE.search(each.name):
            return Problem(each, of_l2a)
        if each == path and _has_name_of_l2a(path) and not is_zip(path):
            return Problem(each, of_l2a)
    reason, lost = kind_of_file(path.name)
    try:
        if path.stat().st_size == 0:
            return Problem(path, "is an empty file (0 bytes); download it again", lost)
        if is_zip(path):
            return Problem(path, *_of_zip(path, reason))
    except (OSError, Unusable) as error:
        return Problem(path, f"can't be read ({error}); copy it again")
    count = _bands_without_names(path) if path.suffix.lower() in (".tif", ".tiff") else 0
    if count in _MAYBE_IMAGE:
        return Problem(
            path, f"has {count} bands without descriptions, expected names such as B04 and SCL; describe them"
        )
    return Problem(path, reason, lost)


def _bands_without_names(path: Path) -> int:
    """The number of bands of a GeoTIFF in which none is described, else 0."""
    from tessera_engine.scenes.reading.rasters import opened, product_environment  # tiles don't need rasterio

    try:
        with product_environment(), opened(Asset(path)) as dataset:
            return 0 if any(dataset.descriptions) else int(dataset.count)
    except Unusable:
        return 0


def _has_name_of_l2a(path: Path) -> bool:
    """Whether a file is called like a product, and not like a file beside one."""
    return (
        _SAFE.search(path.name) is not None and is_unknown(path.name) and _SIDECAR.search(path.name) is None
    )


def _of_zip(path: Path, reason: str) -> tuple[str, bool]:
    """The reason for a zip, by what is in it."""
    members = [member.path for member in in_zip(path)]
    if not members:
        return "is an empty zip; download it again", True
    for member in members:
        for part in member.parts:
            kind = kind_of_product(part)
            if kind is not None and kind.lost:
                return kind
    archives = sorted(
        {member.name for member in members if re.search(r"\.(zip|tar|tgz|7z|gz)$", member.name, re.I)}
    )
    if archives:
        more = f" and {len(archives) - 1} more" if len(archives) > 1 else ""
        return f"holds other archives ({archives[0]}{more}); unpack it once, its zips can stay zips", True
    rasters = any(re.search(r"\.(tiff?|jp2|nc4?|h5|img)$", member.name, re.I) for member in members)
    return (f"{reason}; unpack it" if rasters else reason), rasters


def lines(unused: Sequence[Problem], shown: int = SHOWN) -> Iterator[str]:
    """What is printed about lost observations: a line each, at most `shown`, and one that counts them.

    Where there are too many, the first of each reason comes before the others.
    """
    lost = [problem for problem in unused if problem.lost]
    yield from (f"{problem.source} is not used: {problem.reason}" for problem in _first_of_each(lost)[:shown])
    if len(lost) > shown:
        yield f"{len(lost):,} files and folders are not used: the {shown} above and {len(lost) - shown:,} more; {_ALL}"
    elif len(lost) > 1:
        yield f"{len(lost)} files and folders are not used, for the reasons above"


def as_json(unused: Iterable[Problem]) -> list[dict[str, str]]:
    """All of it, for programs: objects with `path` and `reason`."""
    return [{"path": str(problem.source), "reason": problem.reason} for problem in unused]


def note(unused: Sequence[Problem], shown: int = SHOWN) -> str | None:
    """One line about what can't hold observations; None where there is nothing."""
    others = [problem for problem in unused if not problem.lost]
    if not others:
        return None
    named = [f"{problem.source} {problem.reason}" for problem in _first_of_each(others)[:shown]]
    more = f"; and {len(others) - shown:,} more; {_ALL}" if len(others) > shown else ""
    what = "1 other file or folder is" if len(others) == 1 else f"{len(others):,} other files and folders are"
    return f"note: {what} not used: {'; '.join(named)}{more}"


def _first_of_each(problems: Sequence[Problem]) -> list[Problem]:
    """The same problems; where a reason occurs first comes before where it occurs again."""
    seen: set[str] = set()
    first: list[Problem] = []
    again: list[Problem] = []
    for problem in problems:
        (again if problem.reason in seen else first).append(problem)
        seen.add(problem.reason)
    return first + again if len(problems) > SHOWN else list(problems)
