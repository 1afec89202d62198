"""How much speech and music a file has, by the engine of ``airsift segment``.

A file that is longer than asked for is analysed in pieces spread over it. Each piece runs through
the pipeline as a station of its own, all of them at once.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airsift.errors import DecodeError
from stream.audio import AudioChunk
from stream.decoding.excerpts import read_excerpts, spread
from stream.events import Decision, Segment
from stream.sources.base import audio_of
from stream.sources.file import FileSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from airsift.config import Config
    from stream.events import Event
    from stream.pipeline import Pipeline

PIECE_S = 10.0
MAX_PLACES = 3  # positions of each class that are kept, to be listened to


@dataclass(frozen=True, slots=True)
class Content:
    """What a file contains.

    Parameters
    ----------
    analysed_s, duration_s : float > 0
        Seconds that were analysed, and of the whole file as far as known.
    speech, music : float in [0, 1]
        Shares of the analysed time with speech, and with music, by segments. Speech over music
        counts in both.
    p_speech, p_music : float in [0, 1]
        Mean probability of speech without music, and of music without speech.
    speech_at, music_at : tuple of float
        Where segments of speech alone, and of music alone, begin, in seconds; the longest first.
    """

    analysed_s: float
    duration_s: float
    speech: float
    music: float
    p_speech: float
    p_music: float
    speech_at: tuple[float, ...]
    music_at: tuple[float, ...]


def build_analysis(config: Config) -> Pipeline:
    """Return the pipeline of ``airsift segment`` without names, voices and repeats."""
    from airsift.build import build_pipeline

    changes = {
        "model": {"voice": False},
        "identify": {"catalogue": ""},
        "repeats": {"folder": ""},
    }
    return build_pipeline(
        config.model_copy(
            update={
                section: getattr(config, section).model_copy(update=values)
                for section, values in changes.items()
            }
        )
    )


def analyse(path: Path, seconds: float, pipeline: Pipeline, problems: list[str]) -> Content:
    """Analyse a file.

    Parameters
    ----------
    path : Path
        Any file that FFmpeg reads.
    seconds : float >= 0
        Seconds to analyse of a longer file, in pieces of 10 s; 0: all of it.
    pipeline : Pipeline
        From `build_analysis`.
    problems : list of str
        Takes a line for each damage.

    Raises
    ------
    AirsiftError
        It cannot be read, or has too little audio for a decision.
    """
    tally = _Tally(pipeline.rate)
    try:
        with closing(FileSource(path, str(path))) as source:
            duration_s = source.duration_s
            pieces = max(round(seconds / PIECE_S), 1)
            is_short = duration_s is not None and duration_s <= pieces * PIECE_S
            if not seconds or is_short or duration_s is None:
                for chunks in _within(source, seconds if duration_s is None else 0.0):
                    tally.add(pipeline.push(chunks))
                tally.add(pipeline.push([], last=True))
                problems += source.warnings
        if seconds and duration_s is not None and not is_short:
            starts_s = spread(duration_s, pieces, PIECE_S)
            chunks = []
            for number, piece in enumerate(read_excerpts(path, starts_s, PIECE_S, problems)):
                tally.starts_s[str(number)] = piece.start_s
                if len(piece.samples):
                    chunks.append(AudioChunk(str(number), 0, piece.samples, piece.rate))
            tally.add(pipeline.push(chunks, last=True))
    except BaseException:
        pipeline.push([], last=True)  # it is as new for the next file
        raise
    return tally.content(str(path), duration_s)


def _within(source: FileSource, seconds: float) -> Iterator[Sequence[AudioChunk]]:
    """Yield the chunks of a source, up to so many seconds unless that is 0."""
    for items in source:
        yield audio_of(items)
        if seconds and source.decoded_s >= seconds:
            return


class _Tally:
    """Sums over the events of one file."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self.starts_s: dict[str, float] = {}
        self._samples = dict.fromkeys(("speech", "music", "speech_over_music", "other"), 0)
        self._places: dict[str, list[tuple[int, float]]] = {"speech": [], "music": []}
        self._decisions = 0
        self._p_speech = self._p_music = 0.0

    def add(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Decision) and event.final:
                self._decisions += 1
                self._p_speech += event.p_speech * (1 - event.p_music)
                self._p_music += event.p_music * (1 - event.p_speech)
            elif isinstance(event, Segment) and event.final:
                length = event.end - event.start
                self._samples[event.label] += length
                if event.label in self._places:
                    at_s = self.starts_s.get(event.station, 0.0) + event.start / self._rate
                    self._places[event.label].append((-length, round(at_s, 1)))

    def content(self, name: str, duration_s: float | None) -> Content:
        total = sum(self._samples.values())
        if not self._decisions or not total:
            raise DecodeError(
                f"{name}: too little audio for a decision, which needs 0.5 s without a gap; give "
                "a longer recording"
            )
        both = self._samples["speech_over_music"]
        analysed_s = total / self._rate
        return Content(
            round(analysed_s, 2),
            round(max(duration_s or 0.0, analysed_s), 2),
            round((self._samples["speech"] + both) / total, 4),
            round((self._samples["music"] + both) / total, 4),
            round(self._p_speech / self._decisions, 4),
            round(self._p_music / self._decisions, 4),
            self._longest("speech"),
            self._longest("music"),
        )

    def _longest(self, label: str) -> tuple[float, ...]:
        places = sorted(self._places[label])[:MAX_PLACES]
        return tuple(at_s for _, at_s in places)
