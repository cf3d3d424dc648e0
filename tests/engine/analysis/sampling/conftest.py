"""An output, and points on it."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from outputs import made_up_output
from sampled import EMBEDDING, HEIGHT, WIDTH, at, write


@pytest.fixture(scope="session")
def output(tmp_path_factory):
    return made_up_output(tmp_path_factory.mktemp("outputs") / "field", EMBEDDING, year=2024)


@pytest.fixture
def points(tmp_path):
    """Twenty points, the last three beside the output or without a shape, one more on a pixel without data."""
    rng = np.random.default_rng(5)
    cols, lines = rng.uniform(15, WIDTH, 20), rng.uniform(10, HEIGHT, 20)
    shapes = [shapely.Point(at(*place)) for place in zip(cols, lines, strict=True)]
    shapes[16], shapes[17], shapes[18] = (
        shapely.Point(at(1, 1)),
        shapely.Point(at(-3, 5)),
        shapely.Point(at(9e4, 5)),
    )
    shapes[19] = None
    return write(tmp_path / "points.gpkg", shapes, id=range(20), crop=list("abcde") * 4)
