"""Fixtures of the tests that use a browser."""

from __future__ import annotations

import shutil

import pytest
from browsing import BROWSERS, DESKTOP, FLAGS, HEIGHT, WIDTH, Opened, viewing
from outputs import made_up_output
from staged import landscape


def pytest_collection_modifyitems(items):
    """Mark the tests that use the browser."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


@pytest.fixture(scope="module")
def browser():
    """Chromium, for the tests of one module: playwright's event loop must not outlive them."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright isn't installed")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser is installed: {', '.join(BROWSERS)}")
    with playwright.sync_playwright() as running:
        launched = running.chromium.launch(executable_path=found, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser):
    """Open an address: `open_page(address, size=DESKTOP, dark=False)`. At the end nothing must have gone wrong."""
    opened = []

    def call(address, size=DESKTOP, dark=False, state=None):
        width, height = size
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            storage_state=state,
            accept_downloads=True,
        )
        context.set_default_timeout(20_000)  # of a busy machine
        origin = "file:" if address.startswith("file:") else address.split("/?")[0]
        one = Opened(context.new_page(), origin)
        one.watch()
        opened.append(one)
        one.page.goto(address)
        return one

    yield call
    wrong = [one.wrong for one in opened if one.wrong]
    for one in opened:
        one.page.context.close()
    assert not wrong


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Two years of a place. The second differs from the first in a part of it."""
    folder = tmp_path_factory.mktemp("place")
    first = landscape(HEIGHT, WIDTH, dim=16)
    second = first.copy()
    second[200:240, 100:160] = first[100:140, 200:260]
    return [
        made_up_output(folder / f"field-{year}", embedding, year=year)
        for year, embedding in ((2023, first), (2024, second))
    ]


@pytest.fixture
def served(outputs):
    """The command with the first output. Labels of earlier tests are taken away."""
    for path in outputs[0].parent.glob("*.labels*"):
        path.unlink()
    with viewing(outputs[0]) as one:
        yield one
