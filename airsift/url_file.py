"""A file at a web address, as an input of commands that read files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airsift.inputs import label_of
from stream.sources.base import Source
from stream.sources.http import HttpSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airsift.config import Config
    from stream.audio import AudioChunk
    from stream.runner import Stop


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
