"""What the source of a station is: opened once, and read until its first audio."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from airsift.errors import AirsiftError, SourceError
from stream.decoding.reader import AudioReader
from stream.sources.web_address import public_name
from stream.sources.web_audio import Reading, open_web_audio
from stream.sources.web_client import WebClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream.audio import AudioChunk
    from stream.sources.settings import HttpSettings, MicrophoneSettings
    from stream.stations.entry import StationEntry

# A web radio says what it plays between its first seconds of audio, if it does at all.
_TITLE_S = 3.0
_BLOCK_S = 0.1


@dataclass(frozen=True, slots=True)
class Checked:
    """What a station is.

    Parameters
    ----------
    station, group : str
        Of its entry.
    source : str
        Its address without login and query, or its file or device.
    problem : str
        Why it gives no audio; empty where it does, and only then the rest is known.
    kind : {"live", "file"}
        Whether its audio comes as it is on air.
    codec : str
        FFmpeg's name of it; "pcm" for a microphone; the content type for Kafka.
    rate, channels : int
        Samples per second, and channels.
    first_audio_s : float
        Seconds until there was audio.
    name, title : str
        What a web radio says of itself, and of what it plays.
    """

    station: str
    group: str
    source: str
    problem: str = ""
    kind: Literal["live", "file"] = "live"
    codec: str = ""
    rate: int = 0
    channels: int = 0
    first_audio_s: float = 0.0
    name: str = ""
    title: str = ""


def check(
    entry: StationEntry,
    http: HttpSettings,
    microphone: MicrophoneSettings,
    kafka: Callable[[StationEntry], tuple[str, AudioChunk, int]] | None = None,
) -> Checked:
    """Open a station's source, and wait for its first audio.

    Parameters
    ----------
    entry : StationEntry
        The station.
    http, microphone : HttpSettings, MicrophoneSettings
        The sections of the configuration.
    kafka : callable, optional
        Waits for the next audio of a station of Kafka; returns its codec, the audio, and channels.

    Returns
    -------
    Checked
        With a `problem` where it has no audio; nothing is raised for it.
    """
    shown = public_name(entry.source) if entry.kind == "web" else entry.source
    named = Checked(entry.name, entry.group, shown)
    try:
        if entry.kind == "web":
            return _web(entry, named, http)
        if entry.kind == "microphone":
            return _microphone(entry, named, microphone)
        if entry.kind == "kafka":
            return _kafka(entry, named, kafka)
        return _file(entry, named)
    except AirsiftError as error:
        return replace(named, problem=str(error))


def _web(entry: StationEntry, named: Checked, http: HttpSettings) -> Checked:
    began, first_s = time.monotonic(), 0.0
    client = WebClient(entry.source, entry.http_settings(http), titles=True)
    reading = Reading(_BLOCK_S, _BLOCK_S, entry.track or None)
    with closing(client), closing(open_web_audio(client, entry.source, reading)) as audio:
        reader, file = audio.reader, audio.file
        for _ in reader:
            first_s = first_s or time.monotonic() - began
            waits = file is not None and audio.live and file.title is None
            if not waits or time.monotonic() - began > first_s + _TITLE_S:
                break
        if not first_s:
            raise SourceError(f"{named.source}: ends before any audio; check that it is a stream")
        return replace(
            named,
            kind="live" if audio.live else "file",
            codec=reader.codec,
            rate=reader.rate,
            channels=reader.channels,
            first_audio_s=round(first_s, 2),
            name=(file.headers.get("icy-name") or "") if file is not None else "",
            title=(file.title or "") if file is not None else "",
        )


def _microphone(entry: StationEntry, named: Checked, settings: MicrophoneSettings) -> Checked:
    from stream.sources.microphone import MicrophoneSource  # needs PortAudio

    began = time.monotonic()
    with closing(MicrophoneSource(entry.name, entry.microphone_settings(settings))) as source:
        for chunk in chain.from_iterable(source):
            return replace(
                named,
                codec="pcm",
                rate=chunk.rate,
                channels=1 if chunk.samples.ndim == 1 else chunk.samples.shape[1],
                first_audio_s=round(time.monotonic() - began, 2),
                name=source.name,
            )
    raise SourceError(f"{named.source}: the device sends no audio; check that it is not muted")


def _kafka(
    entry: StationEntry,
    named: Checked,
    wait_for: Callable[[StationEntry], tuple[str, AudioChunk, int]] | None,
) -> Checked:
    assert wait_for is not None
    began = time.monotonic()
    codec, chunk, channels = wait_for(entry)
    return replace(
        named,
        codec=codec,
        rate=chunk.rate,
        channels=channels,
        first_audio_s=round(time.monotonic() - began, 2),
    )


def _file(entry: StationEntry, named: Checked) -> Checked:
    began = time.monotonic()
    track = entry.track or None
    with closing(AudioReader(Path(entry.source), track=track, block_s=_BLOCK_S)) as reader:
        for _ in reader:
            return replace(
                named,
                kind="file",
                codec=reader.codec,
                rate=reader.rate,
                channels=reader.channels,
                first_audio_s=round(time.monotonic() - began, 2),
            )
    raise SourceError(f"{named.source}: ends before any audio; check that it is whole")
