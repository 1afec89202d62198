"""What ``segment`` and ``classify`` read: files, standard input, and files behind web addresses."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from airsift.errors import SourceError
from stream.sources.base import Batch

if TYPE_CHECKING:
    from airsift.config import Config
    from stream.runner import Stop
    from stream.sources.file import FileSource

Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="FILES",
        help="Audio or video files of any format, or their http:// and https:// addresses; - is "
        "standard input.",
    ),
]
_STOP_S = 5.0  # for what was read to be judged and written
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def open_input(
    name: str, config: Config, stop: Stop, track: str | None = None
) -> FileSource | UrlFile:
    """Open one file; its station is the name as it is given, of an address what may be shown.

    A name that begins with a scheme and ``://`` is an address; put ``./`` in front of a file
    that is called so.

    Raises
    ------
    AirsiftError
        It is not there, or not what it should be.
    """
    if _SCHEME.match(name):
        return UrlFile(name, config, stop, track)
    from stream.sources.file import FileSource

    path = Path(name)
    return FileSource(
        path,
        station=str(path),
        chunk_s=config.file.chunk_s,
        track=track,
        max_spool=config.file.max_spool_bytes,
    )


def ending_on_request(stop: Stop) -> AbstractContextManager[None]:
    """End the process, with what is written, where a read still waits after `stop` was requested.

    A pipe that nobody writes to holds up the thread that reads it for ever.
    """
    from airsift.shutdown import ending_within

    return ending_within(stop, _STOP_S, lambda _: end_interrupted())


def end_interrupted() -> None:
    """End the process at once as Ctrl-C does, and give the terminal back as it was."""
    from stream.sinks.terminal import give_back

    give_back()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(130)


def local_path(name: str) -> Path:
    """Return the path of a file on the disk, for commands that read it more than once.

    Raises
    ------
    SourceError
        It is an address.
    """
    if _SCHEME.match(name):
        raise SourceError(
            f"{label_of(name)}: only `segment`, `classify`, `run` and `publish` read addresses; "
            "download the file, and give its path"
        )
    return Path(name)


def label_of(name: str) -> str:
    """Return what messages and rows call an input: no address's login or query is in it."""
    if not _SCHEME.match(name):
        return str(Path(name))
    from stream.sources.web_address import public_name

    return public_name(name)


class UrlFile:
    """A file behind a web address, as `FileSource` is one on the disk.

    A live stream is read until `stop` is requested. Either has no time of day: a recording is
    not of the moment at which it is fetched.

    Parameters
    ----------
    url : str
        Where it is; only http and https are read.
    config : Config
        How.
    stop : Stop
        Ends the reading where nothing comes.
    track : str, optional
        Number, language or title of the audio track; the default one unless given.

    Attributes
    ----------
    station : str
        The address without login and query.
    decoded_s : float
        Seconds of sound audio given so far.
    duration_s : float or None
        As in `FileSource`.
    warnings : list of str
        As in `FileSource`.
    """

    resumable = False

    def __init__(self, url: str, config: Config, stop: Stop, track: str | None = None) -> None:
        from airsift.cli.web import web_settings
        from stream.sources.http import HttpSource

        scheme, _, rest = url.partition("://")
        url = f"{scheme.lower()}://{rest}"
        self.station = label_of(url)
        self.decoded_s = 0.0
        self._stop = stop
        chunk_s = config.file.chunk_s
        self._source = HttpSource(
            url,
            self.station,
            web_settings(config.http),
            file_block_s=chunk_s,
            queue_s=max(3 * chunk_s, 30.0),
            track=track,
        )
        self.duration_s = self._source.duration_s

    @property
    def warnings(self) -> list[str]:
        """One line for each damage met so far."""
        return self._source.warnings

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._source:
            chunks = [replace(chunk, time=None) for chunk in batch.chunks]
            self.decoded_s += sum(len(chunk.samples) / chunk.rate for chunk in chunks)
            yield replace(batch, chunks=chunks)
            if self._stop.requested:
                return

    def settle(self, snapshots: Mapping[str, dict[str, Any]]) -> None:
        """Do nothing: a file is read once, from its beginning."""

    def close(self) -> None:
        """Close the connection."""
        self._source.close()
