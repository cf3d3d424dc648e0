"""The command `docs`: the pages that this installation has, with a browser or without one."""

from __future__ import annotations

import webbrowser

import pytest

from tessera_engine.kit import pages

SITE = pages.SITE


@pytest.fixture
def installation(tmp_path, monkeypatch):
    """A made-up installation, without pages; gives the places of a wheel's and of a checkout's."""
    package = tmp_path / "a place" / "engine" / "tessera_engine"
    monkeypatch.setattr(pages, "INSTALLED", package / "documentation")
    monkeypatch.setattr(pages, "_PACKAGE", package)
    return package / "documentation", package.parents[1] / SITE


@pytest.fixture
def opened(monkeypatch):
    """Addresses that a browser was asked to open, on a machine with a screen."""
    found = []
    monkeypatch.setattr(webbrowser, "open", lambda address: found.append(address) or True)
    monkeypatch.setenv("DISPLAY", ":0")
    return found


def make(folder):
    folder.mkdir(parents=True)
    (folder / "index.html").write_text("<title>pages</title>")
    return folder / "index.html"


@pytest.mark.parametrize("which", [0, 1], ids=["wheel", "checkout"])
def test_the_first_page_is_printed_and_opened(run, installation, opened, which):
    first = make(installation[which])
    code, out, err = run("docs")
    assert (code, out, err) == (0, f"{first}\n", "")
    assert opened == [first.as_uri()]
    assert "a%20place" in opened[0]


def test_the_pages_of_the_wheel_come_first(run, installation, opened):
    first = make(installation[0])
    make(installation[1])
    assert run("docs")[1] == f"{first}\n"


def test_no_browser_is_started_where_none_is_wanted(run, installation, opened):
    first = make(installation[0])
    code, out, _ = run("docs", "--no-browser")
    assert (code, out, opened) == (0, f"{first}\n", [])


@pytest.mark.skipif("sys.platform in ('win32', 'darwin')", reason="these always have a screen")
def test_without_a_screen_the_path_is_enough(run, installation, opened, monkeypatch):
    """Python would start a browser for terminals, which takes this one over."""
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    first = make(installation[0])
    code, out, err = run("docs")
    assert (code, out, opened) == (0, f"{first}\n", [])
    assert "browser" in err


def test_a_screen_without_a_browser_is_no_failure(run, installation, opened, monkeypatch):
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    first = make(installation[0])
    code, out, err = run("docs")
    assert (code, out) == (0, f"{first}\n")
    assert "browser" in err


def test_without_pages_it_says_where_they_come_from(run, installation, opened):
    code, out, err = run("docs")
    assert (code, out, opened) == (1, "", [])
    assert len(err.splitlines()) == 1
    for word in ("make docs", "kit", "wheel"):
        assert word in err


def test_an_argument_is_refused(run, installation):
    code, _, err = run("docs", "maps")
    assert code == 2
    assert "maps" in err
