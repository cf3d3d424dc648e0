"""A server of a page, over real sockets, with a cache of its own."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from page_client import Client


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """The user's folders, empty."""
    folder = tmp_path / "home"
    monkeypatch.setenv("TESSERA_ENGINE_HOME", str(folder))
    return folder


@pytest.fixture
def serving():
    """Serve outputs: a context with the server and a client that has entered."""
    pytest.importorskip("uvicorn")
    from tessera_engine import open_embeddings
    from tessera_engine.view.segments import read_segments
    from tessera_engine.view.server import Server

    @contextmanager
    def serve(*outputs, enter=True, segments=None):
        opened = [open_embeddings(output) for output in outputs]
        server = Server(opened, segments and read_segments(segments, opened[0].grid))
        server.start()
        try:
            client = Client(server.address)
            yield server, client.enter() if enter else client
        finally:
            server.close()

    return serve
