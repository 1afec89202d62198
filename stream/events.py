"""The events that airsift publishes, and their JSON.

Decisions, segments, labels of your own, matches, shares, repeats, levels, gaps and alarms.

All times inside are integer samples at `rate` (the model's, 16 kHz); seconds appear only in
the JSON. Intervals are half-open. Ids are functions of station, first sample and kind, so a
replay after a restart repeats ids and never invents them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import Field, Strict

from airsift.json_types import JsonObject
from stream.lines import iso_time, to_json_bytes
from stream.ranges import Finite, Flag, Number, Rate, Sample, Text, Whole, is_time

Label = Literal["speech", "music", "speech_over_music", "other"]
VoiceLabel = Literal["female", "male"]
TrackSample = Annotated[int, Strict(), Field(ge=-(2**60), le=2**60)]
Extra = Annotated[dict[Text, Text | Whole | Finite | Flag | None], Field(max_length=2_000)]
Score = Annotated[float, Strict(), Field(ge=0, le=1e9, allow_inf_nan=False)]

# Below this probability no voice is published.
VOICE_SURE = 0.7


@dataclass(frozen=True, slots=True)
class Event:
    """What is known of [start, end) of one station.

    Parameters
    ----------
    station : str
        The station it is about.
    start, end : int >= 0
        First sample and the sample after the last, at `rate`.
    rate : int > 0
        Samples per second that `start` and `end` count in.
    time : float, optional
        Unix time of `start` in seconds, where the source knows it.
    """

    station: Text
    start: Sample
    end: Sample
    rate: Rate
    time: Number | None

    kind: ClassVar[str]

    @property
    def id(self) -> str:
        """The same for the same station, first sample and kind, whenever it is computed."""
        return f"{self.station}/{self.kind}/{self.start}"

    def details(self) -> JsonObject:
        """Return the fields of this kind alone, ready for JSON."""
        raise TypeError(f"{type(self).__name__} is no kind of event of its own")

    def to_dict(self) -> JsonObject:
        """Return the event as JSON's types, in the order the schema lists them."""
        return {
            "schema": f"airsift.{self.kind}/1",
            "id": self.id,
            "station": self.station,
            "start_sample": self.start,
            "end_sample": self.end,
            "start_s": round(self.start / self.rate, 3),
            "end_s": round(self.end / self.rate, 3),
            "time": _iso(self.time),
            **self.details(),
        }

    def to_json(self) -> str:
        """Return the event as one line of JSON."""
        return self.to_bytes().decode()

    def to_bytes(self) -> bytes:
        """Return the event as one line of JSON in UTF-8."""
        return to_json_bytes(self.to_dict())


@dataclass(frozen=True, slots=True)
class Decision(Event):
    """The probabilities of one window: of 5 s, or of what there is of them.

    `p_speech` and `p_music` are independent probabilities in [0, 1]; both may be high. They are
    published as they are: rounded where they were made, before anything was decided from them.
    `final` is False for the first decision after the audio begins, which is made when about 2 s of
    its window are there. A later decision with the same id replaces it.

    `level_dbfs` is the level of the window's audio in all its channels; None where levels are not
    measured, see `Level`.

    Two fields are not published: `voice_odds`, the log odds of a female voice where the voice
    network was run, and `boundary_frames`, (sample, p_speech, p_music) around the window's middle
    where the network has frame-level outputs.
    """

    p_speech: float
    p_music: float
    voice_odds: float | None = None
    boundary_frames: tuple[tuple[int, float, float], ...] = ()
    final: bool = True
    level_dbfs: float | None = None

    kind: ClassVar[str] = "decision"

    @property
    def confidence(self) -> float:
        """Probability in [0.25, 1] that speech and music are both as they are likelier to be."""
        return max(self.p_speech, 1 - self.p_speech) * max(self.p_music, 1 - self.p_music)

    def details(self) -> JsonObject:
        return {
            "p_speech": self.p_speech,
            "p_music": self.p_music,
            "confidence": round(self.confidence, 3),
            "final": self.final,
            "level_dbfs": self.level_dbfs,
        }


@dataclass(frozen=True, slots=True)
class Segment(Event):
    """A stretch with one label. Published while it is open, and once when it is closed.

    `score` in [0, 1] is the mean probability of what the label says; `final` is False while
    `end` may still grow. A later event with the same id replaces an earlier one.

    `voice_score` in [0.5, 1] is the probability of the likelier voice, by the mean log odds of
    the windows that the voice network classified; None where none was. `voice` is None below
    `VOICE_SURE`.
    """

    label: Label
    score: float
    final: bool
    voice: VoiceLabel | None = None
    voice_score: float | None = None

    kind: ClassVar[str] = "segment"

    def details(self) -> JsonObject:
        return {
            "label": self.label,
            "score": round(self.score, 3),
            "final": self.final,
            "voice": self.voice,
            "voice_score": self.voice_score,
        }


@dataclass(frozen=True, slots=True)
class Labelled(Event):
    """A stretch in which a label of a network of your own holds.

    Such labels are independent: stretches of two of them may overlap, and between those of one
    there is time without it. `score` in [0, 1] is the mean probability of `label`. Published while
    it is open, with `final` False, and once when it is closed, under one id.
    """

    label: Text
    score: float
    final: Flag

    kind: ClassVar[str] = "label"

    @property
    def id(self) -> str:
        return f"{self.station}/{self.kind}/{self.start}/{self.label}"

    def details(self) -> JsonObject:
        return {"label": self.label, "score": round(self.score, 3), "final": self.final}


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another track that a match may be: the catalogue's key, the title and the artist."""

    track: Text
    title: Text
    artist: Text


@dataclass(frozen=True, slots=True)
class TrackEvent(Event):
    """What is known of a track of the catalogue in [start, end).

    `track` is the catalogue's key; `track_start` the position in the track that sounds like
    `start`, in samples at `rate`; `score` the matcher's. `album`, `isrc` and `record_label` are
    the catalogue's, and empty where it does not know them.
    """

    track: Text
    title: Text
    artist: Text
    track_start: TrackSample
    score: Score
    album: Text = field(default="", kw_only=True)
    isrc: Text = field(default="", kw_only=True)
    record_label: Text = field(default="", kw_only=True)

    @property
    def id(self) -> str:
        return f"{self.station}/{self.kind}/{self.start}/{self.track}"

    def _where(self) -> JsonObject:
        return {
            "track": self.track,
            "title": self.title,
            "artist": self.artist,
            "track_start_s": round(self.track_start / self.rate, 2),
            "score": round(self.score, 3),
        }

    def _record(self) -> JsonObject:
        return {"album": self.album, "isrc": self.isrc, "record_label": self.record_label}


@dataclass(frozen=True, slots=True)
class Match(TrackEvent):
    """A track of the catalogue that plays in [start, end).

    `final` is False while the track is still playing: a later event with the same id replaces
    this one. `track_duration` (in samples at `rate`) and `extra` are the catalogue's; None, and
    empty, where it does not know them.

    `alternatives` are the other tracks that may be playing: those with the same recording, and
    those that share the audio so far.
    """

    final: Flag
    track_duration: Sample | None = None
    extra: Extra = field(default_factory=dict)
    alternatives: Annotated[tuple[Alternative, ...], Field(max_length=1000)] = ()

    kind: ClassVar[str] = "match"

    def details(self) -> JsonObject:
        return {
            **self._where(),
            "final": self.final,
            **self._record(),
            "track_duration_s": self.track_duration and round(self.track_duration / self.rate, 3),
            "extra": self.extra,
            "alternatives": [
                {"track": each.track, "title": each.title, "artist": each.artist}
                for each in self.alternatives
            ],
        }


@dataclass(frozen=True, slots=True)
class Share(TrackEvent):
    """A loop of a track, heard in [start, end) in another piece: the track itself does not play.

    Producers build different pieces of the same loops, so a share names no music and is no match.
    It is published once, when no later query can change it. A loop has several places that sound
    like `start`; `track_start` is one of them.
    """

    kind: ClassVar[str] = "share"

    def details(self) -> JsonObject:
        return {**self._where(), **self._record()}


@dataclass(frozen=True, slots=True)
class Repeat(Event):
    """A piece in [start, end) that the station played before; no catalogue is needed.

    `cluster` names what is played, and is the same for every occurrence. `count` is the number of
    occurrences in the window, with this one; `previous` is the first sample of the one before.
    `label` is that of most of it, empty where unknown. `guess` says what it may be: "advert",
    "jingle", "song", "bed", "programme open" or "other". `title` is empty until the cluster is in
    the catalogue.
    """

    cluster: str
    count: int
    previous: int
    label: str
    guess: str
    title: str = ""

    kind: ClassVar[str] = "repeat"

    @property
    def id(self) -> str:
        return f"{self.station}/{self.kind}/{self.start}/{self.cluster}"

    def details(self) -> JsonObject:
        return {
            "cluster": self.cluster,
            "count": self.count,
            "previous_start_s": round(self.previous / self.rate, 3),
            "label": self.label,
            "guess": self.guess,
            "title": self.title,
        }


@dataclass(frozen=True, slots=True)
class Level(Event):
    """How loud [start, end) is, and whether something is wrong with its samples.

    It is of the audio as it came: at its own rate, with all its channels. All decibels are at least
    -120, also of silence.

    Parameters
    ----------
    level_dbfs : float
        Mean square over samples and channels; a sine at full scale has -3.01.
    channels_dbfs : tuple of float
        The same of each channel, since the number of channels or the rate last changed.
    true_peak_dbtp : float
        The greatest value, between samples too.
    momentary_lufs : float or None
        The greatest loudness of 0.4 s that end here; None where there is none.
    short_term_lufs : float or None
        Loudness of the 3 s before `end`; None where there are less.
    integrated_lufs : float or None
        Loudness since the audio began, or since it was last begun anew; None where all was below
        -70 LUFS.
    correlation : float or None
        Of left and right, in [-1, 1]; None for mono and for silence.
    clipped : int
        Samples that lie in a row at full scale.
    silence_s : float
        Seconds without any sample but 0.
    dead_channels : tuple of int
        Channels, from 1, that are silent all the time while the other one of their pair is not.
    frozen : bool
        Whether the same audio comes again and again, see `stream.levels.repetition`.
    title : str or None
        What the source says is playing.
    """

    level_dbfs: float
    channels_dbfs: tuple[float, ...]
    true_peak_dbtp: float
    momentary_lufs: float | None
    short_term_lufs: float | None
    integrated_lufs: float | None
    correlation: float | None
    clipped: int
    silence_s: float
    dead_channels: tuple[int, ...]
    frozen: bool
    title: str | None = None

    kind: ClassVar[str] = "level"

    def details(self) -> JsonObject:
        return {
            "level_dbfs": self.level_dbfs,
            "channels_dbfs": [*self.channels_dbfs],
            "true_peak_dbtp": self.true_peak_dbtp,
            "momentary_lufs": self.momentary_lufs,
            "short_term_lufs": self.short_term_lufs,
            "integrated_lufs": self.integrated_lufs,
            "correlation": self.correlation,
            "clipped": self.clipped,
            "silence_s": self.silence_s,
            "dead_channels": [*self.dead_channels],
            "frozen": self.frozen,
            "title": self.title,
        }


@dataclass(frozen=True, slots=True)
class Gap(Event):
    """No audio in [start, end), and why. Open segments close at its start."""

    reason: str

    kind: ClassVar[str] = "gap"

    def details(self) -> JsonObject:
        return {"reason": self.reason}


@dataclass(frozen=True, slots=True)
class Alarm(Event):
    """Something is wrong with a station since `start`; published when it opens and when it closes.

    Parameters
    ----------
    rule : str
        Which kind of alarm it is, a key of `stream.alarms.rules.KINDS`.
    final : bool
        Whether it is over: `end` is then where it was last wrong. Before, `end` is where it opened
        or escalated.
    severity : {"warning", "critical"}
        How bad it is.
    escalated : bool
        Whether it has lasted so long that its severity was raised.
    value : float or None
        What was measured last while it was wrong.
    threshold : float or None
        The limit of it.
    reason : str
        Why it is over: "over", or "ended" where the audio or the run ended or a silent station was
        forgotten, or "withdrawn" where its rule or its station was removed; empty while it is open.
    text : str
        It in words.
    group : str
        That of the station in its list.
    """

    rule: str
    final: bool
    severity: Literal["warning", "critical"]
    escalated: bool
    value: float | None
    threshold: float | None
    reason: str
    text: str
    group: str = ""

    kind: ClassVar[str] = "alarm"

    @property
    def id(self) -> str:
        return f"{self.station}/{self.kind}/{self.start}/{self.rule}"

    def details(self) -> JsonObject:
        return {
            "rule": self.rule,
            "final": self.final,
            "severity": self.severity,
            "escalated": self.escalated,
            "value": self.value,
            "threshold": self.threshold,
            "reason": self.reason,
            "text": self.text,
            "group": self.group,
        }


def _iso(time: float | None) -> str | None:
    if time is None or not is_time(time):
        return None
    return iso_time(time)
