"""Who may ask what: the checks that every request passes before a route sees it.

Any page that is open in a browser can send requests to this machine, any program on it can connect, and any name can be
made to point to 127.0.0.1. So a request is answered only if it names this server by its own address (DNS rebinding),
comes from this server's own page (Origin, Sec-Fetch-Site), and has the cookie that was given for the one-time token.
"""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, PlainTextResponse, Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BODY = 1_000_000
"""Bytes of a request's body."""

MOST_LABELS = 20_000_000
"""Bytes of labels, as the page sends them or in a file."""

LABELS = ("/api/labels", "/api/labels/import")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "font-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: nothing from elsewhere, nothing inline, in no other page's frame."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

NO_COOKIE = (
    "This page needs the address that tessera-engine printed, and that works once: start the command again for a new "
    "one."
)


class Refused(Exception):
    """A request that isn't answered: the HTTP status, and why in one line."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


class Keys:
    """The one-time token, and the cookie that is given for it.

    Attributes:
        token: 256 random bits.
        cookie: the cookie's name. It has the port in it: browsers send cookies to every port of a host.
    """

    def __init__(self, port: int) -> None:
        self.token = secrets.token_urlsafe(32)
        self.cookie = f"tessera-view-{port}"
        self._value = secrets.token_urlsafe(32)
        self._used = False
        self._lock = threading.Lock()

    def exchange(self, token: str) -> str | None:
        """The `Set-Cookie` header for the token, the first time; None for another token, or the second time."""
        with self._lock:
            if self._used or not secrets.compare_digest(token.encode(), self.token.encode()):
                return None
            self._used = True
        return f"{self.cookie}={self._value}; HttpOnly; SameSite=Strict; Path=/"

    def fits(self, headers: Headers) -> bool:
        """Whether a request has the cookie."""
        given = cookie_parser(headers.get("cookie", "")).get(self.cookie, "")
        return secrets.compare_digest(given.encode(), self._value.encode())


class Guard:
    """The application behind the checks."""

    def __init__(self, app: ASGIApp, port: int, keys: Keys) -> None:
        self._app, self._keys = app, keys
        self._hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        self._origins = tuple(f"http://{host}" for host in self._hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_headers(send)
        try:
            self._check(scope)
            await self._app(scope, _limited(scope, receive), send)
        except Refused as refused:
            await refusal(scope, refused)(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if len(headers.getlist("host")) != 1 or headers["host"].lower() not in self._hosts:
            raise Refused(
                403, "the request is for another host name; open the address that the command printed"
            )
        if any(origin not in self._origins for origin in headers.getlist("origin")):
            raise Refused(403, "the request comes from another page")
        if any(site not in ("same-origin", "none") for site in headers.getlist("sec-fetch-site")):
            raise Refused(403, "the request comes from another page")
        if scope["method"] not in ("GET", "HEAD", "POST"):
            raise Refused(405, f"the method {scope['method'][:20]} is not served; use GET or POST")
        entrance = scope["path"] == "/" and b"token=" in scope["query_string"]
        if not entrance and not self._keys.fits(headers):
            raise Refused(403, NO_COOKIE)


def _most(scope: Scope) -> int:
    return MOST_LABELS if scope["path"] in LABELS else MOST_BODY


def _limited(scope: Scope, receive: Receive) -> Receive:
    """`receive`, with the body's size checked: as it is declared, and as it comes.

    Raises:
        Refused: at once where a larger body is declared.
    """
    most = _most(scope)
    too_large = Refused(413, f"the body is larger than {most / 1e6:g} MB")
    declared = Headers(scope=scope).get("content-length", "0")
    if not declared.isdecimal() or int(declared) > most:
        raise too_large
    received = 0

    async def limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > most:
            raise too_large
        return message

    return limited


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return sending


def refusal(scope: Scope, refused: Refused) -> Response:
    """The answer to a request that isn't answered: JSON for scripts, a sentence for people."""
    closing = {"Connection": "close"} if refused.status == 413 else None  # the rest of the body isn't read
    if scope["path"].startswith("/api/"):
        return JSONResponse({"error": refused.why}, refused.status, closing)
    return PlainTextResponse(refused.why + "\n", refused.status, closing)
