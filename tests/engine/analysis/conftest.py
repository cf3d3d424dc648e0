"""Fixtures that several tests of this room share."""

from __future__ import annotations

import pytest
from classified import write_map


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    return write_map(tmp_path_factory.mktemp("map") / "crops.tif")
