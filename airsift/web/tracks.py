"""The catalogue on the page: its tracks, a file that is added, another name, a removal.

Reading is done by threads of this process. A file is added by `airsift catalogue add` in a process;
a running matcher sees each change at its next query (`fingerprint.catalogue`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from airsift.errors import CatalogueError
from airsift.web.child import Refused, Turns, check_length, name_of, receive, run, unless_gone
from fingerprint.settings import SAMPLE_RATE
from stream.lines import one_line, utf8

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from starlette.requests import Request

    from airsift.config import Config
    from airsift.json_types import JsonObject
    from fingerprint.catalogue import Catalogue
    from fingerprint.index.track_list import TrackList
    from fingerprint.track import Track

ADD_S = 1800.0  # that one file may take
MAX_PART = 500  # tracks in one answer
MAX_TEXT = 500  # characters of a title, an artist or an album
NAMES = ("title", "artist", "album")

Returned = TypeVar("Returned")

log = logging.getLogger(__name__)


class Tracks:
    """The tracks of the catalogue that the configuration names.

    Parameters
    ----------
    config : Config
        The catalogue, and the limits of uploads.
    """

    def __init__(self, config: Config) -> None:
        self._folder = Path(config.identify.catalogue).absolute()
        self._max_mb = config.web.max_upload_mb
        self._turns = Turns("files")
        self._reading = threading.Lock()
        self._list: TrackList | None = None
        # Of all that writes here: two writers at a time are refused by the catalogue.
        self.writing = asyncio.Lock()

    def close(self) -> None:
        """Close the database."""
        with self._reading:
            self._close()

    def part(self, words: str, offset: int, limit: int) -> JsonObject:
        """Return a part of the list of tracks, for any thread; see `TrackList.part`."""
        with self._asking() as opened:
            if opened is None:
                return {"found": 0, "total": 0, "offset": offset, "tracks": []}
            part = opened.part(words, offset=offset, limit=limit)
        return {
            "found": part.found,
            "total": part.total,
            "offset": offset,
            "tracks": [shown(track) for track in part.tracks],
        }

    def titles(self, clusters: Iterable[str]) -> dict[str, str]:
        """Return the titles of those repeats that were named, by cluster; for any thread."""
        from fingerprint.repeats.naming import key_of

        keys = {key_of(cluster): cluster for cluster in clusters}
        with self._asking() as opened:
            titles = {} if opened is None else opened.titles(keys)
        return {keys[key]: title for key, title in titles.items()}

    @contextmanager
    def _asking(self) -> Iterator[TrackList | None]:
        """Give the list for one question, None where there is no catalogue yet."""
        from fingerprint.index.track_list import TrackList

        with self._reading:
            if self._list is None and self._exists:
                self._list = TrackList(self._folder)
            try:
                yield self._list
            except CatalogueError:
                self._close()  # the next question opens it anew
                raise

    async def add(self, request: Request, name: str, *, duplicates: bool) -> JsonObject:
        """Add the file that is the body of a request; return what became of it.

        Parameters
        ----------
        request : Request
            Its body is the file. When the browser goes away, nothing is added.
        name : str
            Its name. It is part of no path.
        duplicates : bool
            Whether it is added though the catalogue has its audio already.

        Raises
        ------
        Refused
            It is too large, too many others wait, the disk is full, or the catalogue cannot be
            written to now.
        """
        text = request.headers.get("content-length", "")
        length = int(text) if text.isdecimal() else None
        check_length(length, self._max_mb)
        if not self._max_mb:
            raise Refused("web.max_upload_mb=0: this server takes no files", 501)
        called = name_of(name, "upload")
        try:
            with (
                self._turns.place(),
                tempfile.TemporaryDirectory(prefix="airsift-upload-") as folder,
            ):
                path = Path(folder, "audio")
                await receive(request.stream(), length, path, self._max_mb)
                arguments = [
                    *("catalogue", "add", "--json", "--jobs=1", f"--name={called}"),
                    *([] if duplicates else ["--skip-duplicates"]),
                    *(f"--catalogue={self._folder}", "--", str(path)),
                ]
                return await unless_gone(request.receive, self._add(arguments, path, called))
        except OSError as error:
            raise Refused(f"the file cannot be stored here: {error.strerror}", 507) from None

    async def _add(self, arguments: list[str], path: Path, called: str) -> JsonObject:
        async with self._turns.turn, self.writing:
            code, output, problems = await run(arguments, ADD_S)
        found = [text.replace(str(path), called) for text in problems]
        lines = output.splitlines()
        if not lines:
            raise Refused("; ".join(found) or f"the file was not added (exit code {code})", 409)
        outcome: JsonObject = json.loads(lines[0])
        track = outcome["track"]
        if isinstance(track, dict):
            outcome["track"] = {name: track[name] for name in track if name != "content"}
            log.info("%s: %s: %s", outcome["result"], called, track["key"])
        own = outcome["problems"]
        assert isinstance(own, list)
        outcome["problems"] = [str(text).replace(str(path), called) for text in own]
        return outcome

    async def rename(self, key: str, names: Mapping[str, str]) -> JsonObject:
        """Give a track another title, artist or album; return the track."""
        track = await self.change(lambda opened: opened.rename(key, **names))
        log.info("renamed: %s: %s", key, names)
        return shown(track)

    async def remove(self, key: str) -> None:
        """Remove a track."""
        await self.change(lambda opened: opened.remove(key))
        log.info("removed: %s", key)

    async def change(
        self, change: Callable[[Catalogue], Returned], *, create: bool = False
    ) -> Returned:
        """Change the catalogue in a thread, one change at a time.

        Raises
        ------
        Refused
            What is asked for does not fit what is there, or another process writes now.
        """
        from fingerprint.catalogue import Catalogue

        def work() -> Returned:
            opened = (Catalogue.create if create else Catalogue.open)(self._folder)
            try:
                return change(opened)
            finally:
                opened.close()

        async with self.writing:
            try:
                return await asyncio.to_thread(work)
            except CatalogueError as error:
                raise Refused(str(error), 409) from None

    @property
    def _exists(self) -> bool:
        from fingerprint.index.database import DATABASE

        return (self._folder / DATABASE).is_file()

    def _close(self) -> None:
        if self._list is not None:
            opened, self._list = self._list, None
            opened.close()


def names_of(body: object, *, required: bool) -> dict[str, str]:
    """Read the names of a track from a body.

    Raises
    ------
    ValueError
        A text is too long or none, a field is unknown, or the title is empty.
    """
    if not isinstance(body, dict):
        raise ValueError("the body must be a JSON object")
    found = {}
    for name, text in body.items():
        if name not in NAMES:
            raise ValueError(f"{name}: is unknown; give {', '.join(NAMES)}")
        if not isinstance(text, str) or len(text) > MAX_TEXT:
            raise ValueError(f"{name}: must be a text of at most {MAX_TEXT} characters")
        found[name] = one_line(" ".join(utf8(text).split()))
    if not found.get("title", "" if required else "-"):
        raise ValueError("title: is empty; give one")
    return found


def shown(track: Track) -> JsonObject:
    """Return a track as the API has it."""
    return {
        "key": track.key,
        "title": track.title,
        "artist": track.artist,
        "album": track.album,
        "isrc": track.isrc,
        "label": track.label,
        "duration_s": round(track.duration / SAMPLE_RATE, 3),
        "copy_of": track.recording if track.recording != track.key else "",
        "extra": track.extra,
    }
