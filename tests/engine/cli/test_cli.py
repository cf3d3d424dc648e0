"""The command line as its users meet it: outputs, mistakes, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import rasterio
from made_up import CRS, ORIGIN, made_up_arrays, write_tile
from places import ROOT
from rasterio import warp

from tessera_engine.simulate import simulate


@pytest.fixture
def scene(tmp_path):
    return write_tile(tmp_path / "scene", made_up_arrays(12, 10))


def test_embed_writes_everything_beside_the_caller(run, scene, tmp_path):
    code, out, err = run("embed", "scene", "--int8")
    assert code == 0
    assert out.strip() == "scene.embeddings"
    assert "not a published TESSERA model" in err
    assert "119 of 120 px embedded" in err
    folder = tmp_path / "scene.embeddings"
    assert {path.name for path in folder.iterdir()} == {
        "embeddings.tif", "embeddings.qml", "scales.tif", "observations.tif", "quality.tif", "truecolour.tif",
        "quicklook.png", "item.json",
    }  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scene", "scene.embeddings"]
    with rasterio.open(folder / "embeddings.tif") as embeddings:
        assert (embeddings.count, embeddings.dtypes[0], embeddings.nodata) == (128, "int8", -128)
        assert (embeddings.crs.to_string(), embeddings.transform) == (CRS, ORIGIN)
        codes = embeddings.read()
    with rasterio.open(folder / "scales.tif") as scales:
        scale = scales.read(1)
    assert (codes[:, 0, 0] == -128).all()
    assert np.isnan(scale[0, 0])
    assert (np.abs(codes.reshape(128, -1)[:, 1:]).max(axis=0) == 127).all()
    assert np.isfinite(scale.ravel()[1:]).all()
    item = json.loads((folder / "item.json").read_text())
    assert item["properties"]["tessera:model"] == "demo"
    assert item["properties"]["tessera:precision"] == "int8"


def test_int8_and_float32_outputs_are_the_same_embeddings(run, scene, tmp_path):
    assert run("embed", "scene", "-o", "a", "--quiet", "--precision", "fp32", "--store", "int8")[0] == 0
    assert run("embed", "scene", "-o", "b", "--quiet", "--format", "npy")[0] == 0
    with rasterio.open("a/embeddings.tif") as embeddings, rasterio.open("a/scales.tif") as scales:
        codes = embeddings.read().astype(np.float32)
        rebuilt = np.where(codes == -128, np.nan, codes * scales.read())
    full = np.load("b/scene.npy")
    assert full.shape == (12, 10, 128)
    assert np.isnan(full[0, 0]).all()
    half_step = np.abs(full[1:]).max(axis=2, keepdims=True) / 254
    assert (np.abs(rebuilt.transpose(1, 2, 0) - full)[1:] <= 1.001 * half_step).all()


def test_a_window_and_a_prefix(run, scene):
    assert run("embed", "scene", "-o", "whole", "--quiet", "--format", "npy")[0] == 0
    code, _, _ = run(
        "embed", "scene", "-o", "part", "-q", "--window", 2, 3, 5, 6, "--dim", 16, "--format", "npy"
    )
    assert code == 0
    whole, part = np.load("whole/scene.npy"), np.load("part/scene.npy")
    assert part.shape == (6, 5, 16)
    np.testing.assert_allclose(part, whole[3:9, 2:7, :16], atol=1e-5)


def test_a_bbox_is_the_pixels_that_it_touches(run, scene):
    from rasterio.warp import transform_bounds

    inside = (500_021, 5_599_921, 500_049, 5_599_949)  # pixels 2..4 across, 5..7 down
    west, south, east, north = transform_bounds(CRS, "EPSG:4326", *inside)
    assert run("embed", "scene", "-o", "part", "-q", "--bbox", west, south, east, north)[0] == 0
    with rasterio.open("part/embeddings.tif") as part:
        assert part.bounds.left <= inside[0]
        assert part.bounds.right >= inside[2]
        assert (part.width, part.height) in {(3, 3), (4, 4), (4, 3), (3, 4)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["embed", "nowhere"], "no such folder: nowhere"),
        (["embed", "empty"], "empty is an empty folder"),
        (
            ["embed", "scene", "--quicklook", "ndvi"],
            "--quicklook ndvi is unknown; choose one of pca, clusters, rgb",
        ),
        (["embed", "scene", "--model", "gigantic"], "unknown model 'gigantic'; models on this machine: demo"),
        (["embed", "scene", "--model", "x.onnx"], "no model file x.onnx"),
        (["embed", "scene", "--model", "student.pt"], "model import student.pt"),
        (["embed", "scene", "--model", "text.onnx"], "text.onnx is not an ONNX file"),
        (
            ["embed", "scene", "--dim", "17"],
            "--dim 17 is not a prefix of model demo; choose one of 16, 32, 64, 128",
        ),
        (["embed", "scene", "-o", "taken"], "not an output of tessera-engine"),
        (["embed", "scene", "-o", "taken", "--overwrite"], "not an output of tessera-engine"),
        (["embed", "scene", "--window", "8", "0", "5", "5"], "doesn't lie in the scene of 10 x 12"),
        (["embed", "scene", "--bbox", "5", "50", "4", "51"], "not west, south, east, north"),
        (["embed", "scene", "--bbox", "5", "40", "6", "41"], "lies beside the scene"),
        (["embed", "scene", "--memory", "lots"], "'lots' is not an amount of memory"),
        (
            ["embed", "scene", "--memory", "10MB"],
            "too little for demo (fp32) on this scene in --format cog: it needs at least",
        ),
        (["embed", "scene", "--device-memory", "lots"], "--device-memory 'lots' is not an amount of memory"),
        (["embed", "scene", "--device-memory", "4GB"], "--device-memory limits a GPU"),
        (["embed", "scene", "--backend", "abacus"], "--backend abacus"),
        (["embed", "scene", "--format", "jpeg"], "--format jpeg is unknown; choose one of"),
        (["embed", "scene", "--store", "int4"], "--store int4"),
        (["embed", "scene", "--precision", "fp8"], "--precision fp8"),
        (["embed", "scene", "--int8", "--precision", "fp32"], "contradict each other"),
        (["embed", "scene", "--threads", "9999"], "--threads 9999"),
        (["embed", "scene", "--window", "1"], "--window"),
        (["convert", "empty", "--format", "zarr"], "empty holds no embeddings"),
        (["similar", "empty", "--at", "4", "50"], "empty"),
        (["map", "empty", "--labels", "text.txt"], "holds no embeddings"),
        (["info", "nowhere"], "unknown model 'nowhere'"),
        (["info", "text.txt"], "neither a scene folder"),
        (["simulate", "scene"], "it is there already"),
        (["verify", "demo"], "fp32 itself; give --reference"),
        (["export", "text.txt", "-o", "m.onnx"], "text.txt"),
        (["model", "import", "nowhere.pt"], "nowhere.pt"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(run, scene, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken").mkdir()
    for name in ("text.txt", "text.onnx"):
        (tmp_path / name).write_text("no model\n")
    before = sorted(tmp_path.rglob("*"))
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert message in err
    if err.startswith("error"):
        assert err.splitlines()[-1].startswith("error: ")
        assert "Traceback" not in err
    assert sorted(tmp_path.rglob("*")) == before


def test_overwrite_replaces_an_earlier_output(run, scene, tmp_path):
    assert run("embed", "scene", "-q", "--dim", 16)[0] == 0
    mine = tmp_path / "scene.embeddings" / "notes.txt"
    mine.write_text("mine")
    code, _, err = run("embed", "scene", "-q", "--dim", 32, "--overwrite")
    assert (code, mine.read_text()) == (2, "mine")
    assert "'notes.txt'" in err
    assert "--out" in err
    mine.unlink()
    assert run("embed", "scene", "-q", "--dim", 32, "--overwrite")[0] == 0
    with rasterio.open("scene.embeddings/embeddings.tif") as embeddings:
        assert embeddings.count == 32
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scene", "scene.embeddings"]


def test_a_run_that_fails_at_the_end_keeps_what_is_finished(run, scene, tmp_path, monkeypatch):
    from tessera_engine.errors import TesseraError

    def fail(*arguments):
        raise TesseraError("the disk is on fire")

    with monkeypatch.context() as patch:
        patch.setattr("tessera_engine.running.run.write_quicklook", fail)
        code, out, err = run("embed", "scene", "-q")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == "error: the disk is on fire"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scene", "scene.embeddings.partial"]
    code, _, err = run("embed", "scene")
    assert code == 0
    assert "resuming an interrupted run: 120 px are finished" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scene", "scene.embeddings"]


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (
            OSError(28, "No space left on device", "staging/embeddings.npy"),
            "No space left on device (staging/embeddings.npy); free some space and give the same command again",
        ),
        (OSError(5, "Input/output error"), "Input/output error"),
        (MemoryError(), "out of memory; give a smaller --memory"),
    ],
)
def test_what_the_system_refuses_is_one_line_too(run, scene, tmp_path, monkeypatch, problem, message):
    def fail(*arguments):
        raise problem

    monkeypatch.setattr("tessera_engine.running.run.pipeline.run", fail)
    code, _, err = run("embed", "scene", "-q")
    assert code == 1
    *warnings, last = err.splitlines()
    assert last.startswith(f"error: {message}")
    assert all(line.startswith("warning: ") for line in warnings)
    # Nothing was finished, so there is nothing to keep
    assert [path.name for path in tmp_path.iterdir()] == ["scene"]


def test_what_is_found_is_told_and_kept_and_strict_refuses_it(run, tmp_path):
    simulate(tmp_path / "scene", 16, 3)
    (tmp_path / "scene" / "sar_descending.npy").unlink()
    (tmp_path / "scene" / "sar_descending_doy.npy").unlink()
    (tmp_path / "scene" / "roi.tiff").unlink()
    code, out, err = run("embed", "scene", "--strict")
    assert (code, out) == (2, "")
    assert "descending Sentinel-1 orbit [s1-orbit-missing, certain]" in err
    assert "roi.tiff is missing" in err
    assert len([line for line in err.splitlines() if line.startswith("error: ")]) == 1
    assert not (tmp_path / "scene.embeddings").exists()
    code, out, err = run("embed", "scene", "--json")
    assert code == 0
    assert "warning: roi.tiff is missing" in err
    assert "descending Sentinel-1 orbit [s1-orbit-missing, certain]" in err
    told = json.loads(out)["findings"]
    assert [finding["name"] for finding in told] == ["reader", "s1-orbit-missing"]
    item = json.loads((tmp_path / "scene.embeddings" / "item.json").read_text())
    assert item["properties"]["tessera:findings"] == told
    quiet = run("embed", "scene", "--quiet", "--overwrite")[2].splitlines()
    assert ["roi.tiff" in quiet[0], "s1-orbit-missing, certain" in quiet[1], len(quiet)] == [True, True, 2]


def test_a_good_scene_passes_strict(run, tmp_path):
    simulate(tmp_path / "scene", 16, 3)
    code, _, err = run("embed", "scene", "--strict")
    assert code == 0
    assert "warning" not in err


def test_info_tells_of_scenes_models_and_outputs(run, scene):
    code, out, _ = run("info", "scene", "--json")
    told = json.loads(out)
    assert (code, told["kind"], told["width"], told["height"]) == (0, "scene", 10, 12)
    assert (told["s2_dates"], told["crs"]) == (20, CRS)
    told = json.loads(run("info", "demo", "--json")[1])
    assert (told["kind"], told["name"], told["precision"]) == ("model", "demo", "fp32")
    assert run("embed", "scene", "-q")[0] == 0
    told = json.loads(run("info", "scene.embeddings", "--json")[1])
    assert (told["kind"], told["tessera:model"]) == ("output", "demo")
    for target in ("scene", "demo", "scene.embeddings"):
        code, out, _ = run("info", target)
        assert code == 0
        assert "kind" in out


def test_embeddings_become_maps_and_other_formats(run, scene, tmp_path):
    assert run("embed", "scene", "-q", "--int8")[0] == 0
    code, out, err = run("convert", "scene.embeddings", "--format", "zarr", "--year", 2018)
    assert (code, out.strip()) == (0, "scene.zarr")
    code, _, err = run("convert", "scene.embeddings", "--format", "geotessera")
    assert (code, "--year YEAR" in err) == (2, True)
    lon, lat = warp.transform(CRS, "EPSG:4326", *zip(ORIGIN @ (5.5, 6.5), ORIGIN @ (2.5, 9.5), strict=True))
    code, out, err = run("similar", "scene.zarr", "--at", lon[0], lat[0], "--at", lon[1], lat[1])
    assert (code, out.strip()) == (0, "scene.zarr.similar")
    assert "scene.zarr.similar" in err
    code, _, err = run("similar", "scene.zarr", "-o", "x", "--at", "-3.5,50")
    assert (code, "--at '-3.5,50' is not a longitude and a latitude" in err) == (2, True)
    code, _, err = run("similar", "scene.zarr", "--at", "-3.5", "50", "-o", "x", "--memory", "4GB")
    assert (code, "-3.5 50.0 (longitude, latitude) lies outside" in err) == (2, True)
    code, _, err = run("similar", "scene.zarr", "--at", lon[0], lat[0], "-o", "x", "--memory", "100MB")
    assert (code, "--memory 100MB is too little for a map of this size" in err) == (2, True)
    for words in (["--at", "3", "-o", "x"], ["-o", "x", "--at", "3"], ["--at", "3", "--at", "4", "50"]):
        code, _, err = run("similar", "scene.zarr", *words)
        assert (code, "write it like --at 4.021 50.804" in err) == (2, True), err
    labels = np.tile(np.repeat([1, 2], 5), (12, 1)).astype(np.uint8)
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "width": 10, "height": 12}
    with rasterio.open("labels.tif", "w", **profile, crs=CRS, transform=ORIGIN) as file:
        file.write(labels, 1)
    code, out, err = run("change", "scene.embeddings", "scene.zarr", "--top", 0.1)
    assert (code, out.strip()) == (0, "scene.scene.zarr.change")
    assert "the median pixel has 0.000" in err
    code, out, _ = run("change", "scene.embeddings", "scene.zarr", "-o", "c", "--json", "-q")
    assert json.loads(out)["out"] == "c"
    code, _, err = run(
        "convert", "scene.embeddings", "--format", "zarr", "--year", 2019, "-o", "scene.zarr", "--append"
    )
    assert code == 0, err
    code, out, err = run("change", "scene.zarr", "scene.zarr", "--years", 2018, 2019, "-o", "both")
    assert (code, out.strip()) == (0, "both"), err
    code, _, err = run("similar", "scene.zarr", "--at", lon[0], lat[0], "-o", "y")
    assert (code, "holds the years 2018, 2019; choose one of them with --year" in err) == (2, True)
    code, _, err = run("similar", "scene.zarr", "--at", lon[0], lat[0], "-o", "y", "--year", 2019)
    assert code == 0, err
    code, out, _ = run("info", "scene.zarr")
    assert "2 scenes of 2018, 2019" in out
    code, out, _ = run("verify", "scene.zarr")
    assert code == 0, out
    code, out, err = run("map", "scene.embeddings", "--labels", "labels.tif", "--method", "knn", "--json")
    told = json.loads(out)
    events = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert events[-1] == {"event": "progress", "done": 120, "total": 120}, err
    assert "see scene.map/report.html" in err
    assert (code, told["out"], told["labelled_pixels"]) == (0, "scene.map", 119)
    assert (tmp_path / "scene.map" / "map.png").exists()


def test_model_list_shows_the_demo(run):
    listed = json.loads(run("model", "list", "--json")[1])
    assert {("demo", "fp32"), ("demo", "int8")} <= {(m["name"], m["precision"]) for m in listed}


def test_json_result_can_be_read_by_programs(run, scene):
    code, out, _ = run("embed", "scene", "-q", "--json")
    told = json.loads(out)
    assert (code, told["out"], told["pixels"], told["with_data"]) == (0, "scene.embeddings", 120, 119)
    assert {"read", "pack", "network", "quantise", "write", "output"} <= set(told["seconds"])


NO_TORCH = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, Refuse())
sys.argv = ["tessera-engine", *sys.argv[1:]]
from tessera_engine.cli import main
main()
"""


def python(*arguments, **options):
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(str(ROOT / r) for r in ("engine", "export", "kernels"))
    }
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, env=environment, **options
    )


def test_help_and_embed_work_without_torch(scene, tmp_path):
    assert python("-c", NO_TORCH, "--help").returncode == 0
    done = python("-c", NO_TORCH, "embed", scene, "-o", tmp_path / "out", "--int8")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "embeddings.tif").exists()
    refused = python("-c", NO_TORCH, "export", "x.pt", "-o", "x.onnx")
    assert refused.returncode == 2
    assert "pip install '.[export]'" in refused.stderr


@pytest.mark.alone
def test_help_answers_in_half_a_second():
    python("-m", "tessera_engine", "--help")  # bytecode and disk cache
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        assert python("-m", "tessera_engine", "--help").returncode == 0
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5
