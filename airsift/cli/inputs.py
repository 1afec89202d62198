"""Inputs of ``segment`` and ``classify``: files, standard input, and files at web addresses."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airsift.errors import SourceError
from stream.audio import AudioChunk
from stream.sources.base import Source

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
_STOP_S = 5.0  # to process and write what was read
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def open_input(
    name: str, config: Config, stop: Stop, track: str | None = None
) -> FileSource | UrlFile:
    """Open one file; its station is the given name, for an address without login and query.

    A name that begins with a scheme and ``://`` is an address; a file of that name needs ``./`` in
    front.

    Raises
    ------
    AirsiftError
        It cannot be opened.
    """
    if _SCHEME.match(name):
        return UrlFile(name, config, stop, track)
    from stream.sources.file import FileSource

    path = Path(name)
    return FileSource(path, str(path), config.file, track=track)


def ending_on_request(stop: Stop) -> AbstractContextManager[None]:
    """End the process if a read still waits after `stop` was requested.

    A read from a pipe without a writer waits for ever.
    """
    from airsift.shutdown import shutdown_deadline

    return shutdown_deadline(stop, _STOP_S, lambda _: end_interrupted())


def end_interrupted() -> None:
    """End the process at once with the exit code of Ctrl-C, and restore the terminal."""
    from stream.sinks.terminal import give_back

    give_back()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(130)


def local_path(name: str) -> Path:
    """Return the path of a local file, for commands that read it more than once.

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
    """Return the name of an input for messages and rows, without an address's login and query."""
    if not _SCHEME.match(name):
        return str(Path(name))
    from stream.sources.web_address import public_name

    return public_name(name)


class UrlFile(Source):
    """A file at a web address, with the interface of `FileSource`.

    A live stream is read until `stop` is requested. Chunks have no time of day: the time of the
    request says nothing about a recording.

    Parameters
    ----------
    url : str
        Its address, http or https.
    config : Config
        The configuration.
    stop : Stop
        Ends the reading.
    track : str, optional
        Number, language or title of the audio track; the default one unless given.

    Attributes
    ----------
    station : str
        The address without login and query.
    decoded_s : float
        Seconds of intact audio so far.
    duration_s : float or None
        As in `FileSource`.
    warnings : list of str
        As in `FileSource`.
    """

    def __init__(self, url: str, config: Config, stop: Stop, track: str | None = None) -> None:
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
            config.http,
            file_block_s=chunk_s,
            queue_s=max(3 * chunk_s, 30.0),
            track=track,
        )
        self.warnings = self._source.warnings  # one line for each damage met so far
        self.duration_s = self._source.duration_s

    def __iter__(self) -> Iterator[list[AudioChunk]]:
        for items in self._source:
            chunks = [replace(chunk, time=None) for chunk in items]
            self.decoded_s += sum(len(chunk.samples) / chunk.rate for chunk in chunks)
            yield chunks
            if self._stop.requested:
                return

    def close(self) -> None:
        """Close the connection."""
        self._source.close()
