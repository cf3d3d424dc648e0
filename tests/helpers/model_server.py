"""A local server of files that does everything a server shouldn't, for tests of downloads."""

from __future__ import annotations

import hashlib
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from tessera_engine.model import download

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


def ranges(server):
    return [headers.get("Range") for _, headers in server.requests]


@contextmanager
def served(monkeypatch):
    """A server, to which this process connects without proxies, soon gives up, and soon tries again."""
    monkeypatch.setattr(download, "PAUSES", (0.01, 0.01, 0.01))
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    running = Server()
    yield running
    running.shutdown()
    running.server_close()
