"""`model fetch` against a local server that does everything a server shouldn't."""

from __future__ import annotations

import hashlib
import shutil
import socket
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from tessera_engine import cli
from tessera_engine.errors import InputError, ModelError, TesseraError
from tessera_engine.files.user_folders import HOME_VARIABLE
from tessera_engine.model import download, installed, published

CONTENT = np.random.default_rng(0).bytes(1_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Answers the n-th request with the n-th of its acts, and all further ones properly."""

    daemon_threads = True

    def __init__(self, content=CONTENT):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.acts, self.requests = content, [], []
        self.address = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        number = len(self.server.requests)
        self.server.requests.append((self.path, dict(self.headers)))
        act = self.server.acts[number] if number < len(self.server.acts) else proper
        act(self)

    def begin(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, *_):
        pass


def start_of(handler):
    wanted = handler.headers.get("Range")
    tag = handler.headers.get("If-Range")
    return int(wanted[len("bytes=") : -1]) if wanted and tag in (None, '"one"') else 0


def proper(handler, content=None, tag='"one"', until=None, stall=0.0):
    content = handler.server.content if content is None else content
    start = start_of(handler)
    headers = {"Content_Length": str(len(content) - start), "ETag": tag}
    if start:
        handler.begin(206, **headers, Content_Range=f"bytes {start}-{len(content) - 1}/{len(content)}")
    else:
        handler.begin(200, **headers)
    handler.wfile.write(content[start:until])
    handler.wfile.flush()
    if stall:
        threading.Event().wait(stall)


def truncating(handler):
    """Another 300,000 bytes, then nothing."""
    proper(handler, until=start_of(handler) + 300_000)


def cut_at_the_start(handler):
    handler.connection.shutdown(socket.SHUT_RDWR)


def stalling(handler):
    proper(handler, until=start_of(handler) + 200_000, stall=1.0)


def corrupt(handler):
    damaged = bytearray(CONTENT)
    damaged[500_000] ^= 1
    proper(handler, bytes(damaged))


def changed(handler):
    """The rest of another version, though If-Range asked for the first."""
    proper(handler, bytes(len(CONTENT)), tag='"two"')


def longer(handler):
    handler.begin(200)  # no length
    handler.wfile.write(CONTENT + b"more")


def without_length(handler):
    handler.begin(200)
    handler.wfile.write(CONTENT)


def of_another_length(handler):
    handler.begin(200, Content_Length="999999999999")


def ignoring_ranges(handler):
    handler.begin(200, Content_Length=str(len(CONTENT)))
    handler.wfile.write(CONTENT)


def another_part(handler):
    start = start_of(handler) + 7
    handler.begin(206, Content_Range=f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
    handler.wfile.write(CONTENT[start:])


def compressed(handler):
    handler.begin(200, Content_Encoding="gzip")


def garbage(handler):
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


def status(code, **headers):
    return lambda handler: handler.begin(code, **headers)


def redirect(target, code=302):
    return lambda handler: handler.begin(code, Location=target, Content_Length="0")


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "PAUSES", (0.01, 0.01, 0.01))
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    running = Server()
    yield running
    running.shutdown()
    running.server_close()


def get(server, path):
    download.download(f"{server.address}/file", path, len(CONTENT), SHA256)


def ranges(server):
    return [headers.get("Range") for _, headers in server.requests]


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


@pytest.fixture
def nano(monkeypatch, tmp_path, request):
    """A made-up checkpoint in the place of the published nano, and an empty home."""
    import conformance

    file = conformance.checkpoint("tiny")
    content = file.read_bytes()
    entry = replace(
        published.PUBLISHED["nano"], bytes=len(content), sha256=hashlib.sha256(content).hexdigest()
    )
    monkeypatch.setitem(published.PUBLISHED, "nano", entry)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    return file


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["tessera-engine", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    return call


def test_fetch_makes_models_that_embed_finds(server, nano, run, tmp_path):
    server.content = nano.read_bytes()
    server.acts = [lambda handler: proper(handler, until=20_000)]
    code, out, _ = run("model", "fetch", "nano", "--from", server.address, "-q")
    assert code == 0
    models = tmp_path / "home" / "models"
    assert out.split() == [str(models / "nano.fp32.onnx"), str(models / "nano.int8.onnx")]
    assert server.requests[0][0] == f"/{'/'.join(published.PUBLISHED['nano'].url().split('/')[3:])}"
    assert ranges(server) == [None, "bytes=20000-"]
    opened = installed.open_model("nano", "int8")
    assert opened.facts.card == "Published TESSERA v2 student nano, CC0."
    # A second time, nothing is fetched again
    code, _, err = run("model", "fetch", "nano", "--from", server.address, "-q")
    assert code == 2
    assert "is there already; add --overwrite" in err
    kept = published.obtain(published.published("nano"), server.address)
    assert kept.read_bytes() == nano.read_bytes()
    assert len(server.requests) == 2
    # A flipped bit in a weight is a model like any other, but for its sha256
    content = bytearray((models / "nano.fp32.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (models / "nano.fp32.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"nano.fp32.onnx .* sha256 .* overwrite=True"):
        installed.open_model("nano")
    installed.checksum_file(models / "nano.fp32.onnx").write_text("")
    with pytest.raises(ModelError, match=r"nano.fp32.onnx.sha256 has nothing"):
        installed.open_model("nano")


def test_fetch_from_a_stick(nano, run, tmp_path):
    stick = tmp_path / "stick"
    stick.mkdir()
    code, _, err = run("model", "fetch", "nano", "--from", stick, "-q")
    assert (code, "no file" in err) == (2, True)
    shutil.copy(nano, stick / "student_nano.pt")
    assert run("model", "fetch", "nano", "--from", stick, "-q")[0] == 0
    entry = published.published("nano")
    assert published.obtain(entry, str(stick / "student_nano.pt")) == stick / "student_nano.pt"
    damaged = bytearray(nano.read_bytes())
    damaged[5000] ^= 1
    (stick / "student_nano.pt").write_bytes(damaged)
    code, _, err = run("model", "fetch", "nano", "--from", stick, "-q", "--overwrite")
    assert code == 2
    assert "is not the published checkpoint nano" in err


def test_fetch_of_an_unknown_name_says_which_there_are(run):
    code, _, err = run("model", "fetch", "giant")
    assert code == 2
    assert "'giant'" in err
    assert "nano, small, medium, large" in err
    code, _, err = run("model", "fetch", "Nano")
    assert (code, "did you mean 'nano'?" in err) == (2, True)


def test_every_packaged_model_has_its_checksum():
    for path in installed.packaged_folder().glob("*.onnx"):
        assert installed.checksum_file(path).is_file()
