"""What happens now, to browsers and programs: changes of the wall, and the events themselves.

Four times a second the events that have come move from the feed to the hub, and readers are woken.
What a reader gets is made when it can take more, of what the hub has then. So one that is slow gets
fewer and larger messages; one that takes nothing for `STUCK_S` is cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

from starlette.responses import StreamingResponse
from starlette.websockets import WebSocketDisconnect

from airsift.web.groups import no_groups
from airsift.web.spectrum import COLUMNS_PER_S, Spectra
from stream.lines import to_json_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from starlette.requests import HTTPConnection, Request
    from starlette.responses import Response
    from starlette.websockets import WebSocket

    from airsift.json_types import JsonObject
    from airsift.web.feed import Feed
    from airsift.web.groups import Groups
    from airsift.web.hub import Hub

TICK_S = 0.25
STUCK_S = 20.0
IDLE_S = 10.0  # without news after which a message says that we are there
_MAX_EVENTS = 500  # in one message

log = logging.getLogger(__name__)


class Live:
    """Moves events from the feed to the hub, and notifies readers.

    Parameters
    ----------
    hub : Hub
        Only the event loop that `run` runs in touches it.
    feed : Feed
        Where events come from.
    spectra : Spectra, optional
        Where columns come from.
    groups_now : callable
        Which group each station is in.

    Attributes
    ----------
    readers : int
        Connections that are open.
    groups : mapping of str to str
        The group of each station that is in one.
    """

    def __init__(
        self,
        hub: Hub,
        feed: Feed,
        spectra: Spectra | None = None,
        groups_now: Groups = no_groups,
    ) -> None:
        self.hub, self._feed = hub, feed
        self._spectra = spectra or Spectra()
        self.readers = 0
        self._news = asyncio.Event()
        self._closing = False
        self._encoded: dict[int, str] = {}  # changes by the revision they begin at
        self._revision = -1  # that they lead to
        self._problem = ""
        self._groups_now = groups_now
        self.groups: Mapping[str, str] = {}

    @property
    def has_spectra(self) -> bool:
        """Whether a pipeline runs here, whose columns can be seen."""
        return self._spectra.is_fed

    async def run(self) -> None:
        """Move events until this is cancelled."""
        while True:
            before, position, state = self.hub.revision, self.hub.log.end, self._state
            try:
                self.hub.put(self._feed.drain(), time.monotonic())
                self.groups = self._groups_now()
            except Exception:  # what comes next must be shown all the same
                log.exception("events are left out")
            self._problem = self._feed.problem
            if (self.hub.revision, self.hub.log.end, self._state) != (before, position, state):
                self._wake()
            await asyncio.sleep(TICK_S)

    @property
    def _state(self) -> tuple[str, Mapping[str, str]]:
        """What is told beside the stations: what is wrong, and the groups."""
        return self._problem, self.groups

    def close(self) -> None:
        """End all readers."""
        self._closing = True
        self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _next(self, is_news: Callable[[], bool]) -> bool:
        """Wait for news, at most `IDLE_S`; return whether to go on."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(IDLE_S):
                while not (is_news() or self._closing):
                    await self._news.wait()
        return not self._closing

    def changes(self, since: int) -> str:
        """Return the changes since a revision as JSON; readers at the same one share the text."""
        if self._revision != self.hub.revision:
            self._encoded.clear()
            self._revision = self.hub.revision
        if (text := self._encoded.get(since)) is None:
            text = to_json_bytes(self.hub.changes(since)).decode()
            self._encoded[since] = text
        return text

    async def wall(self, socket: WebSocket) -> None:
        """Send the wall's changes, each message as `Hub.changes` says, and what is wrong."""

        async def messages() -> AsyncIterator[str | bytes]:
            at, sent = -1, ("", dict[str, str]())
            while True:
                if sent != self._state or at == -1:
                    sent = self._problem, dict(self.groups)
                    state: JsonObject = {"problem": sent[0], "groups": {**sent[1]}}
                    yield to_json_bytes(state).decode()
                text = self.changes(at)
                at = self.hub.revision
                # In front of the text, so that readers share it.
                yield f'{{"now_s":{time.monotonic():.1f},{text[1:]}'
                now = at, sent
                if not await self._next(lambda: (self.hub.revision, self._state) != now):  # noqa: B023
                    return

        await self._send(socket, messages())

    async def events(self, socket: WebSocket) -> None:
        """Send the events as they come, some in a message."""

        async def messages() -> AsyncIterator[str | bytes]:
            async for events, position, lost in self._events(socket):
                joined = b",".join(_encoded(events))
                yield f'{{"position":{position},"lost":{lost},"events":[{joined.decode()}]}}'

        await self._send(socket, messages())

    async def spectrum(self, socket: WebSocket) -> None:
        """Send the columns of a station: first how they are, then bytes of brightness."""
        station = socket.query_params.get("station", "")

        async def messages() -> AsyncIterator[str | bytes]:
            with self._spectra.watching(station) as waiting:
                bins, quiet_s = 0, 0.0
                while not self._closing:
                    await asyncio.sleep(TICK_S)
                    quiet_s += TICK_S
                    if quiet_s >= IDLE_S:
                        quiet_s = 0.0
                        yield b""
                    while waiting:
                        its_bins, columns = waiting.popleft()
                        if its_bins != bins:
                            bins = its_bins
                            yield f'{{"bins":{bins},"columns_per_s":{COLUMNS_PER_S}}}'
                        quiet_s = 0.0
                        yield columns

        await self._send(socket, messages())

    async def event_source(self, request: Request) -> Response:
        """Answer with the events as server-sent events."""

        async def lines() -> AsyncIterator[bytes]:
            yield b"retry: 2000\n\n"
            async for events, position, lost in self._events(request):
                parts = [b": nothing new\n\n"] if not events else []
                if lost:
                    parts.append(b'event: lost\ndata: {"lost":%d}\n\n' % lost)
                parts += [b"data: " + line + b"\n\n" for line in _encoded(events)]
                parts.append(b"id: %d\n\n" % position)
                yield b"".join(parts)

        return _TimedResponse(self._counted(lines()), media_type="text/event-stream")

    async def _events(
        self, asked: HTTPConnection
    ) -> AsyncIterator[tuple[Sequence[JsonObject], int, int]]:
        """Yield events that are asked for, the position behind them, and how many were lost."""
        hub_log, query = self.hub.log, asked.query_params
        stations, kinds = set(query.getlist("station")), set(query.getlist("kind"))
        after = asked.headers.get("last-event-id") or query.get("after")
        at = int(after) if after is not None and after.isdecimal() else hub_log.end

        def is_wanted(event: JsonObject) -> bool:
            kind = str(event.get("schema")).partition("/")[0].removeprefix("airsift.")
            return (not stations or event.get("station") in stations) and (
                not kinds or kind in kinds
            )

        while True:
            some, at, lost = hub_log.since(at, _MAX_EVENTS)
            wanted = [event for event in some if is_wanted(event)]
            if wanted or lost or not some:
                yield wanted, at, lost
            if not await self._next(lambda: hub_log.end > at):  # noqa: B023
                return

    async def _counted(self, messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self.readers += 1
        try:
            async for message in messages:
                yield message
        finally:
            self.readers -= 1

    async def _send(self, socket: WebSocket, messages: AsyncIterator[str | bytes]) -> None:
        """Send messages until the reader goes away, or takes nothing for `STUCK_S`."""
        await socket.accept()
        self.readers += 1

        async def send() -> None:
            async for message in messages:
                async with asyncio.timeout(STUCK_S):
                    if isinstance(message, str):
                        await socket.send_text(message)
                    else:
                        await socket.send_bytes(message)

        sending = asyncio.ensure_future(send())
        leaving = asyncio.ensure_future(_left(socket))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done() and sending.exception() is None:
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(1.0):
                        await socket.close(1001)  # we are going away
        finally:
            self.readers -= 1
            for task in (sending, leaving):
                task.cancel()
            for ended in await asyncio.gather(sending, leaving, return_exceptions=True):
                if isinstance(ended, TimeoutError):
                    log.info("a reader took nothing for %g s and was cut", STUCK_S)


def _encoded(events: Sequence[JsonObject]) -> list[bytes]:
    """Return events as JSON, without those that have none, such as half of a surrogate pair."""
    found = []
    for event in events:
        with contextlib.suppress(ValueError):
            found.append(to_json_bytes(event))
    return found


async def _left(socket: WebSocket) -> None:
    """Return when a reader goes away; what it says is passed over."""
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass


class _TimedResponse(StreamingResponse):
    """A stream that ends when its reader takes nothing for `STUCK_S`."""

    async def stream_response(self, send: Callable[..., Awaitable[None]]) -> None:
        async def timed(message: object) -> None:
            async with asyncio.timeout(STUCK_S):
                await send(message)

        with contextlib.suppress(TimeoutError):
            await super().stream_response(timed)
