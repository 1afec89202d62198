"""Serves the page from a thread of its own, beside whatever else the process does."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airsift.errors import ConfigError
from airsift.web.access import Access
from airsift.web.feed import Feed
from airsift.web.hub import Hub
from airsift.web.spectrum import Spectra

if TYPE_CHECKING:
    from airsift.config import Config
    from airsift.web.groups import Groups

_START_S = 10.0
_END_S = 2.0  # for connections that are open at the end
_MAX_CONNECTIONS = 500
_MAX_MESSAGE = 1 << 16  # bytes that a browser may send: it says nothing

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """A page that is served.

    Parameters
    ----------
    feed : Feed
        Shows what is put into it.
    spectra : Spectra
        Shows the columns of a pipeline that it observes.
    url : str
        Its address in a browser of this machine.
    """

    feed: Feed
    spectra: Spectra
    url: str


@contextmanager
def serving(
    config: Config, *, history: bool = False, groups: Groups | None = None
) -> Iterator[Served]:
    """Serve while the block runs.

    Parameters
    ----------
    config : Config
        Where and to whom (`[web]`), and how uploads are segmented.
    history : bool
        Whether questions are answered from the database; else from memory.
    groups : callable, optional
        Which group each station is in; none unless given.

    Raises
    ------
    ConfigError
        The address cannot be listened on, or others can reach it and there is no token.
    """
    import uvicorn

    from airsift.web.app import Api
    from airsift.web.desk import Desk
    from airsift.web.groups import no_groups
    from airsift.web.live import Live
    from airsift.web.questions import Questions
    from airsift.web.report_files import Reports
    from airsift.web.tracks import Tracks
    from airsift.web.unknown import Unknown
    from airsift.web.uploads import Uploads

    settings, feed, access = config.web, Feed(), Access(config.web)
    listening = _listen(settings.address, settings.port)
    uploads = Uploads(config) if settings.max_upload_mb else None
    tracks = Tracks(config) if config.identify.catalogue else None
    unknown = Unknown(config, tracks) if config.repeats.folder else None
    questions = Questions(config.database, tracks) if history else None
    reports = Reports(config) if history else None
    desk = Desk(tracks, unknown, reports, may_change=settings.may_change)
    spectra = Spectra()
    live = Live(Hub(), feed, spectra, groups or no_groups)
    clips = Path(config.alarms.clips.folder) if config.alarms.clips.folder else None
    server = uvicorn.Server(
        uvicorn.Config(
            Api(live, access, uploads, questions, clips, desk).app(),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # who asks is the peer, not what it says
            timeout_graceful_shutdown=round(_END_S),
            limit_concurrency=_MAX_CONNECTIONS,
            ws_max_size=_MAX_MESSAGE,
            ws_per_message_deflate=False,
            lifespan="on",
        )
    )
    loop = asyncio.new_event_loop()

    def work() -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(server.serve(sockets=[listening]))
        finally:
            # What a browser still waits for was cancelled, and ends the process that works on it.
            if left := asyncio.all_tasks(loop):
                loop.run_until_complete(asyncio.wait(left, timeout=_START_S))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    thread = threading.Thread(target=work, name="web", daemon=True)
    thread.start()
    host, port = listening.getsockname()[:2]
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host  # noqa: S104
    try:
        yield Served(feed, spectra, f"http://{shown}:{port}/")
    finally:
        server.should_exit = True
        if not loop.is_closed():
            loop.call_soon_threadsafe(live.close)
        thread.join(_END_S + _START_S)
        listening.close()


def _listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen(128)
    except (OSError, OverflowError) as error:
        listening.close()
        raise ConfigError(
            f"web.address={address!r}, web.port={port}: {error}; give an address of this machine "
            "and a free port, as with --set web.port=8081"
        ) from None
    listening.setblocking(False)
    return listening
