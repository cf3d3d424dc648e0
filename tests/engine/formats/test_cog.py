"""The COG writer: every property that the output promises is asserted on the reopened file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
import rasterio
from made_up import CRS, ORIGIN
from rio_cogeo import cog_validate
from soak.faults import compile_faults
from staged import landscape, stage

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.files.staging import Staging
from tessera_engine.formats.cog.files import BLOCK
from tessera_engine.formats.layers import layers
from tessera_engine.formats.writing import write
from tessera_engine.scene import Grid

HEIGHT, WIDTH, DIM = 300, 530, 16


@pytest.fixture(scope="module", params=["int8", "float32"])
def written(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    staging = stage(folder / "staging", landscape(HEIGHT, WIDTH, DIM), request.param)
    # Each pixel's counts are its row and column, so that an overview tells which pixel it shows.
    staging.observations.write(staging.grid.window, np.moveaxis(np.indices((HEIGHT, WIDTH)), 0, 2))
    out = folder / "out"
    out.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assets = write("cog", staging, out, "Grünau 1")
    return staging, out, assets


def staged_arrays(staging):
    window = staging.grid.window
    arrays = {
        "embeddings": staging.embeddings.read(window),
        "observations": staging.observations.read(window),
    }
    if staging.scales is not None:
        arrays["scales"] = staging.scales.read(window)[..., None]
    return arrays


def read(path, **options):
    with rasterio.open(path, **options) as file:
        return np.moveaxis(file.read(), 0, 2)


def test_values_are_the_staged_ones_and_nothing_else_lies_there(written):
    staging, out, assets = written
    arrays = staged_arrays(staging)
    assert {path.name for path in out.iterdir()} == {*(f"{key}.tif" for key in arrays), "embeddings.qml"}
    rasters = [asset for asset in assets if asset.key in arrays]
    assert [asset.file_name for asset in rasters] == [f"{asset.key}.tif" for asset in rasters]
    assert {asset.key for asset in rasters} == arrays.keys()
    for key, array in arrays.items():
        found = read(out / f"{key}.tif")
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


def test_georeference_bands_nodata_and_tags(written):
    staging, out, assets = written
    int8 = staging.scales is not None
    expected = {
        "embeddings": ([f"embedding {k:03d}" for k in range(1, DIM + 1)], -128 if int8 else np.nan),
        "scales": (["scale"], np.nan),
        "observations": (["clear Sentinel-2 observations", "valid Sentinel-1 observations"], None),
    }
    for asset in assets:
        names, nodata = expected[asset.key]
        with rasterio.open(out / asset.file_name) as file:
            assert file.crs == CRS
            assert file.transform == ORIGIN
            assert list(file.descriptions) == names
            assert file.nodata == nodata or (np.isnan(file.nodata) and np.isnan(nodata))
            tags = file.tags()
            assert tags["TIFFTAG_DOCUMENTNAME"] == "Grünau 1"
            assert tags["TIFFTAG_IMAGEDESCRIPTION"] == asset.title
            if asset.key != "observations":
                assert ("embedding = code * scale" in tags["TESSERA_QUANTIZATION"]) == int8
                assert ("code -128" in tags["TESSERA_NODATA"]) == int8
        assert [band["name"] for band in asset.fields["bands"]] == names
        assert asset.fields["data_type"] == (
            "int8" if int8 and asset.key == "embeddings" else read(out / asset.file_name).dtype
        )
        assert asset.fields.get("nodata") == ("nan" if nodata is np.nan else nodata)


def test_layout_is_a_cog_of_small_tiles_band_by_band(written):
    _, out, assets = written
    for asset in assets:
        path = out / asset.file_name
        assert cog_validate(path, quiet=True) == (True, [], [])
        with rasterio.open(path) as file:
            assert set(file.block_shapes) == {(BLOCK, BLOCK)}
            assert file.compression.name == "zstd"
            if file.count > 1:
                assert file.interleaving.name == "band"
            assert file.overviews(1) == [2, 4]


@pytest.mark.parametrize(("level", "factor"), [(0, 2), (1, 4)])
def test_an_overview_pixel_is_one_pixel_in_every_layer(written, level, factor):
    staging, out, _ = written
    arrays = staged_arrays(staging)
    overview = {key: read(out / f"{key}.tif", OVERVIEW_LEVEL=level) for key in arrays}
    row, col = np.moveaxis(overview["observations"].astype(int), 2, 0)
    for key, array in arrays.items():
        np.testing.assert_array_equal(overview[key], array[row, col])
    ideal_row, ideal_col = factor * np.indices(row.shape)
    assert max(np.abs(row - ideal_row).max(), np.abs(col - ideal_col).max()) < factor


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 256), (257, 3)])
def test_small_and_odd_sizes(tmp_path, height, width):
    staging = stage(tmp_path / "staging", landscape(height, width))
    write("cog", staging, tmp_path, "small")
    for key, array in staged_arrays(staging).items():
        np.testing.assert_array_equal(read(tmp_path / f"{key}.tif"), array)
        assert cog_validate(tmp_path / f"{key}.tif", quiet=True) == (True, [], [])
        with rasterio.open(tmp_path / f"{key}.tif") as file:
            assert file.overviews(1) == ([2] if max(height, width) > BLOCK else [])


def test_a_scene_without_georeference_makes_no_noise(tmp_path):
    staging = stage(tmp_path / "staging", landscape(20, 30), grid=Grid(30, 20))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write("cog", staging, tmp_path, "nowhere")
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        file = rasterio.open(tmp_path / "scales.tif")
    with file:
        assert file.crs is None
        assert file.transform.is_identity
    assert sorted(path.name for path in tmp_path.glob("*.*")) == [
        "embeddings.qml",
        "embeddings.tif",
        "observations.tif",
        "scales.tif",
    ]


def test_an_unknown_format_is_named(tmp_path):
    staging = stage(tmp_path / "staging", landscape(2, 2))
    with pytest.raises(InputError, match=r"jpg.*cog, npy, zarr, geotessera, vq"):
        write("jpg", staging, tmp_path, "x")


def test_a_folder_that_is_gone_is_one_line(tmp_path):
    staging = stage(tmp_path / "staging", landscape(2, 2))
    with pytest.raises(TesseraError, match=r"can't write .*embeddings\.tif"):
        write("cog", staging, tmp_path / "gone", "x")


WRITE_IN_CHILD = """
import sys
from pathlib import Path
import numpy as np
from made_up import CRS, ORIGIN
from tessera_engine.scene import Grid
from tessera_engine.files.staging import RasterFile, Staging
from tessera_engine.formats.writing import write
folder, size, dim = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
def raster(name, *shape_and_dtype):
    return RasterFile(folder / "staging" / f"{name}.npy", *shape_and_dtype)
staging = Staging(
    Grid(size, size, CRS, ORIGIN),
    raster("embeddings", (size, size, dim), np.dtype("int8")),
    raster("scales", (size, size), np.dtype("float32")),
    raster("observations", (size, size, 2), np.dtype("uint16")),
)
"""

WITH_A_FULL_DISK = """
import resource
from tessera_engine.errors import TesseraError
import rasterio.shutil
copy, limit = rasterio.shutil.copy, int(sys.argv[5])
def limited(*arguments, **options):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    copy(*arguments, **options)
if sys.argv[4] == "copy":
    rasterio.shutil.copy = limited
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    write("cog", staging, folder / "out", "x")
except TesseraError as error:
    print(error)
"""

PEAK_MEMORY = """
write("cog", staging, folder / "out", "x")
# Not getrusage: a child's peak there begins with its parent's.
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""


def child_environment():
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def run_child(code, *arguments):
    child = subprocess.run(
        [sys.executable, "-c", WRITE_IN_CHILD + code, *map(str, arguments)],
        capture_output=True, text=True, env=child_environment(), check=True,
    )  # fmt: skip
    return child.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files")
def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path):
    size, dim = 300, 8
    staging = stage(tmp_path / "staging", landscape(size, size, dim))
    out = tmp_path / "out"
    out.mkdir()
    write("cog", staging, out, "x")
    whole = (out / "embeddings.tif").stat().st_size
    plain = 4 * BLOCK**2 * dim
    for step, limit in (
        ("plain", plain // 3),
        ("plain", plain + 100_000),  # in its overviews
        ("copy", whole // 2),
        ("copy", whole - 100),  # GDAL flushes the last bytes as it closes the file, and says nothing
    ):
        for path in out.iterdir():
            path.unlink()
        message = run_child(WITH_A_FULL_DISK, tmp_path, size, dim, step, limit)
        assert "can't write" in message, f"{step} said nothing at {limit} of {whole} bytes"
        assert "embeddings.tif" in message
        assert list(out.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_memory_does_not_grow_with_the_scene(tmp_path):
    part = stage(tmp_path / "part", landscape(256, 256, 128))
    peaks = []
    for size in (1024, 1536):
        folder = tmp_path / str(size)
        (folder / "staging").mkdir(parents=True)
        (folder / "out").mkdir()
        staging = Staging.create(folder / "staging", Grid(size, size), 128, "int8")
        for window in staging.grid.window.blocks(256, 256):
            for layer, source in zip(layers(staging), layers(part), strict=True):
                layer.raster.write(window, source.raster.read(part.grid.window))
        peaks.append(1024 * int(run_child(PEAK_MEMORY, folder, size, 128)))
    # The codes grow by 168 MB.
    assert peaks[1] - peaks[0] < 30e6
    assert max(peaks) < 250e6


FAILING = """
import ctypes, errno, sys
import numpy as np, rasterio
from pathlib import Path
from tessera_engine.errors import TesseraError
from tessera_engine.formats.cog.files import GeoTiff, Part, few_bands, write_cog
from tessera_engine.scene import Grid
library, folder, nth = ctypes.CDLL(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
grid = Grid(300, 300, "EPSG:32631", rasterio.Affine(10, 0, 5e5, 0, -10, 5.6e6))
values = np.random.default_rng(0).random((300, 300)).astype(np.float32)
about = GeoTiff(grid, "float32", ("x",), float("nan"), {"made": "here"})
library.fail(1, errno.EIO, nth, 0, str(folder).encode())
try:
    write_cog(folder / "a.tif", about, [Part(grid.window, (1,), values[None])], few_bands(classes=False))
except TesseraError:
    assert not list(folder.iterdir())
    print("refused")
else:
    library.fail(0, 0, 0, 0, b"/nowhere")
    with rasterio.open(folder / "a.tif") as file:
        assert np.array_equal(file.read(1), values)
        assert (file.crs, file.transform, file.descriptions) == (grid.crs, grid.transform, ("x",))
        assert np.isnan(file.nodata) and file.tags()["made"] == "here"
    print("whole")
"""


@pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="preloads a library made by cc"
)
def test_a_write_that_fails_is_an_error_or_changes_nothing(tmp_path):
    library, said = compile_faults(tmp_path), []
    for nth in (1, 2, 3, 5, 8, 9, 12, 20, 2000):
        folder = tmp_path / str(nth)
        folder.mkdir()
        command = [sys.executable, "-c", FAILING, str(library), str(folder), str(nth)]
        environment = {**os.environ, "LD_PRELOAD": str(library)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        said.append(done.stdout.strip())
    assert said[-1] == "whole"  # no file takes so many writes
    assert said.count("refused") >= 5
