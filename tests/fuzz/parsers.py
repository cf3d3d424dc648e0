"""Everything of the engine that reads what others may have made, each with what must hold of what it accepts.

A new parser is one entry of `PARSERS`. Its valid inputs are in `corpus/<name>/valid-*`, or are taken from what
`surroundings` makes. Inputs that once broke something stay in the corpus under `broke-*` and are tried first ever after.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from fuzz import reading_classifiers, reading_labels, reading_models, reading_outputs, reading_scenes
from fuzz.mutations import (
    mutate_bytes,
    mutate_checkpoint,
    mutate_item,
    mutate_journal,
    mutate_json,
    mutate_lines,
    mutate_onnx,
    mutate_xml,
    mutate_zip,
)
from fuzz.watch import Place

CORPUS = Path(__file__).parent / "corpus"

Mutation = Callable[[Random, bytes], bytes]


@dataclass(frozen=True)
class Parser:
    """One parser under test.

    Attributes:
        parse: given the place, what `prepare` gave, the name of the valid input and the damaged bytes; raises a
            TesseraError for what it refuses, AssertionError where it accepted what it shouldn't have.
        mutations: how to damage a valid input.
        made: gives more valid inputs, of what `surroundings` made: name -> bytes.
        prepare: makes what the parser needs around its input, once for many inputs.
    """

    parse: Callable[[Place, Any, str, bytes], None]
    mutations: tuple[Mutation, ...] = (mutate_bytes,)
    made: Callable[[Path], dict[str, bytes]] | None = None
    prepare: Callable[[Place], Any] | None = None


def _of_folder(pattern: str) -> Callable[[Path], dict[str, bytes]]:
    """Files that `surroundings` made, by their paths."""
    return lambda made: {
        path.relative_to(made).as_posix().replace("/", "+"): path.read_bytes()
        for path in sorted(made.glob(pattern))
        if path.is_file()
    }


def _mutate_store(rng: Random, data: bytes) -> bytes:
    """A file of a Zarr store: metadata as JSON, anything else as bytes."""
    return mutate_json(rng, data) if data[:1] == b"{" and rng.random() < 0.7 else mutate_bytes(rng, data)


_JSON = (mutate_json, mutate_json, mutate_json, mutate_bytes)
_NAMES = (mutate_lines,)

PARSERS = {
    "item": Parser(
        reading_outputs.item, (mutate_item, mutate_item, mutate_item, mutate_bytes), _of_folder("outputs/*/item.json")
    ),
    "palette": Parser(reading_outputs.palette, _JSON, _of_folder("palettes/*"), reading_outputs.copy_cog),
    "journal": Parser(reading_outputs.journal, (mutate_journal, mutate_journal, mutate_bytes), _of_folder("journals/*")),
    "raster": Parser(reading_outputs.raster),
    "zarr-store": Parser(reading_outputs.zarr_store, _JSON, reading_outputs.zarr_metadata),
    "vq-store": Parser(
        reading_outputs.vq_store, (_mutate_store,), _of_folder("outputs/vq/embeddings.zarr/**/*")
    ),
    "tree": Parser(reading_outputs.tree, (mutate_bytes,), _of_folder("outputs/geotessera/**/grid*")),
    "tree-names": Parser(reading_outputs.tree_names, _NAMES, reading_outputs.names_of_tree),
    "geojson": Parser(reading_labels.labels, _JSON, _of_folder("labels/*.geojson"), reading_labels.prepare),
    "gpkg": Parser(reading_labels.labels, (mutate_bytes,), _of_folder("labels/*.gpkg"), reading_labels.prepare),
    "csv": Parser(
        reading_labels.labels, (mutate_bytes, mutate_lines, reading_labels.mutate_cells), _of_folder("labels/*.csv"),
        reading_labels.prepare,
    ),
    "shapefile": Parser(reading_labels.shapefile, (mutate_bytes,), _of_folder("labels/*.shp"), reading_labels.prepare),
    "label-raster": Parser(reading_labels.labels, (mutate_bytes,), _of_folder("labels/*.tif"), reading_labels.prepare),
    "class-names": Parser(reading_labels.class_names, (mutate_xml, mutate_xml, mutate_bytes)),
    "netcdf": Parser(
        reading_scenes.netcdf, (mutate_bytes, reading_scenes.mutate_names), _of_folder("scenes/netcdf*/*.nc"),
        reading_scenes.try_in_forks,
    ),
    "zarr": Parser(reading_scenes.zarr, _JSON, reading_scenes.zarr_metadata),
    "zarr-chunk": Parser(reading_scenes.zarr_chunk, (mutate_bytes,), reading_scenes.zarr_chunks),
    "stac": Parser(
        reading_scenes.stac, _JSON, _of_folder("scenes/stac-*/*.json"), reading_scenes.copy_stac
    ),
    "safe": Parser(
        reading_scenes.safe, (mutate_xml, mutate_xml, mutate_bytes), _of_folder("scenes/safe/*/*.xml"), reading_scenes.copy_safe
    ),
    "zip": Parser(reading_scenes.zipped, (mutate_zip, mutate_zip, mutate_bytes), _of_folder("scenes/*-zip/*.zip")),
    "names": Parser(reading_scenes.names, _NAMES, reading_scenes.names_of_scenes),
    "npy": Parser(reading_scenes.npy),
    "doys": Parser(reading_scenes.doys),
    "roi": Parser(reading_scenes.roi, prepare=reading_scenes.copy_dpixel),
    "tile": Parser(reading_scenes.tile, (mutate_bytes,), _of_folder("scenes/dpixel/*"), reading_scenes.copy_dpixel),
    "model": Parser(reading_models.model, (mutate_bytes, mutate_onnx, mutate_onnx)),
    "classifier": Parser(
        reading_classifiers.classifier, (reading_classifiers.mutate_classifier,) * 3 + (mutate_bytes,),
        _of_folder("classifiers/*"),
    ),
    "head": Parser(reading_classifiers.head, (mutate_bytes, mutate_onnx, mutate_onnx), reading_classifiers.heads),
    "checkpoint": Parser(reading_models.checkpoint, (mutate_checkpoint, mutate_zip, mutate_bytes)),
}  # fmt: skip
"""By name."""


def seeds(name: str, made: Path) -> dict[str, bytes]:
    """The valid inputs of a parser by name."""
    kept = {path.stem.removeprefix("valid-"): path for path in sorted((CORPUS / name).glob("valid-*"))}
    found = {f"{key}{path.suffix}": path.read_bytes() for key, path in kept.items()}
    more = PARSERS[name].made
    return found | (more(made) if more else {})
