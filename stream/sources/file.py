"""Audio files as a source, and whole files as arrays."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from airsift.errors import SourceError
from stream.audio import AudioChunk
from stream.decoding.reader import AudioReader
from stream.lines import utf8
from stream.resampler import Resampler
from stream.sources.base import Source
from stream.sources.settings import FileSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_STDIN = Path("/dev/stdin")
_SILENCE = 1 << 20  # samples of a gap are generated in pieces of this length


class FileSource(Source):
    """One audio file, as fast as it decodes.

    If the file is damaged, or its timestamps have a hole, the chunks skip the missing audio.
    Sample 0 is the beginning of the container, so audio may begin later.

    Parameters
    ----------
    path : path
        Any file that FFmpeg reads, also a film. ``-`` is standard input.
    station : str, optional
        The station of the chunks; by default the file's name. Bytes that are not UTF-8 become
        question marks, because a station is a key in JSON and Kafka.
    settings : FileSettings, optional
        Length of a chunk, and limit of the disk space for a pipe; by default the defaults. There
        is one chunk in a batch.
    track : str, optional
        Number, language or title of the audio track; by default the container's default.
    keep_channels : bool
        Whether chunks keep up to 8 channels, which the pipeline mixes; else they are mono.

    Attributes
    ----------
    rate : int
        Samples per second of the chunks.
    decoded_s : float
        Seconds of sound audio returned so far.
    duration_s : float or None
        Length stated by the file, for progress bars.
    warnings : list of str
        One line for each damage so far: file, position, fault, remedy. A file with any was not
        read completely.

    Raises
    ------
    SourceError
        The file does not exist or may not be read.
    DecodeError
        It is empty, or no audio.
    """

    def __init__(
        self,
        path: str | Path,
        station: str | None = None,
        settings: FileSettings | None = None,
        *,
        track: str | None = None,
        keep_channels: bool = False,
    ) -> None:
        name = Path(path).name if station is None else station
        self.station = utf8(name)
        place = _STDIN if str(path) == "-" else Path(path)
        if place is _STDIN and not place.exists():
            raise SourceError("-: standard input is closed; name a file, or send one with < FILE")
        self._reader = _open(place, str(path), track, settings, keep_channels=keep_channels)
        self.rate = self._reader.rate
        self.duration_s = self._reader.duration_s
        self.decoded_s = 0.0
        self.warnings = self._reader.problems

    def __iter__(self) -> Iterator[list[AudioChunk]]:
        for start, samples, lost in self._reader:
            self.decoded_s += len(samples) / self.rate
            reason = lost or "missing"
            yield [AudioChunk(self.station, start, samples, self.rate, gap_reason=reason)]

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


def _open(
    path: Path,
    name: str,
    track: str | None,
    settings: FileSettings | None = None,
    *,
    keep_channels: bool = False,
) -> AudioReader:
    chosen = settings or FileSettings.default()
    return AudioReader(
        path,
        name=name,
        block_s=chosen.chunk_s,
        track=track,
        max_spool=chosen.max_spool_bytes,
        keep_channels=keep_channels,
    )


def read_pieces(
    path: str | Path,
    rate: int = 16_000,
    *,
    warnings: list[str] | None = None,
    track: str | None = None,
) -> Iterator[NDArray[np.float32]]:
    """Yield all of a file, piece by piece.

    Parameters
    ----------
    path : path
        Any file that FFmpeg reads.
    rate : int > 0
        Samples per second of the result.
    warnings : list of str, optional
        Takes one line for each damage, at the end.
    track : str, optional
        Number, language or title of the audio track; by default the container's default.

    Yields
    ------
    np.ndarray [shape=(n,), float32]
        Mono audio; a piece may be empty. Silence replaces damaged or missing audio, so that
        times stay true.

    Raises
    ------
    SourceError
        The file does not exist or may not be read.
    DecodeError
        It is empty, or no audio.
    """
    with closing(_open(Path(path), str(path), track)) as reader:
        resampler = Resampler(reader.rate, rate)
        end = 0
        for start, samples, _ in reader:
            for at in range(end, start, _SILENCE):
                yield resampler.push(np.zeros(min(_SILENCE, start - at), np.float32))
            yield resampler.push(samples)
            end = start + len(samples)
        yield resampler.push(np.zeros(0, np.float32), last=True)
    if warnings is not None:
        warnings += reader.problems


def read_file(
    path: str | Path,
    rate: int = 16_000,
    *,
    warnings: list[str] | None = None,
    track: str | None = None,
) -> NDArray[np.float32]:
    """Return all of a file as one array, see :func:`read_pieces`."""
    return np.concatenate(list(read_pieces(path, rate, warnings=warnings, track=track)))
