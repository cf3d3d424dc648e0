"""A format is added by one module with a `FORMAT`, and its line in the registry."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from made_up import made_up_arrays, write_tile

import tessera_engine as te
from tessera_engine.errors import InputError
from tessera_engine.files.staging import CODE_NODATA
from tessera_engine.formats.embeddings.base import item_grid
from tessera_engine.formats.embeddings.stored import StoredBlock
from tessera_engine.formats.format import Format
from tessera_engine.formats.registry import FORMATS, appendable, described, format_named
from tessera_engine.running.convert import convert
from tessera_engine.running.disk import needed_bytes
from tessera_engine.scene import Grid
from tessera_engine.stac.items import Asset

DIM = 16


@dataclass(frozen=True)
class FakeSource:
    """Everything in one compressed file."""

    grid: Grid
    dim: int
    file: Path
    stored_as: str = "int8"
    block: int = 1

    def read(self, window, dim):
        rows, cols = self._part(window)
        with np.load(self.file) as arrays:
            return StoredBlock(arrays["codes"][rows, cols, :dim], arrays["scales"][rows, cols])

    def read_observations(self, window):
        with np.load(self.file) as arrays:
            return arrays["observations"][self._part(window)]

    def _part(self, window):
        return slice(window.row, window.row + window.height), slice(window.col, window.col + window.width)


def open_fake(path, item, year):
    return FakeSource(item_grid(item), item["properties"]["tessera:dim"], path / "all.npz")


def write_fake(content, folder):
    staging, window = content.staging, content.staging.grid.window
    np.savez_compressed(
        folder / "all.npz",
        codes=staging.embeddings.read(window),
        scales=staging.scales.read(window),
        observations=staging.observations.read(window),
    )
    return [Asset("embeddings", "all.npz", FAKE.media_type, f"All of {content.name}", ("data",))]


def check_fake(grid, dim):
    if dim != DIM:
        raise InputError(f"format=fake takes {DIM} dimensions, these are {dim}")


FAKE = Format(
    "fake",
    media_type="application/x-fake",
    open=open_fake,
    write=write_fake,
    check=check_fake,
    summary="one file",
    int8_only=True,
    disk_factor=2,
)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The registry with one line more."""
    monkeypatch.setitem(FORMATS, "fake", FAKE)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return write_tile(tmp_path_factory.mktemp("scene") / "field", made_up_arrays(12, 10))


@pytest.fixture(scope="module")
def model():
    return te.load_model("demo", precision="int8")


def same(one, other):
    for found, wanted in zip(one.read_stored(), other.read_stored(), strict=True):
        np.testing.assert_array_equal(found, wanted)
    window = one.grid.window
    np.testing.assert_array_equal(
        one.source.read_observations(window), other.source.read_observations(window)
    )


def test_the_library_embeds_opens_and_converts_with_it(tmp_path, scene, model):
    for format in ("cog", "fake"):
        te.embed(scene, model, tmp_path / format, dim=DIM, format=format)
    cog, fake = te.open_embeddings(tmp_path / "cog"), te.open_embeddings(tmp_path / "fake")
    names = {path.name for path in fake.path.iterdir()}
    assert names == {"all.npz", "item.json", "quicklook.png", "truecolour.tif"}
    assert (fake.format, cog.format) == ("fake", "cog")
    assert (fake.stored_as, fake.dim, fake.grid) == ("int8", DIM, cog.grid)
    assert (cog.read_stored().values != CODE_NODATA).any()
    same(fake, cog)
    same(te.open_embeddings(convert(cog, tmp_path / "there", "fake")), cog)
    same(te.open_embeddings(convert(fake, tmp_path / "back", "npy")), cog)


def test_the_command_line_embeds_converts_shows_and_verifies_it(tmp_path, scene, run):
    options = ("--int8", "--dim", DIM, "-q")
    assert run("embed", scene, "-o", tmp_path / "fake", "--format", "fake", *options)[0] == 0
    assert run("convert", tmp_path / "fake", "-o", tmp_path / "cog", "--format", "cog", "-q")[0] == 0
    assert run("convert", tmp_path / "cog", "-o", tmp_path / "again", "--format", "fake", "-q")[0] == 0
    same(te.open_embeddings(tmp_path / "fake"), te.open_embeddings(tmp_path / "again"))
    code, out, _ = run("info", tmp_path / "again")
    assert code == 0
    assert "all.npz" in out


def test_its_own_rules_hold(tmp_path, scene, model, run):
    with pytest.raises(InputError, match="16 dimensions, these are 32"):
        te.embed(scene, model, tmp_path / "x", dim=32, format="fake")
    with pytest.raises(InputError, match=r"format=fake.*int8.*float32"):
        te.embed(scene, model, tmp_path / "x", dim=DIM, format="fake", stored_as="float32")
    with pytest.raises(InputError, match=r"append=True.*zarr and geotessera.*fake"):
        te.embed(scene, model, tmp_path / "x", dim=DIM, format="fake", append=True)
    assert not (tmp_path / "x").exists()
    code, _, err = run("embed", scene, "--format", "fakes", "-q")
    assert code == 2
    assert "cog, npy, zarr, geotessera, vq, fake" in err
    grid = Grid(1000, 1000)
    staged = needed_bytes(grid, DIM, "int8", "npy", colours=False)
    assert needed_bytes(grid, DIM, "int8", "fake", colours=False) == staged + 2 * 1_000_000 * (2 * DIM + 8)


def test_the_registry_describes_its_formats():
    assert list(FORMATS) == ["cog", "npy", "zarr", "geotessera", "vq", "fake"]
    assert appendable() == ["zarr", "geotessera"]
    assert described() == (
        "cog (GeoTIFFs), npy (the published layout), zarr, geotessera, vq (three bytes a pixel, with losses) or fake "
        "(one file)"
    )
    assert len({each.media_type for each in FORMATS.values()}) == len(FORMATS)
    with pytest.raises(InputError, match=r"jpg.*cog, npy"):
        format_named("jpg")


def test_help_lists_the_formats_without_loading_what_they_need():
    code = (
        "import sys; from tessera_engine.formats.registry import described; described();"
        "sys.exit(str({'numpy', 'rasterio', 'zarr'} & sys.modules.keys()) if {'numpy', 'rasterio', 'zarr'} & "
        "sys.modules.keys() else 0)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], check=False, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
