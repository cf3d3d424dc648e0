"""Downloads from a local server that does everything a server shouldn't."""

from __future__ import annotations

import socket
import threading

import pytest
from model_server import (
    CONTENT,
    SHA256,
    another_part,
    changed,
    compressed,
    corrupt,
    cut_at_the_start,
    garbage,
    ignoring_ranges,
    longer,
    of_another_length,
    ranges,
    redirect,
    served,
    stalling,
    status,
    truncating,
    without_length,
)

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.model import download, published


@pytest.fixture
def server(monkeypatch):
    with served(monkeypatch) as running:
        yield running


def get(server, path):
    download.download(f"{server.address}/file", path, len(CONTENT), SHA256)


@pytest.mark.parametrize(
    ("acts", "asked"),
    [
        ([], [None]),
        ([without_length], [None]),
        ([redirect("/elsewhere")], [None, None]),
        ([redirect("/a", 301), redirect("/b", 307), redirect("/c", 303)], [None] * 4),
        ([truncating, truncating], [None, "bytes=300000-", "bytes=600000-"]),
        ([stalling], [None, "bytes=200000-"]),
        ([cut_at_the_start, status(500), status(503), truncating, status(500)], [None] * 4 + ["bytes=300000-"] * 2),
        ([status(429), garbage], [None] * 3),
        ([truncating, ignoring_ranges], [None, "bytes=300000-"]),
        ([truncating, another_part], [None, "bytes=300000-", "bytes=300000-"]),
        ([truncating, status(416)], [None, "bytes=300000-", None]),
        # The rest of another version: found by the sha256, begun anew
        ([truncating, changed], [None, "bytes=300000-", None]),
        ([truncating, redirect("/elsewhere")], [None, "bytes=300000-", "bytes=300000-"]),
    ],
)  # fmt: skip
def test_a_good_file_comes_in_the_end(server, tmp_path, acts, asked):
    server.acts = acts
    get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert ranges(server) == asked


@pytest.mark.parametrize(
    ("act", "message", "kept"),
    [
        (corrupt, SHA256[:12], 0),
        (longer, "sends more than the 1,000,000 bytes", 1_000_000),
        (of_another_length, "has 999999999999 bytes, the published one 1,000,000", 0),
        (compressed, "compressed", 0),
        (cut_at_the_start, "0 of 1,000,000 bytes", 0),
        (status(500), "answers 500; 0 of 1,000,000 bytes", 0),
        (status(404), "answers 404", 0),
        (status(401), "answers 401", 0),
        (garbage, "0 of 1,000,000 bytes", 0),
        (status(302), "answers 302", 0),
        (redirect("/loop"), "redirects more than 5 times", 0),
        (redirect("http://example.org/file"), "'http://example.org/file', which is not https", 0),
        (redirect("ftp://example.org/file"), "which is not https", 0),
        (redirect("file:///etc/passwd"), "redirects", 0),
    ],
)
def test_what_cannot_be_had_is_one_line_and_never_a_file(server, tmp_path, act, message, kept):
    server.acts = [act] * 20
    with pytest.raises(TesseraError) as error:
        get(server, tmp_path / "file")
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "file").exists()
    assert sum(path.stat().st_size for path in tmp_path.glob("*.partial")) <= kept


def test_endless_truncation_ends_and_the_next_call_goes_on(server, tmp_path):
    server.acts = [truncating] + [cut_at_the_start] * 4
    with pytest.raises(TesseraError, match=r"300,000 of 1,000,000 bytes"):
        get(server, tmp_path / "file")
    get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    _, headers = server.requests[-1]
    assert (headers["Range"], headers["If-Range"]) == ("bytes=300000-", '"one"')


def test_a_server_that_drips_is_given_up(server, tmp_path):
    def dripping(handler):
        handler.begin(200, Content_Length=str(len(CONTENT)))
        for i in range(100):
            try:
                handler.wfile.write(CONTENT[i : i + 1])
            except OSError:
                return
            threading.Event().wait(0.05)

    server.acts = [dripping] * 20
    with pytest.raises(TesseraError, match=f"{download.TIMEOUT:g} s"):
        get(server, tmp_path / "file")


def test_a_partial_file_of_something_else_is_begun_anew(server, tmp_path):
    for junk in (b"x" * 400_000, b"x" * len(CONTENT), b"x" * 2_000_000):
        (tmp_path / "file.partial").write_bytes(junk)
        get(server, tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == CONTENT
        (tmp_path / "file").unlink()


def test_a_full_disk_says_so(server, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download.os, "fsync", full)
    with pytest.raises(TesseraError, match=r"file\.partial: No space left on device"):
        get(server, tmp_path / "file")
    monkeypatch.undo()
    get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("url", ["ftp://host/x.pt", "file:///etc/passwd", "https://", "nano.pt"])
def test_other_addresses_are_refused(tmp_path, url):
    with pytest.raises(InputError, match=f"^{url} .*https://"):
        download.download(url, tmp_path / "file", 1, SHA256)


def test_no_one_at_home(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PAUSES", (0.01,))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(TesseraError, match="Connection refused"):
        download.download(f"http://127.0.0.1:{port}/x", tmp_path / "file", 1, SHA256)


def test_addresses_are_those_of_the_published_repositories():
    assert published.published("medium").url() == (
        "https://huggingface.co/geotessera/TESSERA-V-2.0-2B-M/resolve/"
        "41db8ee5ddfcf6867f965526c2097d70c3c55c31/ckpt/student_medium.pt"
    )
    for each in published.PUBLISHED.values():
        assert len(each.sha256) == 64
        assert len(each.revision) == 40
        assert published.published_name(each.sha256) == each.name
    assert published.published_name("0" * 64) is None
