"""What a recording consists of: segments, and the tracks that were identified in it.

All are plain values: they can be compared, copied and pickled, and know neither audio nor files.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from airsift.errors import AirsiftError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas
    import pyannote.core

    from airsift.json_types import JsonObject
    from stream.events import Event


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a recording with one label.

    Parameters
    ----------
    start_s, end_s : float >= 0
        Seconds from the recording's begin; the end is exclusive.
    label : str
        "speech", "music", "speech_over_music" or "other"; those of a network with labels of its
        own.
    score : float
        Mean probability, in [0, 1], of what the label says.
    voice : {"female", "male"}, optional
        The voice that speaks; None where nobody does, or where that is not sure.
    voice_score : float, optional
        Probability, in [0.5, 1], of the likelier voice; None where no voice was looked for.

    Examples
    --------
    >>> import airsift
    >>> segment = airsift.Segment(0.0, 12.5, "speech", 0.98, "female", 0.91)
    >>> segment.duration_s
    12.5
    """

    start_s: float
    end_s: float
    label: str
    score: float
    voice: str | None = None
    voice_score: float | None = None

    @property
    def duration_s(self) -> float:
        """Seconds from start to end."""
        return round(self.end_s - self.start_s, 3)


@dataclass(frozen=True, slots=True)
class Match:
    """A track of the catalogue that plays in a stretch of a recording.

    Parameters
    ----------
    start_s, end_s : float >= 0
        Seconds from the recording's begin; the end is exclusive.
    track : str
        Its key in the catalogue.
    score : float >= 0
        The matcher's: more is surer.
    track_start_s : float
        Seconds from the track's begin to what plays at `start_s`.
    title, artist, album, isrc, record_label : str, optional
        The catalogue's; None where it does not know.
    track_duration_s : float, optional
        Seconds of the whole track; None where the catalogue does not know.

    Examples
    --------
    >>> import airsift
    >>> match = airsift.Match(30.0, 210.0, "abel", 9.5, 0.0, "Starfall", "Abel")
    >>> match.duration_s, match.album
    (180.0, None)
    """

    start_s: float
    end_s: float
    track: str
    score: float
    track_start_s: float
    title: str | None = None
    artist: str | None = None
    album: str | None = None
    isrc: str | None = None
    record_label: str | None = None
    track_duration_s: float | None = None

    @property
    def duration_s(self) -> float:
        """Seconds from start to end."""
        return round(self.end_s - self.start_s, 3)


class Segments(list[Segment]):
    """The segments of one recording, in order of time, with what else is known of it.

    It is a list. Segments do not overlap; time that no segment covers had no audio.

    Parameters
    ----------
    segments : iterable of Segment
        In order of time.
    name : str
        What the recording is called: a file's path, or what the caller chose.
    duration_s : float, optional
        Seconds of the recording; by default the end of the last segment.
    matches : iterable of Match
        Tracks of the catalogue that play in it, in order of time.
    warnings : iterable of str
        What was wrong with the audio, one line each. With any, not all of it was read.
    events : iterable of dict
        The engine's final events of the recording, as the JSON of docs/topics.md: also those of
        gaps, shares and repeats. None where it was not the engine that made the segments.
    versions : mapping, optional
        What made them: names, such as ``model``, to versions or hashes.

    Examples
    --------
    >>> import airsift
    >>> found = airsift.Segments([airsift.Segment(0.0, 3.0, "speech", 0.98)], name="news.wav")
    >>> found
    Segments of news.wav, 3.00 s
         0.00      3.00  speech             0.980
    >>> found.duration_s, found.matches
    (3.0, [])
    """

    def __init__(
        self,
        segments: Iterable[Segment] = (),
        *,
        name: str = "",
        duration_s: float | None = None,
        matches: Iterable[Match] = (),
        warnings: Iterable[str] = (),
        events: Iterable[JsonObject] = (),
        versions: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(segments)
        self.name = name
        ends = self[-1].end_s if self else 0.0
        self.duration_s = ends if duration_s is None else duration_s
        self.matches = [*matches]
        self.warnings = [*warnings]
        self.events = [*events]
        self.versions = dict(versions or {})

    @property
    def labels(self) -> list[Segment]:
        """Stretches with labels of a network of your own (``model.labels_path``).

        They are beside the segments: they may overlap, and there is time without any.
        """
        return [labelled(event) for event in self.events if event["schema"] == "airsift.label/1"]

    def to_frame(self) -> pandas.DataFrame:
        """Return the segments as a table of pandas, with the fields of `Segment` as columns.

        ``pandas.DataFrame(segments.matches)`` is one of the matches.

        Raises
        ------
        AirsiftError
            pandas is not installed.
        """
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise needs("to_frame", "pandas", error) from None
        return pandas.DataFrame(list(self), columns=[field.name for field in fields(Segment)])

    def to_annotation(self) -> pyannote.core.Annotation:
        """Return the segments as an annotation of pyannote.core, whose ``uri`` is `name`.

        Each segment is a track with the number of the segment as its name.

        Raises
        ------
        AirsiftError
            pyannote.core is not installed.
        """
        try:
            from pyannote import core
        except ModuleNotFoundError as error:
            raise needs("to_annotation", "pyannote.core", error) from None
        annotation = core.Annotation(uri=self.name)
        for number, segment in enumerate(self):
            annotation[core.Segment(segment.start_s, segment.end_s), number] = segment.label
        return annotation

    def __eq__(self, other: object) -> bool:
        """Compare with other segments, and what is known of their recording; or with a list."""
        if isinstance(other, Segments):
            return super().__eq__(other) and vars(self) == vars(other)
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # it can be changed, as every list

    def copy(self) -> Segments:
        """Return a copy, with what is known of the recording."""
        return Segments(self, **vars(self))

    def __repr__(self) -> str:
        from airsift.api.shown import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        """Return a strip of the labels and a table, for a notebook."""
        from airsift.api.shown import as_html

        return as_html(self)


def needs(what: str, package: str, error: ModuleNotFoundError) -> AirsiftError:
    """Return the error for something that needs a package of the extra ``formats``."""
    return AirsiftError(
        f"{what} needs {package} ({error.name} is not installed): install airsift[formats], as "
        "with pip install 'airsift[formats]'"
    )


def labelled(event: JsonObject) -> Segment:
    """Return what the JSON of an event with a label of your own says."""
    names = [field.name for field in fields(Segment) if not field.name.startswith("voice")]
    return Segment(**{name: event[name] for name in names})  # type: ignore[arg-type]


def result_of(event: Event) -> Segment | Match | None:
    """Return what a final event of the engine says of a recording; None for other kinds.

    Times and scores are rounded as in the event's JSON.
    """
    if event.kind not in ("segment", "match"):
        return None
    values = event.to_dict()
    if event.kind == "segment":
        return Segment(**{field.name: values[field.name] for field in fields(Segment)})  # type: ignore[arg-type]
    # The engine writes "" for what a catalogue does not know.
    known = {f.name: None if values[f.name] == "" else values[f.name] for f in fields(Match)}
    return Match(**known)  # type: ignore[arg-type]
