"""Points drawn from a map, checked, and read again: what `sample-design` writes and `area` makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyogrio
import pystac
import pytest
import rasterio
import shapely
from classified import MAP, NAMES, NODATA, TRUTH, WIDTH, places_of, write_map
from made_up import CRS, ORIGIN
from pyogrio.raw import write as write_shapes

import tessera_engine as te
from tessera_engine.analysis.class_map import open_class_map
from tessera_engine.errors import InputError
from tessera_engine.formats.cog.styles import StyledClass, style_classes

HECTARES = 0.01


def check_points(path, truth, out, change=lambda labels: labels, **columns):
    """Fill in what is found on the ground, as a user does."""
    col, row, known = places_of(path)
    labels = change([NAMES[each] for each in truth[row, col].tolist()])
    shapes = shapely.points(*(ORIGIN @ np.stack([col + 0.5, row + 0.5])))
    fields = {
        "id": known["id"],
        "stratum": known["stratum"],
        "stratum_pixels": known["stratum_pixels"],
    } | columns
    fields = {name: np.array(values) for name, values in fields.items() if values is not None}
    write_points(out, shapes, {**fields, "reference": np.array(labels, object)})
    return out


def write_points(path, shapes, fields, crs=CRS):
    write_shapes(
        path,
        shapely.to_wkb(shapes),
        list(fields.values()),
        list(fields),
        driver="GPKG",
        geometry_type="Point",
        crs=crs,
    )
    return path


def test_areas_from_all_pixels_are_the_truth(mapped, tmp_path):
    te.sample_design(mapped, tmp_path / "points.csv", per_class=10_000)
    check_points(tmp_path / "points.csv", TRUTH, tmp_path / "checked.gpkg")
    found = te.area(mapped, tmp_path / "checked.gpkg")
    there = MAP != NODATA
    assert [each.name for each in found.classes] == list(NAMES.values())
    for each, value in zip(found.classes, NAMES, strict=True):
        right, on_map, in_fact = (
            (of & there).sum() for of in ((value == MAP) & (value == TRUTH), value == MAP, value == TRUTH)
        )
        assert each.mapped == pytest.approx(on_map * HECTARES)
        assert each.hectares == pytest.approx((in_fact * HECTARES, 0, *[in_fact * HECTARES] * 2, there.sum()))
        assert each.users.value == pytest.approx(right / on_map)
        assert each.producers.value == pytest.approx(right / in_fact)
    assert found.overall.value == pytest.approx((MAP == TRUTH)[there].mean())
    assert found.facts["strata"] == "classes of the map"
    assert found.notes == ()


@pytest.fixture
def checked(mapped, tmp_path):
    te.sample_design(mapped, tmp_path / "points.csv", per_class=40)
    return check_points(tmp_path / "points.csv", TRUTH, tmp_path / "checked.gpkg")


def test_the_report_is_a_folder_of_results(mapped, checked, run):
    code, out, messages = run("area", mapped, "--reference", checked, "-o", "report")
    assert code == 0
    assert out.splitlines()[0] == "report"
    assert "95 %" in messages
    numbers = json.loads(Path("report/report.json").read_text())
    assert numbers["points_used"] == 120
    assert sum(each["hectares"]["value"] for each in numbers["classes"]) == pytest.approx(
        (MAP != NODATA).sum() * HECTARES
    )
    forest = numbers["classes"][0]
    assert forest["hectares"]["low"] < forest["hectares"]["value"] < forest["hectares"]["high"]
    assert np.array(numbers["points"]).sum() == 120
    assert np.array(numbers["proportions"]).sum() == pytest.approx(1)
    item = pystac.Item.from_file("report/item.json")
    assert item.properties["tessera:result"] == "area"
    assert run("verify", "report")[0] == 0
    for name in ("report.md", "report.html"):
        text = Path(f"report/{name}").read_text()
        assert f"{forest['hectares']['value']:,.2f}" in text
        assert f"{forest['hectares']['low']:,.2f} to {forest['hectares']['high']:,.2f}" in text
    assert run("area", mapped, "--reference", checked, "-o", "report")[0] == 2
    assert run("area", mapped, "--reference", checked, "-o", "report", "--overwrite")[0] == 0


def test_a_report_never_replaces_what_it_is_made_from(checked, tmp_path):
    folder = tmp_path / "crops.map"
    folder.mkdir()
    write_map(folder / "map.tif")
    (folder / "item.json").write_text(json.dumps({"properties": {"tessera:result": "map"}}))
    for out in (folder, tmp_path):
        with pytest.raises(InputError, match=r"map\.tif"):
            te.area(folder, checked, out=out, overwrite=True)
        with pytest.raises(InputError, match=r"map\.tif"):
            te.from_to(folder, write_map(tmp_path / "later.tif"), out, overwrite=True)
    assert (folder / "map.tif").exists()


def test_json_is_what_the_report_has(mapped, checked, run):
    code, out, _ = run("area", mapped, "--reference", checked, "--json")
    assert code == 0
    assert json.loads(out) == te.area(mapped, checked).to_dict()


def test_points_without_strata_are_a_sample_of_each_class(mapped, checked, tmp_path):
    plain = check_points(
        tmp_path / "points.csv", TRUTH, tmp_path / "plain.gpkg", stratum=None, stratum_pixels=None
    )
    with_strata, without = te.area(mapped, checked), te.area(mapped, plain)
    assert without.classes == with_strata.classes
    assert "stratum_pixels" in without.notes[0]


def test_codes_are_labels_too(mapped, checked, tmp_path):
    codes = {name: str(value) for value, name in NAMES.items()}
    coded = check_points(
        tmp_path / "points.csv",
        TRUTH,
        tmp_path / "codes.gpkg",
        lambda labels: [codes[each] for each in labels],
    )
    capitals = check_points(
        tmp_path / "points.csv",
        TRUTH,
        tmp_path / "capitals.gpkg",
        lambda labels: [f" {each.title()} " for each in labels],
    )
    assert (
        te.area(mapped, coded).classes
        == te.area(mapped, capitals).classes
        == te.area(mapped, checked).classes
    )


def test_strata_of_another_map(mapped, checked, tmp_path):
    # Drawn from the map of last year, used for another one: the areas are the same, because the points are
    generator = np.random.default_rng(9)
    other = np.where(generator.random(MAP.shape) < 0.5, TRUTH, 2).astype(np.uint8)
    other[:3] = NODATA
    found = te.area(write_map(tmp_path / "other.tif", other), checked)
    assert found.facts["strata"] == "those of the points"
    for one, two in zip(found.classes, te.area(mapped, checked).classes, strict=True):
        assert one.hectares == pytest.approx(two.hectares)
        assert one.mapped != two.mapped


def test_a_class_without_points_is_left_out_and_said(mapped, checked, tmp_path):
    few = check_points(
        tmp_path / "points.csv", TRUTH, tmp_path / "few.gpkg",
        lambda labels: [None if on_map == 7 else label for label, on_map in zip(labels, MAP[places_of(tmp_path / "points.csv")[1::-1]], strict=True)],
    )  # fmt: skip
    found = te.area(mapped, few)
    share = 100 * (MAP == 7).sum() / (MAP != NODATA).sum()
    assert f"{share:.3g} %" in " ".join(found.notes)
    assert "40 of 120" in " ".join(found.notes)
    assert list(found.facts["strata_without_estimate"].values()) == [(MAP == 7).sum()]
    assert found.facts["hectares"] == pytest.approx(((MAP == 1) | (MAP == 2)).sum() * HECTARES)
    assert found.classes[2].users is None


def place(*pixels):
    return shapely.points(*(ORIGIN @ (np.array(pixels, float).T + 0.5)))


def test_points_beside_the_map_and_without_a_class_are_counted(mapped, tmp_path):
    rows, cols = np.nonzero(MAP == 1)
    inside = np.stack([cols[:4], rows[:4]], axis=1)
    rows, cols = np.nonzero(MAP == 2)
    inside = np.concatenate([inside, np.stack([cols[:4], rows[:4]], axis=1)])
    shapes = place(*inside, (-5, 10), (WIDTH + 3, 10), (500, 500), (10, 1), (11, 0))
    write_points(tmp_path / "p.gpkg", shapes, {"reference": np.array(["forest"] * len(shapes), object)})
    found = te.area(mapped, tmp_path / "p.gpkg")
    assert found.facts["points_used"] == 8
    (note,) = [note for note in found.notes if "left out" in note]
    assert "3 beside the map" in note
    assert "2 on pixels without a class" in note
    write_points(tmp_path / "far.gpkg", place((500, 500)), {"reference": np.array(["forest"], object)})
    with pytest.raises(InputError, match=r"none of the 1 points"):
        te.area(mapped, tmp_path / "far.gpkg")


def test_a_pixel_counts_once(mapped, checked, tmp_path):
    table = pyogrio.raw.read(checked)
    fields = dict(zip(table[0]["fields"], table[3], strict=True))
    shapes = shapely.from_wkb(table[2])
    twice = {name: np.concatenate([values, values[:5]]) for name, values in fields.items()}
    write_points(tmp_path / "twice.gpkg", np.concatenate([shapes, shapes[:5]]), twice)
    found = te.area(mapped, tmp_path / "twice.gpkg")
    assert found.classes == te.area(mapped, checked).classes
    assert "5 points" in " ".join(found.notes)
    twice["reference"][-1] = "bog" if twice["reference"][4] != "bog" else "maize"
    write_points(tmp_path / "unequal.gpkg", np.concatenate([shapes, shapes[:5]]), twice)
    with pytest.raises(InputError, match=r"'bog'|'maize'.*rows 5 and 125"):
        te.area(mapped, tmp_path / "unequal.gpkg")
    same_ids = {**fields, "id": np.where(fields["id"] == 2, 1, fields["id"])}
    write_points(tmp_path / "ids.gpkg", shapes, same_ids)
    found = te.area(mapped, tmp_path / "ids.gpkg")
    assert found.facts["points_used"] == 120
    assert "same id (1)" in " ".join(found.notes)


def test_a_label_that_is_no_class_is_named(mapped, tmp_path):
    te.sample_design(mapped, tmp_path / "points.csv", per_class=40)
    typo = check_points(
        tmp_path / "points.csv",
        TRUTH,
        tmp_path / "typo.gpkg",
        lambda labels: ["maise", "village", *labels[2:]],
    )
    found = te.area(mapped, typo)
    assert [each.name for each in found.classes] == [*NAMES.values(), "maise", "village"]
    (note,) = found.notes
    assert "'maise' (1 point; did you mean maize?)" in note
    assert "'village' (1 point)" in note


def test_few_points_give_no_accuracy(mapped, tmp_path):
    te.sample_design(mapped, tmp_path / "points.csv", per_class=4)
    few = check_points(tmp_path / "points.csv", TRUTH, tmp_path / "few.gpkg")
    for each in te.area(mapped, few).to_dict()["classes"]:
        assert each["users_accuracy"] == {"known": False, "points": 4}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"crs": "EPSG:4326", "at": rasterio.Affine(1e-4, 0, 5, 0, -1e-4, 51)}, ["degrees", "UTM"]),
        (
            {"crs": "EPSG:3857", "at": rasterio.Affine(10, 0, 556_000, 0, -10, 6_600_000)},
            ["EPSG:3857", "100 m2", "UTM"],
        ),
        ({"crs": None}, ["no CRS"]),
        ({"values": MAP.astype(np.float32) + 0.5, "nodata": None}, ["whole numbers"]),
        ({"values": np.full((5, 5), NODATA, np.uint8)}, ["no pixel"]),
        ({"values": np.arange(300, dtype=np.uint16).reshape(15, 20)}, ["254"]),
    ],
    ids=["degrees", "web Mercator", "no CRS", "numbers", "empty", "many values"],
)
def test_maps_that_have_no_areas_are_refused(checked, tmp_path, change, words):
    wrong = write_map(tmp_path / "wrong.tif", **change)
    for make in (
        lambda: te.area(wrong, checked),
        lambda: te.sample_design(wrong, tmp_path / "x.csv", per_class=9),
    ):
        with pytest.raises(InputError) as error:
            make()
        assert all(word in str(error.value) for word in words), error.value


def test_a_damaged_item_beside_a_map_does_no_harm(checked, tmp_path):
    folder = tmp_path / "odd.map"
    folder.mkdir()
    write_map(folder / "map.tif")
    odd = {
        "tessera:result": "map",
        "tessera:dim": "x",
        "tessera:year": [],
        "start_datetime": 3,
        "tessera:model": {},
    }
    (folder / "item.json").write_text(json.dumps({"properties": odd}))
    found = te.area(folder, checked, out=tmp_path / "out")
    item = pystac.Item.from_file(str(tmp_path / "out" / "item.json"))
    assert item.properties["tessera:embeddings"] == "odd.map"
    assert found.facts["map"] == "odd.map"


def test_what_cannot_be_used_is_refused_in_one_line(mapped, checked, tmp_path, run):
    def refused(*words, command="area", reference=checked, of=mapped):
        more = ("--reference", reference) if command == "area" else ("-o", "x.csv")
        code, out, messages = run(command, of, *more, *words)
        assert (code, out) == (2, "")
        assert messages.count("\n") == 1, messages
        return messages

    assert "reference, stratum" in refused("--field", "referenc").replace(
        "stratum_pixels, reference", "reference, stratum"
    )
    assert "no such file" in refused(of=tmp_path / "none.tif")
    assert "per-class" in refused(command="sample-design")
    assert "forst" in refused(
        "--standard-error", "0.01", "--expected-accuracy", "forst=0.8", command="sample-design"
    )
    assert "0.8x" in refused(
        "--standard-error", "0.01", "--expected-accuracy", "0.8x", command="sample-design"
    )
    empty = check_points(
        tmp_path / "points.csv", TRUTH, tmp_path / "none.gpkg", lambda labels: [None] * len(labels)
    )
    assert "no value" in refused(reference=empty)
    boxes = tmp_path / "boxes.gpkg"
    write_shapes(
        boxes, shapely.to_wkb(shapely.buffer(place((5, 5)), 10)), [np.array(["maize"], object)], ["reference"],
        driver="GPKG", geometry_type="Polygon", crs=CRS,
    )  # fmt: skip
    assert "no points" in refused(reference=boxes)


LIST = "".join(f"<Category>{NAMES.get(value, '')}</Category>" for value in range(8))
BOMB = '<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]>'


@pytest.mark.parametrize(
    ("beside", "named"),
    [
        (f"<PAMDataset><PAMRasterBand band='1'><CategoryNames>{LIST}</CategoryNames></PAMRasterBand></PAMDataset>", True),
        ("a table", True),
        (f"<PAMDataset><PAMRasterBand band='2'><CategoryNames>{LIST}</CategoryNames></PAMRasterBand></PAMDataset>", False),
        (f"{BOMB}<PAMDataset><PAMRasterBand band='1'><CategoryNames>{LIST}&c;</CategoryNames></PAMRasterBand></PAMDataset>", False),
        ("<PAMDataset><PAMRasterBand band='1'>", False),
    ],
)  # fmt: skip
def test_names_that_gdal_keeps_beside_a_map_are_read(tmp_path, beside, named):
    path = write_map(tmp_path / "crops.tif", names={})
    if beside == "a table":
        style_classes(path, {value: StyledClass(name, (1, 2, 3), 9) for value, name in NAMES.items()})
    else:
        (tmp_path / "crops.tif.aux.xml").write_text(beside)
    assert open_class_map("map", path).names == (NAMES if named else {value: str(value) for value in NAMES})
    # What a file says itself comes first
    names = {**NAMES, 7: "mire"}
    assert open_class_map("map", write_map(path, names=names)).names == names
