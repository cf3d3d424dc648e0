"""A program that speaks to the page's server, over real sockets: as a browser does, or as an attacker would."""

from __future__ import annotations

import http.client
import json
import socket
import time
from contextlib import suppress
from urllib.parse import urlsplit

import numpy as np

HOST = "127.0.0.1"


class Client:
    """Has the cookie, once it has entered."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.port, self.entrance, self.cookie = parts.port, f"{parts.path}?{parts.query}", None

    def ask(self, path, method="GET", body=None, cookie=True, **headers):
        """(status, headers, content)."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if cookie and self.cookie:
            sent["Cookie"] = self.cookie
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        try:
            content = json.dumps(body) if isinstance(body, (dict, list)) else body
            connection.request(method, path, content, sent)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def enter(self):
        status, headers, _ = self.ask(self.entrance)
        assert (status, headers["location"]) == (303, "/")
        self.cookie = headers["set-cookie"].split(";")[0]
        return self

    def get(self, path):
        """What a JSON route gives."""
        status, _, content = self.ask(path)
        assert status == 200, content
        return json.loads(content)

    def post(self, path, body, status=200):
        found, _, content = self.ask(path, "POST", body)
        assert found == status, content
        return json.loads(content)

    def tile(self, path, dtype, *shape):
        status, headers, content = self.ask(f"/api/tile/{path}")
        assert (status, headers["content-type"]) == (200, "application/octet-stream"), content
        return np.frombuffer(content, dtype).reshape(256, 256, *shape)

    def whole(self, layer, level, dtype, *shape, query=""):
        """A level, joined from its tiles."""
        across, down = -(-level["width"] // 256), -(-level["height"] // 256)
        rows = [
            np.concatenate(
                [self.tile(f"{layer}/{level['z']}/{x}/{y}{query}", dtype, *shape) for x in range(across)],
                axis=1,
            )
            for y in range(down)
        ]
        padded = np.concatenate(rows)
        inside = padded[: level["height"], : level["width"]]
        assert padded.sum(dtype=np.int64) == inside.sum(dtype=np.int64)  # zeros beyond the edge
        return inside

    def raw(self, request: bytes) -> bytes:
        """The answer to bytes that no HTTP library would send; the server has to close the connection."""
        parts = []
        with socket.create_connection((HOST, self.port), timeout=20) as connection, suppress(ConnectionError):
            with suppress(ConnectionError):  # it may stop reading before all is sent
                connection.sendall(request)
            while part := connection.recv(1 << 16):
                parts.append(part)
        return b"".join(parts)

    def listen(self):
        return Listener(self)


class Listener:
    """The stream of events."""

    def __init__(self, client: Client) -> None:
        self.connection = http.client.HTTPConnection(HOST, client.port, timeout=60)
        self.connection.request("GET", "/api/events", headers={"Cookie": client.cookie})
        self.stream = self.connection.getresponse()
        assert self.stream.headers["content-type"].startswith("text/event-stream")
        assert self.stream.readline() == b": here\n"
        self.heard = []

    def until(self, kind, job, seconds=60):
        """The next event of a kind about a job."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            line = self.stream.readline()
            assert line, f"the stream ended; heard: {self.heard}"
            if not line.startswith(b"data: "):
                continue
            event = json.loads(line.removeprefix(b"data: "))
            self.heard.append(event)
            if (event["kind"], event["job"]) == (kind, job):
                return event
        raise AssertionError(f"no {kind} of {job}; heard: {self.heard}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()
