"""What a station's snapshot holds, and whether something is one.

A snapshot comes back from outside, as JSON that somebody may have damaged or written. So it is
checked here, in one place and before any stage sees it: every type and range, and what must agree
for the stages to go on. Whoever restores takes it whole or not at all.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    model_validator,
)

from fingerprint.analysis.landmarks import Landmarks
from stream.events import Label
from stream.stages.smooth import N_SUMS

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = 2
_MAX_SAMPLE = 2**60
_MAX_TIME_S = 253_402_300_800.0  # 10000-01-01, where dates end
_MAX_CLOCK_LAG_S = 366 * 86400.0  # the clock is followed in steps from there
_LANDMARKS_BYTES = 1 << 20  # of text; half a minute of music has 16 kB


def _is_text(text: str) -> str:
    text.encode()  # half of a pair of code units is none
    return text


_Sample = Annotated[int, Field(ge=0, le=_MAX_SAMPLE)]
_Number = Annotated[float, Field(ge=-1e15, le=1e15, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Score = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
_Text = Annotated[str, Field(max_length=10_000), AfterValidator(_is_text)]
_Loose = Strict(strict=False)  # JSON has lists only
_Sums = Annotated[list[_Number], Field(min_length=N_SUMS, max_length=N_SUMS)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Clock(_Part):
    """`stream.stages.clock`."""

    base: _Number
    knots: Annotated[
        list[Annotated[tuple[_Number, _Number], _Loose]], Field(min_length=1, max_length=64)
    ]
    broke: _Number | None
    offset: _Number
    heard: Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]
    far: _Number
    near: _Number
    said: _Number
    looks: Annotated[list[Annotated[tuple[_Sample, _Number], _Loose]], Field(max_length=64)]
    drift_ppm: _Number | None
    open: Annotated[dict[_Text, _Number | None], Field(max_length=10_000)]

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        _check(_is_sorted([since for since, _ in self.knots]), "knots are not in order")
        numbers = [number for number, _ in self.looks]
        _check(_is_sorted(numbers) and len({*numbers}) == len(numbers), "looks are not in order")
        _check(all(_is_date(time) for time in self.open.values() if time), "no date")
        return self


class _Switch(_Part):
    """`stream.stages.hysteresis`."""

    start: _Sample
    enter: _Share
    leave: _Share
    min_length: _Sample
    on: bool | None
    settled: _Sample
    crossing: _Sample
    reached: bool
    last_p: _Share | None
    last_at: _Sample
    first_at: _Sample
    total_p: _Number
    count: _Sample


class _Smooth(_Part):
    """`stream.stages.smooth`."""

    rate: Annotated[int, Field(gt=0, le=10**6)]
    speech: _Switch
    music: _Switch
    changes: list[Annotated[tuple[_Sample, Literal["speech", "music"], bool], _Loose]]
    present: dict[Literal["speech", "music"], bool]
    runs: list[Annotated[tuple[_Sample, Label], _Loose]]
    announced: _Sample | None
    sums: list[Annotated[tuple[_Sample, _Sums], _Loose]]
    base: _Sums

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        _check(_is_sorted([at for at, _ in self.runs]), "runs are not in order")
        _check(_is_sorted([at for at, _ in self.sums]), "sums are not in order")
        # A label needs both switches, and from then on there is always one that is open.
        _check(bool(self.runs) == (len(self.present) == 2), "runs and present do not agree")
        return self


class _Music(_Part):
    start: _Sample
    next_query: _Sample
    known: _Sample
    searched: _Sample
    end: _Sample | None
    asked: _Sample
    changed: bool


class _Match(_Part):
    station: _Text
    start: _Sample
    end: _Sample
    rate: Annotated[int, Field(gt=0, le=10**6)]
    time: None
    track: _Text
    title: _Text
    artist: _Text
    track_start: Annotated[int, Field(ge=-_MAX_SAMPLE, le=_MAX_SAMPLE)]
    score: _Score
    final: Literal[False]


class _Identify(_Part):
    """`stream.stages.identify`."""

    heard: _Sample
    music: _Music | None
    playing: Annotated[list[_Match], Field(max_length=1000)]
    kept: _Sample
    landmarks: Annotated[str, Field(max_length=_LANDMARKS_BYTES)]


class _Snapshot(_Part):
    """A station's, as `Pipeline.snapshot` gives it."""

    version: Literal[2]
    rate: Annotated[int, Field(gt=0, le=10**6)]  # samples per second, of all that follows
    hop: Annotated[int, Field(gt=0, le=10**6)]  # samples from one column to the next
    oldest: _Sample  # the first sample whose audio is needed again
    position: _Sample  # where the audio ended
    window: _Sample | None  # first column of the next window
    clock: _Clock | None
    voice: _Sample | None
    smooth: _Smooth | None
    identify: _Identify | None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        end = self.position
        _check(self.oldest <= end, "oldest lies after position")
        _check((self.window or 0) * self.hop <= end, "window lies after position")
        if self.clock is not None:
            _check_clock(self.clock, end / self.rate)
        if self.smooth is not None:
            _check(self.window is not None, "smooth without window")
            _check(self.smooth.rate == self.rate, "smooth counts at another rate")
            _check(max(_samples(self.smooth)) <= end, "smooth lies after position")
        if self.identify is not None:
            _check(max(_samples(self.identify)) <= end, "identify lies after position")
            landmarks = Landmarks.unpack(self.identify.landmarks)
            _check(landmarks.end <= end, "landmarks lie after position")
        return self


def is_snapshot(told: Any) -> bool:
    """Say whether a value, of JSON's types, can be restored."""
    return not why_no_snapshot(told)


def why_no_snapshot(told: Any, station: str | None = None) -> str:
    """Say in one line why a value is no snapshot of this version; "" where it is one.

    Parameters
    ----------
    told : Any
        What may be a snapshot, of JSON's types.
    station : str, optional
        Whose it must be.
    """
    try:
        snapshot = _Snapshot.model_validate(told)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "snapshot"
        return f"{where[:80]}: {first['msg'][:120]}"
    matches = snapshot.identify.playing if snapshot.identify else []
    if station is not None and any(match.station != station for match in matches):
        return "identify.playing: a match of another station"
    return ""


def _samples(part: _Smooth | _Identify) -> list[int]:
    """Return the samples that a part names, none of which can lie after the audio's end."""
    if isinstance(part, _Identify):
        of_matches = [sample for match in part.playing for sample in (match.start, match.end)]
        music = part.music
        of_music = [music.start, music.known, music.searched, music.end or 0] if music else []
        return [part.heard, part.kept, *of_music, *of_matches]
    switches = [
        sample
        for switch in (part.speech, part.music)
        for sample in (switch.start, switch.settled, switch.crossing, switch.last_at)
    ]
    lists = [entry[0] for entries in (part.changes, part.runs, part.sums) for entry in entries]
    return [*switches, *lists, part.announced or 0]


def _check_clock(clock: _Clock, end_s: float) -> None:
    _check(abs(clock.heard - end_s) < _MAX_CLOCK_LAG_S, "the clock is far off")
    for since, zero in clock.knots:
        _check(_is_date(zero + max(since, end_s)), "the clock shows no date")


def _is_sorted(numbers: Sequence[float]) -> bool:
    return all(a <= b for a, b in pairwise(numbers))


def _is_date(time: float) -> bool:
    return math.isfinite(time) and 0 <= time < _MAX_TIME_S


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
