"""The server of the page: on this machine only, until Ctrl-C."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence

import uvicorn

from tessera_engine.errors import TesseraError
from tessera_engine.formats.embeddings.base import Embeddings
from tessera_engine.view.guard import Guard, Keys
from tessera_engine.view.routes import application
from tessera_engine.view.segments import Segments
from tessera_engine.view.session import Session

HOST = "127.0.0.1"
"""The only address that is listened at. There is no option for another: who can connect could read everything."""

MOST_CONNECTIONS = 64
"""At a time; a browser makes six."""

HEADER_BYTES = 32_768
"""Of a request's headers."""

END_SECONDS = 5.0
"""Seconds in which jobs must end when the server does."""


class Server:
    """A page's server, in threads of its own.

    Attributes:
        address: to open in a browser; it works once.
        port: a free one.
        session: what is behind it.
    """

    def __init__(self, opened: Sequence[Embeddings], segments: Segments | None = None) -> None:
        """Listen at a free port.

        Args:
            opened: one output, or two to compare.
            segments: outlines over the first one.

        Raises:
            TesseraError: this machine gives none.
        """
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            self._socket.bind((HOST, 0))
            self._socket.listen()  # a browser that comes early waits
        except OSError as error:
            self._socket.close()
            raise TesseraError(
                f"can't listen at {HOST}: {error.strerror}; is the loopback interface up?"
            ) from None
        self.port = int(self._socket.getsockname()[1])
        self.session = Session(opened, segments)
        keys = Keys(self.port)
        self.address = f"http://{HOST}:{self.port}/?token={keys.token}"
        config = uvicorn.Config(
            Guard(application(self.session, keys), self.port, keys),
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # nobody stands between, and anybody could claim so
            limit_concurrency=MOST_CONNECTIONS,
            h11_max_incomplete_event_size=HEADER_BYTES,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="tessera-view", daemon=True)

    def start(self) -> None:
        """Serve from now on."""
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait for a while; whether the server has ended by itself, which it never should."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def close(self) -> list[str]:
        """End all work, and the server; gives the names of the jobs that were cut short."""
        cut_short = self.session.close(END_SECONDS)
        self._server.should_exit = True
        self._thread.join(END_SECONDS)
        self._socket.close()
        return cut_short

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])
