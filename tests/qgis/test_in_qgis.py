"""The plugin in a QGIS without a screen. Skipped where there is none: on Debian, `apt install qgis python3-qgis`."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rasterio
from outputs import made_up_output

from tessera_engine.simulate import simulate


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """Embeddings without a model, in a folder with a space and an accent."""
    numbers = np.random.default_rng(0).normal(size=(24, 24, 16)).astype(np.float32)
    return made_up_output(tmp_path_factory.mktemp("très long") / "a.embeddings", numbers, stored_as="float32")


def middle(folder):
    with rasterio.open(folder / "embeddings.tif") as opened:
        x, y = opened.xy(12, 12)
        return f"{x},{y} [{opened.crs}]"


def test_an_algorithm_runs_by_its_name(qgis_process, output, tmp_path):
    made = tmp_path / "out"
    code, values, said = qgis_process(
        "similar", EMBEDDINGS=output / "embeddings.tif", POINT=middle(output), OUT=made
    )
    assert code == 0, said
    similarity = Path(values["SIMILARITY"])
    assert similarity == made / "a.similar" / "similarity.tif"
    with rasterio.open(similarity) as opened:
        assert opened.read(1)[12, 12] == pytest.approx(1)
    code, _, said = qgis_process("similar", FOLDER=output, POINT="0,0 [EPSG:4326]", OUT=tmp_path / "far")
    assert code != 0
    assert "Traceback" not in said
    (line,) = {line for line in said.splitlines() if line.startswith("ERROR:")}
    assert "0.0" in line or "(0" in line


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lände reien") / "scène a"
    simulate(folder, 32)
    return folder


@pytest.fixture(scope="module")
def labels(scene):
    """Ten points of each of the most frequent classes, with the name of the cover."""
    features = []
    with rasterio.open(scene / "cover.tif") as opened:
        cover, crs, transform = opened.read(1), opened.crs, opened.transform
    from rasterio.warp import transform as to_degrees

    values, counts = np.unique(cover[cover > 0], return_counts=True)
    for value in values[np.argsort(counts)[-3:]]:
        rows, columns = np.nonzero(cover == value)
        for row, column in list(zip(rows, columns, strict=True))[:: max(1, len(rows) // 10)]:
            x, y = transform @ (column + 0.5, row + 0.5)
            (lon,), (lat,) = to_degrees(crs, "EPSG:4326", [x], [y])
            geometry = {"type": "Point", "coordinates": [lon, lat]}
            features.append(
                {"type": "Feature", "geometry": geometry, "properties": {"class": f"kind {value}"}}
            )
    path = scene.parent / "labels.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.mark.slow
def test_from_a_scene_to_areas(in_qgis, program, scene, labels, tmp_path):
    simulate(tmp_path / "scène b", 32, year=1)
    made = in_qgis("chain", scene, tmp_path / "scène b", labels, tmp_path)
    assert "exists already" in made["again"]["error"]
    assert "'Replace an earlier result'" in made["again"]["error"]
    assert all(0 <= percent <= 100 for percent in made["progress"])
    assert [kind for kind, _ in made["said"]].count("command") == 1
    # Codes above 127 are negative ones without their sign
    assert ("without their sign" in json.dumps(made["said"])) == made["without sign"]
    embedded = made["embed"]["layers"]["scène a.embeddings: embeddings"]
    assert (embedded["bands"], embedded["renderer"], embedded["valid"]) == (128, "multibandcolor", True)
    for step, layer, renderer in (
        ("similar", "scène a.similar: similarity", "singlebandpseudocolor"),
        ("map", "scène a.map: map", "paletted"),
        ("map", "scène a.map: confidence", "singlebandpseudocolor"),
        ("map", "scène a.map: probabilities", "singlebandpseudocolor"),
        ("apply", "scène b.map: map", "paletted"),
        ("change", "scène a.scène b.change: change", "singlebandpseudocolor"),
        ("transitions", "scène a.scène b.change: transitions", "paletted"),
    ):
        assert made[step]["layers"][layer]["renderer"] == renderer, (step, made[step])
    classes = made["map"]["layers"]["scène a.map: map"]["classes"]
    assert all(name.startswith("kind ") for _, name, _ in classes)
    assert [each[1:] for each in made["apply"]["layers"]["scène b.map: map"]["classes"]] == [
        each[1:] for each in classes
    ]
    features = json.loads(labels.read_text())["features"]
    assert made["sample"]["ROWS"] == len(features)
    assert Path(made["suggest"]["OUT"]).is_file()
    assert Path(made["map"]["REPORT"]).is_file()
    assert made["area"]["ACCURACY"] == 1  # the points were given the map's own classes
    assert Path(made["area"]["REPORT"]).is_file()

    # What a user sees who opens the files by themselves
    subprocess.run(
        [program, "picture", "scène a.embeddings", "-o", "pca.tif", "--quicklook", "pca"],
        cwd=tmp_path,
        check=True,
    )
    files = {
        "scène a.embeddings/embeddings.tif": "multibandcolor",
        "scène a.embeddings/truecolour.tif": "multibandcolor",
        "pca.tif": "multibandcolor",
        "scène a.map/map.tif": "paletted",
        "scène a.map/applicability.tif": "paletted",
        "scène a.map/confidence.tif": "singlebandpseudocolor",
        "scène a.map/probabilities.tif": "singlebandpseudocolor",
        "scène a.map/dissimilarity.tif": "singlebandpseudocolor",
        "scène a.similar/similarity.tif": "singlebandpseudocolor",
        "scène a.scène b.change/change.tif": "singlebandpseudocolor",
        "areas/scène a.scène b.change/transitions.tif": "paletted",
    }
    opened = in_qgis("styles", *(tmp_path / file for file in files))
    assert {file: opened[str(tmp_path / file)]["renderer"] for file in files} == files
    assert opened[str(tmp_path / "scène a.map/map.tif")]["classes"] == classes
    names = opened[str(tmp_path / "scène a.map/probabilities.tif")]["names"]
    assert [name.partition(": ")[2] for name in names] == [name for _, name, _ in classes]
    drawn = in_qgis("draw", tmp_path / "drawn.png", tmp_path / "scène a.map/map.tif")
    assert set(drawn) <= {colour for *_, colour in classes}
    assert len(drawn) > 1


@pytest.mark.slow
def test_layers_are_taken_as_qgis_shows_them(in_qgis, scene, labels, output, tmp_path):
    import geopandas

    points = geopandas.read_file(labels)
    with rasterio.open(output / "embeddings.tif") as opened:
        # The made-up output lies elsewhere
        places = [opened.xy(row, row) for row in range(len(points))]
        points = points.set_geometry(
            geopandas.points_from_xy(*zip(*places, strict=True)), crs=opened.crs
        ).to_crs(4326)
    points.loc[:1, "class"] = "water"
    points.to_file(tmp_path / "labels.gpkg", layer="labels")
    for name, count in (("first", 3), ("second", 5)):
        points[:count].to_file(tmp_path / "two.gpkg", layer=name)
    mixed = points[:4].to_crs(3857)
    mixed.loc[2:, "geometry"] = mixed.geometry[2:].buffer(10)
    mixed.to_crs(4326).to_file(tmp_path / "mixed.geojson")
    made = in_qgis("shapes", output, tmp_path / "labels.gpkg", tmp_path)
    rows, (command,) = made["file"]
    assert rows == len(points)
    assert str(tmp_path / "labels.gpkg") in command  # not a copy
    assert made["memory"][0] == 3
    assert made["all of a selection"] == len(points)
    assert made["selected"] == 2
    assert made["filtered"] == made["water"] == 2
    assert "not saved" in made["edited"]
    assert made["points of a mixed file"] == 2
    assert made["two layers"][0] == 5
    assert "SIMILARITY" in made["several points"]


@pytest.mark.slow
def test_parameters_of_qgis_become_options(in_qgis, scene, labels, tmp_path):
    simulate(tmp_path / "scène b", 32, year=1)
    made = in_qgis("options", scene, tmp_path / "scène b", labels, tmp_path)
    with rasterio.open(made["extent"]["EMBEDDED"]) as opened:
        # The box in degrees is a little larger than the one in UTM
        assert 16 <= opened.width <= 18
        assert (opened.count, opened.height) == (16, 32)
    with rasterio.open(made["shapes"]["EMBEDDED"]) as opened:
        assert opened.dtypes[0] == "float32"
        assert np.isfinite(opened.read(1)).sum() == 2
    assert len([name for name in made["raster"]["layers"] if name.endswith(": map")]) == 2
    assert Path(made["raster"]["MAP"]).is_file()
    features = json.loads(labels.read_text())["features"]
    for ending in ("csv", "geojson", "parquet"):
        assert made[ending].get("ROWS") == len(features), made[ending]
        assert (tmp_path / f"table.{ending}").is_file()


@pytest.mark.slow
def test_mistakes_are_one_line(in_qgis, scene, output, tmp_path):
    made = in_qgis("mistakes", output, scene, tmp_path)
    for name, found in made.items():
        assert set(found) == {"error"}, name
        assert "\n" not in found["error"].strip(), name
        assert "Traceback" not in found["error"], name
    assert "nothing-like-it" in made["no model"]["error"]
    assert "cover.tif" in made["no output"]["error"]
    assert ".gpkg" in made["no file"]["error"]


@pytest.mark.slow
def test_a_cancelled_run_ends_and_is_resumed(in_qgis, tmp_path):
    simulate(tmp_path / "big", 160)
    made = in_qgis("cancel", tmp_path / "big", tmp_path / "out", "1GB")
    assert made["made"].get("EMBEDDED") is None
    assert 20 <= max(made["progress"]) < 100
    assert any(text.startswith("interrupted") for _, text in made["said"])
    assert made["left"] == ["big.embeddings.partial"]
    assert Path(made["again"]["EMBEDDED"]).is_file()


def test_a_missing_program_is_said_with_what_to_do(qgis_process, profile, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(profile["HOME"], home, symlinks=True)
    for settings in home.rglob("QGIS3.ini"):
        settings.write_text("[PythonPlugins]\ntessera_qgis=true\n")
    code, _, said = qgis_process("embed", {**profile, "HOME": str(home)}, SCENE=tmp_path, OUT=tmp_path)
    assert code != 0
    assert "Settings > Options > Processing" in said
