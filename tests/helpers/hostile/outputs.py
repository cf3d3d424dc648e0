"""Outputs of the engine whose content leads elsewhere."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hostile.elsewhere import bad_crs, vrt
from hostile.kit import URL, Commands, Kit, Opens, kind


def uses(path: Path, name: str) -> Commands:
    """Commands that read an output."""
    p = str(path)
    return [
        ["info", p],
        ["verify", p],
        ["convert", p, "--format", "npy", "-o", f"{name}-npy", "-q"],
        ["picture", p, "-o", f"{name}.png", "-q"],
        ["picture", p, "-o", f"{name}.tif", "-q"],
        ["view", p, "--export", f"{name}-page", "-q"],
        ["similar", p, "--at", "3.001", "50.549", "-o", f"{name}-similar", "-q"],
        ["change", p, p, "-o", f"{name}-change", "-q"],
    ]


def changed_item(output: Path, change: Callable[[dict], None]) -> None:
    """Change an item, with the checksum that belongs to it."""
    from tessera_engine.stac.items import ITEM_SHA256, item_sha256

    item = json.loads((output / "item.json").read_text())
    change(item)
    item["properties"].pop(ITEM_SHA256, None)
    item["properties"][ITEM_SHA256] = item_sha256(item)
    (output / "item.json").write_text(json.dumps(item))


@kind
def output_hrefs(kit: Kit) -> Commands:
    commands = []
    shutil.copy(kit.outputs["cog"] / "embeddings.tif", kit.outside / "embeddings.tif")
    outside = kit.outside / "embeddings.tif"
    for name, href in (
        ("absolute", str(outside)),
        ("parents", os.path.relpath(outside, kit.folder / "parents")),
        ("file", outside.as_uri()),
        ("http", f"{URL}/e.tif"),
        ("vsicurl", f"/vsicurl/{URL}/e.tif"),
    ):
        output = kit.copy(kit.outputs["cog"], name)
        changed_item(output, lambda item, href=href: item["assets"]["embeddings"].update(href=href))
        commands += uses(output, f"href-{name}")
    return commands


@kind
def output_links(kit: Kit) -> Commands:
    commands = []
    output = kit.copy(kit.outputs["cog"], "cog")
    (output / "embeddings.tif").unlink()
    (output / "embeddings.tif").symlink_to(kit.outside / "embeddings.tif")
    shutil.copy(kit.outputs["cog"] / "embeddings.tif", kit.outside / "embeddings.tif")
    commands += uses(output, "link-cog")
    output = kit.copy(kit.outputs["npy"], "npy")
    array = max(output.rglob("*.npy"), key=lambda path: path.stat().st_size)
    shutil.copy(array, kit.outside / "embeddings.npy")
    array.unlink()
    array.symlink_to(kit.outside / "embeddings.npy")
    commands += uses(output, "link-npy")
    output = kit.copy(kit.outputs["zarr"], "zarr")
    chunk = max((path for path in output.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    shutil.copy(chunk, kit.outside / "chunk")
    chunk.unlink()
    chunk.symlink_to(kit.outside / "chunk")
    commands += uses(output, "link-zarr")
    output = kit.copy(kit.outputs["geotessera"], "geotessera")
    cell = next(path for path in output.rglob("grid_*") if path.is_dir())
    shutil.copytree(cell, kit.outside / cell.name)
    shutil.rmtree(cell)
    cell.symlink_to(kit.outside / cell.name)
    return [*commands, *uses(output, "link-geotessera")]


@kind
def output_descriptions(kit: Kit) -> Commands:
    """Rasters of outputs that are virtual rasters."""
    commands = []
    for name, source in (("file", str(kit.outside / "raster.tif")), ("url", f"/vsicurl/{URL}/e.tif")):
        output = kit.copy(kit.outputs["cog"], name)
        (output / "embeddings.tif").write_text(vrt(source, 128, "Int8"))
        (output / "scales.tif").write_text(vrt(source, 1, "Float32"))
        commands += uses(output, f"vrt-{name}")
    tree = kit.copy(kit.outputs["geotessera"], "tree")
    for path in tree.rglob("*.tiff"):
        path.write_text(vrt(str(kit.outside / "raster.tif")))
    (tree / "item.json").unlink()  # as a downloaded tree
    return [*commands, *uses(tree, "vrt-tree")]


@kind
def beside_outputs(kit: Kit) -> Commands:
    """Overviews and masks beside the rasters of an output, which are described elsewhere."""
    commands = []
    for name, source in (("file", str(kit.outside / "raster.tif")), ("url", f"/vsicurl/{URL}/o.tif")):
        output = kit.copy(kit.outputs["cog"], name)
        for raster in output.glob("*.tif"):
            for ending in ("ovr", "msk"):
                raster.with_name(f"{raster.name}.{ending}").write_text(vrt(source))
        commands += uses(output, f"beside-{name}")
    return commands


@kind
def output_pickles(kit: Kit) -> Commands:
    commands = []
    for format in ("npy", "geotessera"):
        output = kit.copy(kit.outputs[format], format)
        for path in output.rglob("*.npy"):
            path.unlink()
            np.save(path, np.array([[[Opens(kit)]]], dtype=object), allow_pickle=True)
        commands += uses(output, f"pickle-{format}")
    return commands


@kind
def output_crs(kit: Kit) -> Commands:
    commands = []
    for name, crs in bad_crs(kit).items():
        for key in ("proj:code", "proj:wkt2"):
            output = kit.copy(kit.outputs["npy"], f"{name}-{key[5:]}")

            def change(item, key=key, crs=crs):
                item["properties"].pop("proj:code", None)
                item["properties"][key] = crs

            changed_item(output, change)
            commands += uses(output, f"crs-{name}-{key[5:]}")
            commands.append(
                [
                    "map",
                    str(output),
                    "--labels",
                    str(kit.labels),
                    "--field",
                    "crop",
                    "-o",
                    f"crs-{name}-{key[5:]}-map",
                    "-q",
                ]
            )
    return commands


@kind
def zarr_output_elsewhere(kit: Kit) -> Commands:
    """A Zarr output whose metadata name a store elsewhere."""
    output = kit.copy(kit.outputs["zarr"], "zarr")
    for path in output.rglob("zarr.json"):
        content = json.loads(path.read_text())
        content["storage_transformers"] = [{"name": "reference", "configuration": {"url": f"{URL}/x"}}]
        path.write_text(json.dumps(content))
    return uses(output, "zarr-transformers")
