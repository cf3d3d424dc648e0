"""Make a table of the embeddings at shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tessera_engine.analysis.options import SampleKeywords, SampleOptions, check_options
from tessera_engine.analysis.sampling.columns import columns_for
from tessera_engine.analysis.sampling.embedding import SceneSource
from tessera_engine.analysis.sampling.ids import check_ids
from tessera_engine.analysis.sampling.locating import Located
from tessera_engine.analysis.sampling.opening import From, open_sources
from tessera_engine.analysis.sampling.pooling import check_median
from tessera_engine.analysis.sampling.resuming import made_at_once, resumed_file
from tessera_engine.analysis.sampling.rows import FACTS, SOURCE, Rows
from tessera_engine.analysis.sampling.sources import Source, fingerprint, pixels_of
from tessera_engine.analysis.sampling.tables import Content, bounds_of, kinds_of, writer_for
from tessera_engine.analysis.sampling.years import Part, Year, lost_rows
from tessera_engine.errors import InputError
from tessera_engine.files.result import check_apart, check_free
from tessera_engine.formats.given import GivenPath, check_path
from tessera_engine.places.features import Features
from tessera_engine.places.losses import in_words
from tessera_engine.places.read import check_layer, library_bytes, read_features
from tessera_engine.places.selecting import check_shapes, shapes_sha256
from tessera_engine.places.shapes import ShapeFile
from tessera_engine.progress import Announce, Progress, ShowProgress, shown
from tessera_engine.running.options import spelled_out
from tessera_engine.scene import Grid

if TYPE_CHECKING:
    from typing_extensions import Unpack


ARROW_BYTES = 30_000_000
"""Memory of pyarrow, which makes the tables."""


@dataclass(frozen=True)
class Sampled:
    """A finished table.

    Attributes:
        out: the file.
        rows: its rows: one for each shape and year.
        empty: how many of them have no embedding.
        columns: the names of all columns.
        dim: length of an embedding.
        notes: what was unusual, a line each.
    """

    out: Path
    rows: int
    empty: int
    columns: tuple[str, ...]
    dim: int
    notes: tuple[str, ...]


def sample(
    sources: From | Sequence[From],
    shapes: GivenPath,
    out: GivenPath,
    *,
    overwrite: bool = False,
    progress: ShowProgress = None,
    announce: Announce | None = None,
    **options: Unpack[SampleKeywords],
) -> Sampled:
    """Make a table of the embeddings at points, or of those in polygons, pooled.

    The user's columns are kept. A point takes the pixel in which it lies, a polygon all pixels whose centre lies in it.
    With several outputs a shape is read, year by year, from the one in which most of its pixels have data. Of a scene
    only the pixels of the shapes are embedded.

    Args:
        sources: an output, a scene, or several of either: folders, `open_embeddings(...)` or `open_scene(...)`.
        shapes: a file of points or polygons, see `tessera_engine.places.read.read_shapes`.
        out: the table: .parquet (GeoParquet), .gpkg, .geojson or .csv.
        overwrite: replace an existing file.
        progress: a function to call with pixels read and in all; True to show progress, False not to; None: show it
            in terminals and notebooks.
        announce: called with a line for each finding about a scene; None: they are Python warnings.
        model: for scenes: a loaded model, the name of one on this machine, or a model file.
        pool: how the pixels of a shape are pooled: `mean`, `std`, `median`, or several; None: mean, or nothing for a
            file of points.
        layer: the layer of the shapes; None: the only one that has some.
        shapes_crs: the CRS of the shapes' coordinates; None: what the file says.
        buffer: by how much shapes grow: metres, or a length like "50m"; negative: by how much they shrink.
        id: the column with the ids, whose values must be unique; None: a column named id, if there is one.
        dim: only the first `dim` dimensions; None: all that are stored.
        year: only this year; None: all years of an output.
        until: the last day of the period to read, of an output with several periods.
        memory: what embedding a scene may take: bytes, or a size like "2GB"; None: half of the free memory, at most
            4 GB.
        strict: refuse a scene with any finding.

    Raises:
        InputError: an argument is wrong, a file can't be used, no shape lies on the embeddings, or something stands at
            `out`; nothing has been written.
        TesseraError: a file couldn't be read or written; nothing is left behind.
        MissingExtra: a library that reads the shapes isn't installed.
    """
    chosen = check_options(SampleOptions, "sample", options)
    check_path("shapes", shapes, "a file of points or polygons")
    check_path("out", out, "a file")
    path, target = Path(shapes), Path(out)
    write = writer_for(target)
    check_apart(target, [path])
    check_free(target, overwrite)
    check_shapes(path)
    check_layer(chosen.layer, path)
    features = read_features(ShapeFile(path, chosen.layer, chosen.shapes_crs, "shapes_crs"))
    pools = _pools(features, chosen)
    same_ids = check_ids(features, path, chosen.id)
    opened = open_sources(sources, chosen, ARROW_BYTES + library_bytes(path), announce)
    located = _located(features, opened, chosen, path)
    several = len({source.path for source in opened}) > 1
    facts = (*FACTS, SOURCE) if several else FACTS
    columns = columns_for(features, facts, pools or ("embedding",), opened[0].dim)
    identity = _identity(opened, path, chosen)
    # Only embedding takes long enough that it is worth resuming
    keeps = any(isinstance(source, SceneSource) for source in opened)
    with (
        resumed_file(target, overwrite, identity)
        if keeps
        else made_at_once(target, overwrite, identity) as work
    ):
        if work.figures is not None:
            return Sampled(target, **_listed(work.figures))
        with shown(progress, "sampling", "px") as report:
            years = _years(opened, located, work.folder, report)
        if "median" in pools:
            check_median(max(int(year.valid.max(initial=0)) for year in years))
        rows = Rows(features, years, columns, pools)
        content = Content(
            rows.schema(),
            columns.facts["geometry"],
            features.crs,
            kinds_of(features.geometries),
            bounds_of(features.geometries),
            _about(opened, path, pools),
            features.in_columns,
        )
        write(work.made, target.name, content, rows.batches)
        lost = lost_rows(features, years)
        notes = [*([same_ids] if same_ids else []), *columns.notes]
        if lost:
            notes.append(
                f"warning: {lost.total():,} of {len(rows):,} rows have no embedding: {in_words(lost)}"
            )
        work.done = {
            "rows": len(rows),
            "empty": lost.total(),
            "columns": list(content.schema.names),
            "dim": opened[0].dim,
            "notes": notes,
        }
    return Sampled(target, **_listed(work.done))


def _listed(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures as they are recorded in JSON, as `Sampled` takes them."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in figures.items()}


sample.__signature__ = spelled_out(sample, SampleKeywords, SampleOptions())  # type: ignore[attr-defined]


def _pools(features: Features, options: SampleOptions) -> tuple[str, ...]:
    """How pixels are pooled; empty for points, of which each has one pixel."""
    import shapely

    kinds = set(shapely.get_type_id(features.geometries).tolist()) - {-1}
    only_points = kinds <= {0}
    if options.pool or options.buffer or not only_points:
        return options.pool or ("mean",)
    return ()


def _located(
    features: Features, sources: Sequence[Source], options: SampleOptions, path: Path
) -> dict[Grid, Located]:
    """The shapes on each grid.

    Raises:
        InputError: none lies on any.
    """
    found: dict[Grid, Located] = {}
    for source in sources:
        if source.grid not in found:
            found[source.grid] = Located(features, source.grid, options.buffer, "shapes_crs")
    if any(len(located.pixels) for located in found.values()):
        return found
    places = [located.place for located in found.values() if located.place]
    raise InputError(
        f"no shape of {path} takes a pixel of {', '.join(dict.fromkeys(str(source.path) for source in sources))}: "
        f"{places[0] if places else 'give points, polygons with the centre of a pixel in them, or a buffer='}"
    )


def _years(
    sources: Sequence[Source], located: Mapping[Grid, Located], folder: Path, report: Progress
) -> list[Year]:
    """The pixels of all sources, by year."""
    total = sum(len(located[source.grid].pixels) for source in sources)
    parts: dict[int | None, list[Part]] = {}
    done = 0
    for number, source in enumerate(sources):
        here = located[source.grid]
        before = done
        spool = pixels_of(
            source,
            here.pixels,
            folder / str(number),
            lambda now, _: report(before + now, total),  # noqa: B023
        )
        done += len(here.pixels)
        parts.setdefault(source.provenance.get("year"), []).append(Part(source.path.name, here, spool))
    # Years in their order, and what has none at the end
    return [Year(year, parts[year]) for year in sorted(parts, key=lambda year: (year is None, year or 0))]


def _about(sources: Sequence[Source], path: Path, pools: Sequence[str]) -> dict[str, Any]:
    """Where the embeddings are from, as the file's metadata have it."""
    from tessera_engine.version import __version__

    facts, first = sources[0].provenance, sources[0]
    return {
        **{key: facts.get(key) for key in ("model", "model_sha256", "generation", "precision")},
        "dim": first.dim,
        "stored_as": first.stored_as,
        "pool": list(pools),
        "years": sorted({source.provenance["year"] for source in sources if source.provenance.get("year")}),
        "sources": list(dict.fromkeys(source.path.name for source in sources)),
        "shapes": path.name,
        "engine_version": __version__,
    }


def _identity(sources: Sequence[Source], path: Path, options: SampleOptions) -> dict[str, str]:
    """Everything that the table depends on, in words."""
    from tessera_engine.version import __version__

    read = [f"{source.path.absolute()} {source.dim} {fingerprint(source)}" for source in sources]
    plain = {
        name: value for name, value in vars(options).items() if name not in ("model", "memory", "strict")
    }
    return {
        "engine": __version__,
        "command": "sample",
        "sources": repr(read),
        "shapes": f"{path.absolute()} {shapes_sha256(path)}",
        "options": repr(plain),
    }
