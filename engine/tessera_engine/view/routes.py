"""The routes: what a request asks for, in types, and what it gets. No numbers are computed here."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from tessera_engine.errors import InputError, TesseraError
from tessera_engine.view.guard import NO_COOKIE, Keys, Refused, refusal
from tessera_engine.view.jobs import in_words
from tessera_engine.view.layers import padded
from tessera_engine.view.search import Question
from tessera_engine.view.session import Session

T = TypeVar("T")

PAGE = Path(__file__).parent / "page"

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
}
"""Files of the page that are served, by their endings."""

ANSWERS = {"similarity": "similar", "change": "change", "classes": "classes"}
"""Layers that show the answer to a question -> its kind."""

MOST_NUMBER = 10**9
"""Columns, rows and levels are below this."""

ALIVE_SECONDS = 15
"""Between two signs of life to a page that listens for events: a closed page is noticed when one is written."""


class _Similar(msgspec.Struct, forbid_unknown_fields=True):
    positives: list[tuple[int, int]]
    negatives: list[tuple[int, int]] = []
    output: int = 0


class _Change(msgspec.Struct, forbid_unknown_fields=True):
    a: int = 0
    b: int = 1


class _Output(msgspec.Struct, forbid_unknown_fields=True):
    output: int = 0


class _Labels(msgspec.Struct, forbid_unknown_fields=True):
    format: str


class _Map(msgspec.Struct, forbid_unknown_fields=True):
    output: int = 0
    method: str = "linear"


class _Similarity(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    threshold: float


class _Job(msgspec.Struct, forbid_unknown_fields=True):
    job: str


def application(session: Session, keys: Keys) -> Starlette:
    """The application, without the checks of `tessera_engine.view.guard`."""
    routes = _Routes(session, keys)
    return Starlette(
        routes=[
            Route("/", routes.page),
            Route("/static/{file}", routes.static),
            Route("/api/info", routes.info),
            Route("/api/tile/{layer}/{z:int}/{x:int}/{y:int}", routes.tile),
            Route("/api/pixel", routes.pixel),
            Route("/api/events", routes.events),
            Route("/api/similar", routes.similar, methods=["POST"]),
            Route("/api/change", routes.change, methods=["POST"]),
            Route("/api/segments", routes.segments),
            Route("/api/labels", routes.labels),
            Route("/api/labels", routes.save_labels, methods=["POST"]),
            Route("/api/labels/import", routes.import_labels, methods=["POST"]),
            Route("/api/classify", routes.classify, methods=["POST"]),
            Route("/api/accuracy", routes.accuracy, methods=["POST"]),
            Route("/api/export/labels", routes.export_labels, methods=["POST"]),
            Route("/api/export/map", routes.export_map, methods=["POST"]),
            Route("/api/export/similarity", routes.export_similarity, methods=["POST"]),
            Route("/api/unpack", routes.unpack, methods=["POST"]),
            Route("/api/cancel", routes.cancel, methods=["POST"]),
        ],
        exception_handlers={
            Refused: lambda request, error: refusal(request.scope, error),
            HTTPException: _http_error,
            LookupError: lambda request, error: _error(404, "there is nothing of that name"),
            InputError: lambda request, error: _error(400, str(error)),
            TesseraError: lambda request, error: _error(500, str(error)),
            OSError: lambda request, error: _error(500, in_words(error)),
            MemoryError: lambda request, error: _error(500, in_words(error)),
        },
    )


class _Routes:
    """One method for each route. What takes time runs in other threads."""

    def __init__(self, session: Session, keys: Keys) -> None:
        self._session, self._keys = session, keys
        # A fixed list: a request never becomes a path
        self._files = {path.name: path for path in PAGE.glob("*") if path.suffix in TYPES}

    async def page(self, request: Request) -> Response:
        """The page; or for the token, the cookie and the way to the page."""
        token = request.query_params.get("token")
        if token is None:
            return self._file("index.html")
        cookie = self._keys.exchange(token)
        if cookie is None:
            # Reloading the address that worked is no mistake
            if self._keys.fits(request.headers):
                return RedirectResponse("/", 303)
            raise Refused(403, NO_COOKIE)
        return RedirectResponse("/", 303, {"Set-Cookie": cookie})

    async def static(self, request: Request) -> Response:
        """A file of the page."""
        return self._file(request.path_params["file"])

    async def info(self, request: Request) -> Response:
        """What is shown."""
        return JSONResponse(await run_in_threadpool(self._session.info))

    async def tile(self, request: Request) -> Response:
        """A tile, as raw bytes."""
        layer, z, x, y = (request.path_params[name] for name in ("layer", "z", "x", "y"))
        if max(z, x, y) > MOST_NUMBER:
            raise LookupError
        output, version = _number(request, "output", 0), _number(request, "v")
        work = self._answer_tile if layer in ANSWERS else self._layer_tile
        content = await run_in_threadpool(work, layer, output or 0, (z, x, y), version)
        return Response(content, media_type="application/octet-stream")

    def _layer_tile(self, layer: str, output: int, place: tuple[int, int, int], version: int | None) -> bytes:
        return self._session.layer_tile(layer, output, *place)

    def _answer_tile(
        self, layer: str, output: int, place: tuple[int, int, int], version: int | None
    ) -> bytes:
        viewed = self._session.output(output)
        window = viewed.tile_window(*place)
        answer = self._session.answers.get(ANSWERS[layer], output, version)
        if answer is None:
            raise HTTPException(410, "this answer isn't kept any more")
        cut = viewed.of_level(answer.stored, place[0], window)
        return padded(cut.astype(cut.dtype.newbyteorder("<"), copy=False))

    async def pixel(self, request: Request) -> Response:
        """All that is known of a pixel."""
        col, row = (_number(request, name) for name in ("col", "row"))
        if col is None or row is None:
            raise InputError("give col= and row=")
        output = _number(request, "output", 0)
        return JSONResponse(await run_in_threadpool(self._session.pixel, output or 0, col, row))

    async def similar(self, request: Request) -> Response:
        """Find the pixels similar to some pixels."""
        asked = await _body(request, _Similar)
        question = Question(asked.positives, asked.negatives)
        return JSONResponse(await run_in_threadpool(self._session.similar, asked.output, question))

    async def change(self, request: Request) -> Response:
        """Ask what has changed."""
        asked = await _body(request, _Change)
        return JSONResponse(await run_in_threadpool(self._session.change, asked.a, asked.b))

    async def segments(self, request: Request) -> Response:
        """The segments that the command was given."""
        found = self._session.segments
        if found is None:
            raise LookupError
        return Response(found.content, media_type="application/json")

    async def labels(self, request: Request) -> Response:
        """All labels."""
        return JSONResponse(await run_in_threadpool(self._session.labels.document))

    async def save_labels(self, request: Request) -> Response:
        """Save all labels: they are on the disk before the answer."""
        value = await _body(request, dict)
        return JSONResponse({"revision": await run_in_threadpool(self._session.labels.save, value)})

    async def import_labels(self, request: Request) -> Response:
        """Add the labels of a file, whose name is only used for its ending."""
        name, content = request.query_params.get("name", ""), await request.body()
        return JSONResponse(await run_in_threadpool(self._session.labels.add_file, name, content))

    async def classify(self, request: Request) -> Response:
        """Give each pixel its class."""
        asked = await _body(request, _Output)
        return JSONResponse(await run_in_threadpool(self._session.classify, asked.output))

    async def accuracy(self, request: Request) -> Response:
        """Find how accurate the final map would be; an event has the answer."""
        asked = await _body(request, _Output)
        await run_in_threadpool(self._session.accuracy, asked.output)
        return JSONResponse({})

    async def export_labels(self, request: Request) -> Response:
        """Write the labels beside the output."""
        asked = await _body(request, _Labels)
        return JSONResponse(
            {"name": await run_in_threadpool(self._session.labels.write_labels, asked.format)}
        )

    async def export_map(self, request: Request) -> Response:
        """Write the final map beside the output; an event has its name."""
        asked = await _body(request, _Map)
        await run_in_threadpool(self._session.write_map, asked.output, asked.method)
        return JSONResponse({})

    async def export_similarity(self, request: Request) -> Response:
        """Write the similarity beside the output."""
        asked = await _body(request, _Similarity)
        write = self._session.write_similarity
        return JSONResponse({"name": await run_in_threadpool(write, asked.version, asked.threshold)})

    async def unpack(self, request: Request) -> Response:
        """Unpack an output."""
        asked = await _body(request, _Output)
        await run_in_threadpool(self._session.unpack, asked.output)
        return JSONResponse({})

    async def cancel(self, request: Request) -> Response:
        """Cancel a job."""
        asked = await _body(request, _Job)
        return JSONResponse({"cancelled": self._session.cancel(asked.job)})

    async def events(self, request: Request) -> Response:
        """Events, until the page or the server is closed."""
        return StreamingResponse(self._events(), media_type="text/event-stream")

    async def _events(self) -> AsyncIterator[str]:
        yield ": here\n\n"
        async for event in self._session.events.listen(ALIVE_SECONDS):
            yield ": still here\n\n" if event is None else f"data: {json.dumps(event)}\n\n"

    def _file(self, name: str) -> Response:
        path = self._files[name]
        return Response(path.read_bytes(), media_type=TYPES[path.suffix])


async def _body(request: Request, kind: type[T]) -> T:
    """The body as a value of a type.

    Raises:
        InputError: it isn't one.
    """
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InputError(f"the request can't be understood: {error}") from None


def _number(request: Request, name: str, default: int | None = None) -> int | None:
    """A whole number of the query.

    Raises:
        InputError: it is something else.
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise InputError(f"{name}={text[:20]!r} is not a whole number")
    return int(text)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, error.detail)


def _error(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status)
