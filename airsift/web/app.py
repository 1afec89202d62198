"""The routes of the page and of its API; `openapi.json` describes the API."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from airsift import __version__
from airsift.web.access import COOKIE, Guard
from airsift.web.answers import ERRORS, as_json, whole
from airsift.web.child import Refused
from airsift.web.desk import Desk
from airsift.web.questions import DAY_MS, MAX_ROWS, remembered, time_of
from stream.lines import to_json_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.types import ASGIApp
    from starlette.websockets import WebSocket

    from airsift.json_types import JsonObject
    from airsift.web.access import Access
    from airsift.web.live import Live
    from airsift.web.questions import Questions
    from airsift.web.uploads import Uploads

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"
PAGES = ("/", "/station", "/search", "/upload", "/catalogue", "/unknown", "/reports")
_MAX_TIMELINE_MS = 32 * DAY_MS
_MAX_LOGIN = 1000  # bytes
_LOGIN_S = 1.0  # that a wrong token costs

Returned = TypeVar("Returned")


class Api:
    """The answers.

    Parameters
    ----------
    live : Live
        What happens now.
    access : Access
        Who may ask.
    uploads : Uploads, optional
        Segments files; without it none are taken.
    questions : Questions, optional
        The history; without it answers come from memory.
    clips : Path, optional
        Folder of the sound around alarms.
    desk : Desk, optional
        The catalogue, unknown pieces and reports; without it there are none.
    """

    def __init__(
        self,
        live: Live,
        access: Access,
        uploads: Uploads | None = None,
        questions: Questions | None = None,
        clips: Path | None = None,
        desk: Desk | None = None,
    ) -> None:
        self._live, self._access = live, access
        self._desk = desk or Desk()
        self._uploads, self._questions, self._clips = uploads, questions, clips

    def app(self) -> ASGIApp:
        """Return the application, behind its guard."""
        handlers: Any = ERRORS
        app = Starlette(routes=self._routes(), exception_handlers=handlers, lifespan=self._lifespan)
        return Guard(app, self._access)

    def _routes(self) -> list[Route | WebSocketRoute]:
        return [
            *(Route(path, self.page) for path in PAGES),
            Route("/login", self.login, methods=["GET", "POST"]),
            Route("/static/{path:path}", _static()),
            Route("/api/openapi.json", self.openapi),
            Route("/api/about", self.about),
            Route("/api/stations", self.stations),
            Route("/api/history", self.history),
            Route("/api/timeline", self.timeline),
            Route("/api/alarms/clip", self.clip),
            Route("/api/events", self.event_source),
            Route("/api/segments", self.segments, methods=["POST"]),
            *self._desk.routes(),
            WebSocketRoute("/api/events/ws", self.events_socket),
            WebSocketRoute("/api/wall/ws", self.wall_socket),
            WebSocketRoute("/api/spectrum/ws", self.spectrum_socket),
        ]

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        moving = asyncio.ensure_future(self._live.run())
        try:
            yield
        finally:
            moving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await moving
            if self._questions is not None:
                self._questions.close()
            self._desk.close()

    async def page(self, _: Request) -> Response:
        """Answer with the page: which of its views is shown is said by its address."""
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    async def login(self, request: Request) -> Response:
        """Show the form, or take a token and remember it in a cookie."""
        if request.method == "GET":
            return FileResponse(STATIC / "login.html", headers={"Cache-Control": "no-cache"})
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > _MAX_LOGIN:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "that is no token")
        given = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0]
        if not self._access.knows(given.strip()):
            await asyncio.sleep(_LOGIN_S)
            return RedirectResponse("/login?wrong", HTTPStatus.SEE_OTHER)
        answer = RedirectResponse("/", HTTPStatus.SEE_OTHER)
        is_secure = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))
        answer.set_cookie(
            COOKIE, self._access.cookie, max_age=30 * 86_400, httponly=True, samesite="strict",
            secure=is_secure,
        )  # fmt: skip
        return answer

    async def openapi(self, _: Request) -> Response:
        """Answer with the description of this API."""
        return as_json(openapi())

    async def about(self, _: Request) -> Response:
        """Answer with what this server can do."""
        own: JsonObject = {
            "version": __version__,
            "history": "memory" if self._questions is None else "database",
            "uploads": self._uploads is not None,
            "spectrum": self._live.has_spectra,
            "clips": self._clips is not None,
        }
        return as_json(own | self._desk.about)

    async def stations(self, _: Request) -> Response:
        """Answer with what all stations do now, and with what is stored of them."""
        found: dict[str, JsonObject] = {
            name: {"name": name, "head_ms": view.head_ms, "dated": view.is_dated, "now": view.now}
            for name, view in self._live.hub.stations.items()
        }
        if self._questions is not None:
            for stored in await self._ask(self._questions.stations):
                name = str(stored["name"])
                found[name] = found.get(name, {"name": name, "now": None}) | {"stored": stored}
        for name, group in self._live.groups.items():
            if name in found:
                found[name]["group"] = group
        return as_json({"stations": [found[name] for name in sorted(found)]})

    async def history(self, request: Request) -> Response:
        """Answer with stored events."""
        query = request.query_params
        if self._questions is None:
            raise Refused(
                "there is no history: start with --database URL, or airsift run with --sink "
                "database",
                HTTPStatus.NOT_IMPLEMENTED,
            )
        limit = whole(query.get("limit", "500"), "limit", 1, MAX_ROWS)
        events = await self._ask(
            self._questions.events,
            query.getlist("station"),
            query.getlist("kind"),
            _time(query.get("since"), "since"),
            _time(query.get("until"), "until"),
            track=query.get("track", "").strip(),
            label=query.get("label", ""),
            limit=limit,
        )
        return as_json({"events": events, "complete": len(events) < limit})

    async def timeline(self, request: Request) -> Response:
        """Answer with the labels and songs of a station between two times."""
        query = request.query_params
        station = query.get("station", "")
        since, until = _time(query.get("since"), "since"), _time(query.get("until"), "until")
        if not station or since is None or until is None:
            raise ValueError("station, since and until: all three are needed")
        if not 0 < until - since <= _MAX_TIMELINE_MS:
            raise ValueError(f"until={until}: must be after since, and at most 32 days")
        if self._questions is not None:
            found = await self._ask(self._questions.timeline, station, since, until)
        else:
            found = remembered(self._live.hub, station, since, until)
        return as_json(found)

    async def clip(self, request: Request) -> Response:
        """Answer with the sound around an alarm."""
        from stream.alarms.clips import clip_of
        from stream.alarms.rules import KINDS
        from stream.events import Alarm

        query = request.query_params
        rule, start = query.get("rule", ""), query.get("start_sample", "")
        if rule not in KINDS or not start.isdecimal() or len(start) > 18:
            raise ValueError(f"rule={rule}, start_sample={start}: must be those of an alarm")
        if self._clips is not None:
            alarm = Alarm(
                query.get("station", ""), int(start), int(start), 1, None, rule, True, "warning",
                False, None, None, "", "",
            )  # fmt: skip
            path = clip_of(self._clips, alarm)
            if await asyncio.to_thread(path.is_file):
                return FileResponse(path, media_type="audio/wav")
        raise HTTPException(HTTPStatus.NOT_FOUND, "no sound of this alarm was kept")

    async def event_source(self, request: Request) -> Response:
        """Answer with the events as they come."""
        return await self._live.event_source(request)

    async def events_socket(self, socket: WebSocket) -> None:
        """Send the events as they come."""
        await self._live.events(socket)

    async def wall_socket(self, socket: WebSocket) -> None:
        """Send the wall and its changes."""
        await self._live.wall(socket)

    async def spectrum_socket(self, socket: WebSocket) -> None:
        """Send the columns of a station."""
        await self._live.spectrum(socket)

    async def segments(self, request: Request) -> Response:
        """Answer with the segments and songs of the file that is the body, one JSON a line."""
        if self._uploads is None:
            raise Refused("this server takes no files", HTTPStatus.NOT_IMPLEMENTED)
        name = request.query_params.get("name", "")
        length = request.headers.get("content-length", "")
        found = self._uploads.segment(
            request.stream(), name, int(length) if length.isdecimal() else None
        )
        # The first one, before the status is sent.
        first = await anext(found)

        async def lines() -> AsyncIterator[bytes]:
            try:
                yield to_json_bytes(first) + b"\n"
                async for event in found:
                    yield to_json_bytes(event) + b"\n"
            finally:
                await found.aclose()

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    async def _ask(self, question: Callable[..., Returned], *given: Any, **named: Any) -> Returned:
        return await asyncio.to_thread(functools.partial(question, *given, **named))


@functools.cache
def openapi() -> JsonObject:
    """Return the description of the API, in the form of OpenAPI 3.1."""
    found: JsonObject = json.loads((FOLDER / "openapi.json").read_text(encoding="utf-8"))
    return found


def _static() -> ASGIApp:
    files = StaticFiles(directory=STATIC)

    async def serve(request: Request) -> Response:
        answer = await files.get_response(request.path_params["path"], request.scope)
        answer.headers["Cache-Control"] = "no-cache"  # it is asked whether it has changed
        return answer

    return serve  # type: ignore[return-value]


def _time(text: str | None, name: str) -> int | None:
    return None if not text else time_of(text, name)
