"""From a recording to its result in a format: what a process of a batch does."""

from __future__ import annotations

import hashlib
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from airsift import __version__
from airsift.build import model_file, voice_file
from airsift.errors import AirsiftError
from airsift.formats import FORMATS
from airsift.inputs import label_of, open_input
from fingerprint.index.database import DATABASE
from model.weights import sha256_of
from stream.lines import to_json
from stream.runner import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from airsift.api.results import Segments
    from airsift.config import Config
    from airsift.json_types import JsonObject
    from stream.events import Event
    from stream.sources.base import Recording

    Progress = Callable[[Mapping[str, float]], None]
    Watch = Callable[[Recording], AbstractContextManager[Progress | None]]

# What decides the events of a recording; the rest of the configuration is about other sources,
# about services and about speed.
_SECTIONS = {"model", "smoothing", "identify", "repeats"}


@dataclass(frozen=True, slots=True)
class Result:
    """A recording's result.

    Parameters
    ----------
    data : bytes
        It in the format; of a recording that could not be read to its end, what was found before.
    duration_s : float
        Length of the audio that was processed.
    warnings : list of str
        A line for each fault in the recording.
    error : Exception, optional
        Why it could not be read, or written in the format.
    """

    data: bytes = b""
    duration_s: float = 0.0
    warnings: list[str] = field(default_factory=list)
    error: AirsiftError | OSError | None = None


def make_result(
    name: str,
    config: Config,
    track: str | None,
    format_name: str,
    audio: str,
    *,
    stop: Stop | None = None,
    watch: Watch = lambda recording: nullcontext(),
    on_event: Callable[[Event], object] = lambda event: None,
) -> Result:
    """Return the result of a recording; what is wrong with it is told in it.

    Parameters
    ----------
    name : str
        As `open_input` takes it.
    config : Config
        The configuration.
    track : str, optional
        Number, language or title of the audio track.
    format_name : str
        A name of `FORMATS`.
    audio : str
        The name of the recording in the result.
    stop : Stop, optional
        Ends the reading.
    watch : callable, optional
        Is given the recording, and gives a callback for the progress while the block runs.
    on_event : callable, optional
        Is given each event as soon as it is known.

    Raises
    ------
    AirsiftError
        The networks or the catalogue cannot be opened.
    OSError
        `on_event` raised it, as where its reader has gone.
    """
    from airsift.api.engine import analyser_of, collected

    analyser = analyser_of(config)

    events: list[Event] = []
    end_s = 0.0

    def advance(ends: Mapping[str, float]) -> None:
        nonlocal end_s
        end_s = max(end_s, *ends.values())
        if progress is not None:
            progress(ends)

    progress: Progress | None = None
    stop, warnings = stop or Stop(), list[str]()
    error: AirsiftError | OSError | None = None
    not_taken: OSError | None = None

    def give(event: Event) -> None:
        nonlocal not_taken
        try:
            on_event(event)
        except OSError as problem:  # of the output: no fault of the recording
            not_taken = problem
            raise

    try:
        with closing(open_input(name, config, stop, track)) as recording:
            try:
                with watch(recording) as progress:
                    for event in analyser.events(recording, stop=stop, progress=advance):
                        events.append(event)
                        give(event)
            finally:
                warnings = [*recording.warnings]
    except (AirsiftError, OSError) as problem:
        if problem is not_taken:
            raise
        error = problem
    found = collected(events, label_of(name), end_s, warnings, analyser.versions)
    found.name = audio
    return _written(found, format_name, error)


def _written(found: Segments, format_name: str, error: AirsiftError | OSError | None) -> Result:
    try:
        data = FORMATS[format_name].to_bytes(found) if found or error is None else b""
    except AirsiftError as problem:
        return Result(b"", found.duration_s, found.warnings, error or problem)
    return Result(data, found.duration_s, found.warnings, error)


def fingerprint_of(config: Config, track: str | None, format_name: str) -> str:
    """Return a hash of all that decides a result beside the recording."""
    files = [model_file(config)]
    if config.model.voice:
        files.append(voice_file(config))
    if config.model.labels_path:
        files.append(Path(config.model.labels_path))
    values: JsonObject = {
        "airsift": __version__,
        "format": format_name,
        "track": track,
        "networks": [*map(sha256_of, files)],
        "config": config.model_dump(mode="json", include=_SECTIONS),
        "catalogue": _state_of(config.identify.catalogue),
    }
    return hashlib.sha256(to_json(values).encode()).hexdigest()


def _state_of(catalogue: str) -> str:
    """Return what changes when tracks are added to a catalogue or removed."""
    if not catalogue:
        return ""
    states = []
    for name in (DATABASE, f"{DATABASE}-wal"):
        try:
            status = (Path(catalogue) / name).stat()
        except OSError:  # opening it says why
            continue
        states.append(f"{name}:{status.st_size}:{status.st_mtime_ns}" if status.st_size else "")
    return ",".join(states)
