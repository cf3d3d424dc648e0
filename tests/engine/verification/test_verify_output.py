"""`verify OUTPUT` passes an output as it was written, and names the first difference."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys

import numpy as np
import pytest
import rasterio
from made_up import ORIGIN, made_up_arrays, write_tile
from outputs import made_up_output
from staged import landscape

from tessera_engine import cli
from tessera_engine.errors import CheckFailed, InputError
from tessera_engine.files.output import ITEM
from tessera_engine.stac.items import item_sha256
from tessera_engine.stac.reading import read_item
from tessera_engine.verification.output import check_nodata, open_rasters
from tessera_engine.verification.verify import verify as check

KINDS = {
    "int8": ["--int8"],
    "float32": ["--window", "1", "2", "20", "18"],
    "npy": ["--int8", "--format", "npy", "--dim", "16"],
    "npy float32": ["--format", "npy", "--backend", "onnxruntime", "--dim", "16"],
}


def call(*arguments):
    """Exit code of a command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["tessera-engine", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
    return end.value.code or 0


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A scene, and an output of each kind."""
    folder = tmp_path_factory.mktemp("made")
    scene = write_tile(folder / "scene", made_up_arrays(24, 22))
    for kind, options in KINDS.items():
        assert call("embed", scene, "-q", "-o", folder / kind, *options) == 0
    return folder


@pytest.fixture
def verify(capsys):
    """Run `verify`: exit code, stdout, stderr."""

    def run(*arguments):
        code = call("verify", *arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def output(made, tmp_path):
    """A copy of an output that may be damaged."""
    return lambda kind: shutil.copytree(made / kind, tmp_path / "output")


def restate(folder, change=None):
    """Change the item, and set its checksums to those of the files, to hide a change."""
    item = json.loads((folder / ITEM).read_text())
    for asset in item["assets"].values():
        content = (folder / asset["href"]).read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        asset |= {
            "file:size": len(content),
            "file:checksum": f"1220{sha256}",
            "tessera:sha256": sha256,
        }
    if change:
        change(item)
    item["properties"]["tessera:item_sha256"] = item_sha256(item)
    (folder / ITEM).write_text(json.dumps(item))


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_written_passes(made, verify, kind):
    code, out, _ = verify(made / kind, "--json")
    found = json.loads(out)
    assert (code, found["passed"]) == (0, True)
    assert any("--scene" in skipped for skipped in found["not checked"])
    code, out, _ = verify(made / kind, "--scene", made / "scene", "--pixels", 600, "--json")
    found = json.loads(out)
    assert code == 0
    assert not any("--scene" in skipped for skipped in found["not checked"])
    exact = kind != "npy float32"
    assert (found["compared"] == "bit for bit, equal") == exact
    if not exact:
        assert found["max_difference"] < 1e-5


@pytest.mark.parametrize(
    ("pixels", "share"),
    [(256, "256 of 528 px, 48.5 %"), (527, None), (528, "528 of 528 px, all"), (10**9, "528 of 528 px, all")],
)
def test_it_is_said_how_much_was_read(made, verify, pixels, share):
    code, out, _ = verify(made / "npy", "--scene", made / "scene", "--pixels", pixels, "--json")
    found = json.loads(out)
    assert code == 0
    if share is None:  # two places, which overlap
        assert 256 < int(found["embedded again"].split()[0]) < 512
    else:
        assert found["embedded again"].startswith(share)
    assert ("random" in found["embedded again"]) == (pixels < 528)
    sizes = [path.stat().st_size for path in (made / "scene").iterdir()]
    percent = 100 * sum(min(size, 64 * 4096) for size in sizes) / sum(sizes)
    assert f" {percent:.1f} % " in found["scene"] or (percent == 100 and " all " in found["scene"])


def test_one_pixel_is_found_where_all_is_embedded_again(output, verify, made):
    folder = output("npy")
    path = folder / "scene.npy"
    codes = np.load(path)
    codes[23, 21, 15] ^= 1
    np.save(path, codes)
    restate(folder, lambda item: None)
    code, _, err = verify(folder, "--scene", made / "scene", "--pixels", 528)
    assert code == 1
    assert "col 21, row 23, band 16" in err


def test_another_backend_is_compared_by_drift(made, verify):
    for kind in ("int8", "float32"):
        code, out, _ = verify(
            made / kind, "--scene", made / "scene", "--backend", "onnxruntime", "--pixels", 300, "--json"
        )
        found = json.loads(out)
        assert code == 0
        assert "onnxruntime" in found["compared"]
        assert found["centred_mean"] > 0.99


def test_an_output_of_a_gpu_is_accepted_within_the_drift_of_float16(output, verify, made):
    """On a machine that has no GPU, and so another backend."""
    folder = output("npy float32")
    path = folder / "scene.npy"
    values = np.load(path)
    noise = np.random.default_rng(0).uniform(-1e-3, 1e-3, values.shape).astype(values.dtype)
    np.save(path, values + noise)
    restate(folder)
    code, _, err = verify(folder, "--scene", made / "scene", "--pixels", 100)
    assert (code, "drift from a re-embedding" in err) == (1, True)

    def on_gpu(item):
        item["properties"] |= {"tessera:backend": "cuda", "tessera:instruction_set": "float16, NVIDIA X"}

    restate(folder, on_gpu)
    code, _, err = verify(folder, "--scene", made / "scene", "--pixels", 100)
    assert (code, "cuda, which is not available here" in err) == (0, True)
    np.save(path, values + 300 * noise)
    restate(folder)
    assert verify(folder, "--scene", made / "scene", "--pixels", 100)[0] == 1


@pytest.mark.parametrize("kind", ["int8", "npy"])
def test_every_flipped_bit_is_found(output, verify, kind):
    folder = output(kind)
    rng = np.random.default_rng(0)
    for path in sorted(folder.iterdir()):
        if path.name == ITEM or path.suffix == ".qml":
            continue
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        code, out, err = verify(folder)
        assert (code, out) == (1, "")
        assert f"{path.name} is changed (sha256" in err
        assert len(err.splitlines()) == 1
        path.write_bytes(whole)
    assert verify(folder)[0] == 0


def test_what_qgis_writes_beside_a_raster_is_no_change(output, verify):
    folder = output("int8")
    (folder / "embeddings.qml").write_text("a style that its user saved")
    (folder / "scales.tif.aux.xml").write_text("<PAMDataset/>")
    assert verify(folder)[0] == 0


def test_missing_and_extra_and_shortened_files_are_named(output, verify):
    folder = output("int8")
    (folder / "scales.tif").unlink()
    (folder / "notes.txt").write_text("mine")
    (folder / "notes.qml").write_text("mine")
    (folder / "sub").mkdir()
    (folder / "sub" / "x.tif").write_text("mine")
    with (folder / "quicklook.png").open("r+b") as file:
        file.truncate(100)
    code, _, err = verify(folder)
    assert code == 1
    for said in (
        "scales.tif is missing",
        "notes.txt is extra",
        "notes.qml is extra",
        "sub/x.tif is extra",
        "quicklook.png is changed (100",
    ):
        assert said in err
    assert len(err.splitlines()) == 1


def test_a_store_that_is_missing_is_named(made, verify, tmp_path):
    folder = tmp_path / "stores"
    assert call("convert", made / "int8", "--format", "zarr", "--year", "2021", "-q", "-o", folder) == 0
    assert verify(folder)[0] == 0
    shutil.rmtree(folder / "embeddings.zarr")
    code, _, err = verify(folder)
    assert (code, len(err.splitlines())) == (1, 1)
    assert "embeddings.zarr" in err


def test_a_link_is_no_file_of_the_output(output, verify, tmp_path):
    folder = output("int8")
    shutil.move(folder / "scales.tif", tmp_path / "elsewhere.tif")
    (folder / "scales.tif").symlink_to(tmp_path / "elsewhere.tif")
    assert "scales.tif is not" in verify(folder)[2]


def test_values_that_were_changed_with_their_checksums_are_found(output, verify, made):
    folder = output("int8")
    with rasterio.open(folder / "embeddings.tif", "r+") as file:
        codes = file.read()
        codes[5, 1:] = np.where(codes[5, 1:] == 0, 1, -codes[5, 1:])
        file.write(codes)
    restate(folder)
    assert verify(folder)[0] == 0  # nothing in the folder contradicts it
    code, _, err = verify(folder, "--scene", made / "scene")
    assert code == 1
    assert "embeddings.tif differs from a re-embedding at col" in err
    assert "band 6: stored" in err
    code, _, err = verify(folder, "--scene", made / "scene", "--backend", "onnxruntime")
    assert code == 1
    assert "drift from a re-embedding" in err


def test_one_observation_less_is_found(output, verify, made):
    folder = output("npy")
    path = next(folder.glob("*_observations.npy"))
    counts = np.load(path)
    counts[3:, :, 0] += 1
    np.save(path, counts)
    restate(folder)
    for backend in ("auto", "onnxruntime"):
        code, _, err = verify(folder, "--scene", made / "scene", "--backend", backend)
        assert code == 1
        assert "scene_observations.npy differs from a re-embedding at col" in err


def test_rasters_that_disagree_are_found(output, verify):
    folder = output("int8")
    with rasterio.open(folder / "scales.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
        scales = file.read(1)
        scales[4, 7] = np.nan
        file.write(scales, 1)
    restate(folder)
    code, _, err = verify(folder)
    assert code == 1
    assert "disagree about whether pixel (col 7, row 4) has data" in err


def test_the_pixel_that_is_named_is_counted_from_the_corner_of_the_output(tmp_path):
    folder = made_up_output(tmp_path / "wide", landscape(3, 600, 16), "npy", "float32")
    item = read_item(folder)
    rasters = open_rasters(folder, item)
    check_nodata(rasters, item)
    path = rasters["observations"].path
    counts = np.load(path)
    counts[2, 555] = 0
    np.save(path, counts)
    with pytest.raises(CheckFailed, match=r"pixel \(col 555, row 2\) has data"):
        check_nodata(rasters, item)


def set_property(name, value):
    return lambda item: item["properties"].update({name: value})


def set_asset(key, name, value):
    return lambda item: item["assets"][key].update({name: value})


def forget_scales(item):
    del item["assets"]["scales"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (set_property("tessera:pixels_with_data", 5), "item.json has 5"),
        (set_property("tessera:dim", 64), "expected (24, 22, 64)"),
        (set_property("tessera:store", "float32"), "has dtype int8, expected float32"),
        (set_property("tessera:store", "int4"), "'tessera:store' is 'int4'"),
        (set_property("tessera:store", []), "'tessera:store' is []"),
        (set_property("tessera:precision", "fp8"), "'tessera:precision' is"),
        (set_property("proj:shape", [24, 23]), "'tessera:pixels' is 528"),
        (set_property("proj:shape", [22, 24]), "has shape (24, 22, 128)"),
        (set_property("proj:shape", "x"), "'proj:shape' is 'x'"),
        (set_property("proj:code", "EPSG:32632"), "has the CRS EPSG:32631, item.json EPSG:32632"),
        (set_property("proj:code", "EPSG:x"), "EPSG:x"),
        (set_property("proj:transform", [20, 0, 0, 0, -20, 0]), "has the transform"),
        (set_property("tessera:model_sha256", "abc"), "'tessera:model_sha256' is 'abc'"),
        (set_asset("embeddings", "nodata", -127), "has nodata in the item -127, expected -128"),
        (set_asset("embeddings", "data_type", "uint8"), "has data_type in the item uint8"),
        (set_asset("scales", "bands", []), "has number of bands in the item 0, expected 1"),
        (set_asset("scales", "href", "../scales.tif"), "asset 'scales' lacks a file in the folder"),
        (set_asset("scales", "href", "/etc/passwd"), "asset 'scales' lacks"),
        (set_asset("scales", "href", "./item.json"), "asset 'scales' lacks"),
        (set_asset("scales", "href", "embeddings.tif"), "twice"),
        (set_asset("scales", "file:checksum", "1220"), "asset 'scales' lacks"),
        (forget_scales, "scales.tif is extra"),
    ],
)  # fmt: skip
def test_an_item_that_says_something_else_is_found(output, verify, change, said):
    folder = output("int8")
    restate(folder, change)
    code, out, err = verify(folder)
    assert (code, out) == (1, "")
    assert said in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", "[" * 100_000, '{"type": "Feature"}', "\0", "NaN"]
)
def test_a_damaged_item_is_one_line(tmp_path, content):
    (tmp_path / ITEM).write_text(content)
    with pytest.raises(CheckFailed) as error:
        read_item(tmp_path)
    assert len(str(error.value).splitlines()) == 1


def test_a_folder_without_item_is_no_output(tmp_path, verify):
    with pytest.raises(InputError, match="is no output"):
        read_item(tmp_path)
    assert verify(tmp_path)[0] == 2


def test_another_scene_and_another_model_are_refused(made, verify, tmp_path):
    other = write_tile(tmp_path / "scene", made_up_arrays(24, 22, seed=1))
    code, _, err = verify(made / "int8", "--scene", other)
    assert code == 1
    assert "another scene" in err
    code, _, err = verify(
        made / "float32", "--scene", made / "scene", "--model", "demo", "--precision", "int8"
    )
    assert code == 2
    assert "are for models" in err
    folder = shutil.copytree(made / "int8", tmp_path / "output")
    restate(folder, set_property("tessera:model_sha256", "0" * 64))
    code, _, err = verify(folder, "--scene", made / "scene")
    assert code == 1
    assert "the output was made with demo 000000000000" in err
    restate(folder, set_property("tessera:model", "gone"))
    code, _, err = verify(folder, "--scene", made / "scene")
    assert code == 2
    assert "as --model" in err


def test_a_moved_output_is_refused(output, verify, made):
    folder = output("float32")
    moved = ORIGIN @ ORIGIN.translation(40, 0)
    for path in folder.glob("*.tif"):
        with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
            file.transform = moved
    restate(folder, set_property("proj:transform", list(moved)[:6]))
    assert verify(folder)[0] == 0
    assert "not part of the scene's grid" in verify(folder, "--scene", made / "scene")[2]


def test_a_scene_without_place_is_verified_whole(tmp_path, verify):
    scene = write_tile(tmp_path / "scene", made_up_arrays(), transform=None)
    assert call("embed", scene, "-q", "-o", tmp_path / "whole", "--int8") == 0
    assert verify(tmp_path / "whole", "--scene", scene)[0] == 0
    assert call("embed", scene, "-q", "-o", tmp_path / "part", "--int8", "--window", 1, 1, 3, 3) == 0
    code, _, err = verify(tmp_path / "part", "--scene", scene)
    assert code == 2
    assert "no CRS" in err


def test_python_gives_what_the_command_prints(made, verify):
    done = check(made / "npy", made / "scene", pixels=300)
    code, out, _ = verify(made / "npy", "--scene", made / "scene", "--pixels", 300, "--json")
    assert (code, json.loads(out)) == (0, done.to_dict())
    assert len(repr(done)) < 200
    for arguments, facts in (
        ({"scene": 7}, "scene=7"),
        ({"pixels": "all"}, "pixels='all'"),
        ({"model": 3}, "model=3"),
    ):
        with pytest.raises(InputError, match=facts):
            check(made / "npy", **arguments)
