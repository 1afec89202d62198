"""A station's snapshot: what a restart needs of it besides the audio.

A snapshot is read back from outside, as JSON that may be damaged or invented. `Snapshot.from_json`
checks all of it before any stage sees it: every type and range, and what must agree for the stages
to go on. So a snapshot is restored whole or not at all.

It is encoded once, where it is made, and goes to its store and back as a `StoredSnapshot`: bytes.
As Python's lists and dicts, those of a thousand stations cost more than all audio processing, in
encoding and in searches for garbage.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import from_json

from fingerprint.analysis.landmarks import Landmarks
from stream.lines import to_json_bytes
from stream.ranges import Rate, Sample
from stream.stages.alarms import AlarmsPart
from stream.stages.classify import ClassifyPart
from stream.stages.clock import ClockState
from stream.stages.identify import IdentifyPart
from stream.stages.labels import LabelsPart
from stream.stages.levels import Programme
from stream.stages.repeats import RepeatsPart
from stream.stages.smooth import SmoothState
from stream.stages.work_budget import Accounts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airsift.json_types import JsonObject

VERSION = 1
_MAX_TIME_S = 253_402_300_800.0  # 10000-01-01, where dates end
_MAX_CLOCK_LAG_S = 366 * 86400.0  # the clock is followed in steps from there


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """A station's snapshot as it is stored, and the one number of it that its store needs.

    Parameters
    ----------
    data : bytes
        The snapshot as JSON in UTF-8, without spaces between its parts.
    oldest : int >= 0
        First sample whose audio is needed again, at the model's rate.
    """

    data: bytes
    oldest: int

    @classmethod
    def of_json(cls, value: object, station: str | None = None) -> Self:
        """Check a value of JSON's types, as `Snapshot.from_json`, and return it encoded.

        Raises
        ------
        ValueError
            It is no snapshot of this version; the message says why in one line.
        """
        snapshot = Snapshot.from_json(value, station)
        return cls(to_json_bytes(snapshot), snapshot.oldest)

    def to_json(self) -> JsonObject:
        """Return the snapshot as JSON's types."""
        value: JsonObject = from_json(self.data)
        return value


class Snapshot(BaseModel):
    """What a station's stages remember. All samples count at `rate`.

    Attributes
    ----------
    rate, hop : int > 0
        Samples per second of the model, and from one of its columns to the next.
    oldest : int >= 0
        First sample whose audio is needed again.
    align : int >= oldest
        Sample at which the audio goes on.
    columns : int, optional
        First column of the next window.
    clock, levels, classify, voice, smooth, labels, identify, repeats, alarms
        What these stages remember; None where they remember nothing.
    work
        What the queries of `identify` may still cost; None where nothing bounds them.
    """

    # Built when it is first used: files have none.
    model_config = ConfigDict(
        frozen=True, extra="forbid", ser_json_inf_nan="constants", defer_build=True
    )

    version: Literal[1]
    rate: Rate
    hop: Rate
    oldest: Sample
    align: Sample
    columns: Sample | None
    clock: ClockState | None
    levels: Programme | None
    classify: ClassifyPart | None
    voice: Sample | None
    smooth: SmoothState | None
    labels: LabelsPart | None = None
    identify: IdentifyPart | None
    work: Accounts | None
    repeats: RepeatsPart | None
    alarms: AlarmsPart | None

    @classmethod
    def from_json(cls, value: object, station: str | None = None) -> Self:
        """Check a value of JSON's types, and return the snapshot that it is.

        Parameters
        ----------
        value : object
            As `to_json` returned it, for whatever reason it is something else now.
        station : str, optional
            The station that it must be of.

        Raises
        ------
        ValueError
            It is no snapshot of this version; the message says why in one line.
        """
        try:
            snapshot = cls.model_validate(value)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"])) or "snapshot"
            raise ValueError(f"{where[:80]}: {first['msg'][:120]}") from None
        # A snapshot of before there were labels goes on without them.
        if isinstance(value, dict) and snapshot.to_json() != {"labels": None, **value}:
            raise ValueError("snapshot: a field is missing")
        identify = snapshot.identify
        playings = [*identify.playings, *identify.over] if identify else []
        named = [each.match.station for each in playings]
        named += [each.station for each in identify.shares] if identify else []
        if station is not None and any(each != station for each in named):
            raise ValueError("identify: a match or a share is of another station")
        return snapshot

    @classmethod
    def of(cls, parts: Mapping[str, object], *, rate: int, hop: int, oldest: int) -> Self:
        """Return the snapshot that stages' parts make, by their names, and that holds as long."""
        # Stages are trusted: nothing is checked, and nothing copied.
        fields: dict[str, Any] = {name: parts.get(name) for name in cls.model_fields}
        fields |= {"version": VERSION, "rate": rate, "hop": hop, "oldest": oldest}
        return cls.model_construct(**fields)

    def to_json(self) -> JsonObject:
        """Return the snapshot as JSON's types."""
        return self.model_dump(mode="json")

    def encode(self) -> StoredSnapshot:
        """Return the snapshot as bytes; what it was made of may change then.

        Raises
        ------
        ValueError
            A number is not finite.
        """
        return StoredSnapshot(to_json_bytes(self), self.oldest)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        end = self.align
        _check(self.oldest <= end, "oldest lies after align")
        _check((self.columns or 0) * self.hop <= end, "columns lies after align")
        if self.clock is not None:
            _check_clock(self.clock, end / self.rate)
        if self.levels is not None and (problem := self.levels.check(end)):
            raise ValueError(problem)
        _check((self.columns is None) == (self.classify is None), "columns without classify")
        if self.classify is not None:
            decided = self.classify.decided
            _check(decided * self.hop <= end, "classify lies after align")
            _check(decided >= (self.columns or 0), "decided lies before columns")
        if self.smooth is not None:
            _check(self.columns is not None, "smooth without columns")
            _check(self.smooth.rate == self.rate, "smooth counts at another rate")
            _check_smooth(self.smooth, end)
        if self.labels is not None:
            _check(self.columns is not None, "labels without columns")
            for each in self.labels.smooth.values():
                _check(each.rate == self.rate, "labels count at another rate")
                _check_smooth(each, end)
        if self.identify is not None:
            _check_identify(self.identify, end)
        if self.work is not None:
            _check(self.work.at <= end, "work lies after align")
        if self.repeats is not None and (problem := self.repeats.check(end)):
            raise ValueError(problem)
        if self.alarms is not None and (problem := self.alarms.check()):
            raise ValueError(problem)
        return self


def _check_clock(clock: ClockState, end_s: float) -> None:
    numbers = [number for number, _ in clock.looks]
    _check(_is_sorted([since for since, _ in clock.knots]), "knots are not in order")
    _check(_is_sorted(numbers) and len({*numbers}) == len(numbers), "looks are not in order")
    _check(all(_is_date(time) for time in clock.open.values() if time), "no date")
    _check(abs(clock.followed - end_s) < _MAX_CLOCK_LAG_S, "the clock is far off")
    for since, zero in clock.knots:
        _check(_is_date(zero + max(since, end_s)), "the clock shows no date")


def _check_smooth(smooth: SmoothState, end: int) -> None:
    search = smooth.search
    _check(_is_sorted([at for at, _ in smooth.sums]), "sums are not in order")
    # The search has a label before any change, and its cells are in order.
    paths = [*search.paths, *(path for each in search.waiting for path in each.paths)]
    _check(search.label is not None or not any(paths), "a change without a label before it")
    cells = [[search.start, *(at for at, _ in path), search.cell] for path in paths]
    _check(all(map(_is_sorted, cells)), "cells are not in order")
    samples = [smooth.start, search.cell, *(at for at, _ in smooth.sums), smooth.published or 0]
    samples.append(smooth.last[0] if smooth.last else 0)
    _check(max(samples) <= end, "smooth lies after align")


def _check_identify(identify: IdentifyPart, end: int) -> None:
    samples = [identify.end, identify.audio_from, Landmarks.unpack(identify.landmarks).end]
    query = identify.query
    samples += [query.start, query.asked, query.known, query.searched, query.music or 0]
    for each in identify.playings:
        _check(not each.match.final, "playings: one that is final")
    for each in identify.over:
        _check(each.match.final and each.named, "over: one that is not final")
    for each in [*identify.playings, *identify.over]:
        _check(each.match.time is None, "playings: one that is dated")
        samples += [each.match.start, each.match.end]
    for share in identify.shares:
        _check(share.time is None and share.start < share.end, "shares: one that cannot be")
        samples += [share.start, share.end]
    _check(max(samples) <= end, "identify lies after align")


def _is_sorted(numbers: Sequence[float]) -> bool:
    return all(a <= b for a, b in pairwise(numbers))


def _is_date(time: float) -> bool:
    return math.isfinite(time) and 0 <= time < _MAX_TIME_S


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
