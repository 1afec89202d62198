"""Decisions to segments, on line.

A decision speaks for the middle of its window: for the moments around it where the network
tells them apart, else for that alone. Two switches (`stream.stages.hysteresis`) say when speech
and music come and go; what they say together is the label. A label that lasts less than the
shortest segment is given to its neighbours::

    speech   ████████████▌
    music              ▐██████████
    label    speech    :music          the overlap is too short: split in its middle
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from stream.audio import Cut
from stream.events import VOICE_SURE, Decision, Label, Segment, VoiceLabel
from stream.stages.hysteresis import Switch

LABELS: dict[tuple[bool, bool], Label] = {
    (True, False): "speech",
    (False, True): "music",
    (True, True): "speech_over_music",
    (False, False): "other",
}


# What is summed: decisions, the probability of each label, windows whose voice was judged and
# the log odds of a female one.
N_SUMS = len(LABELS) + 3


@dataclass(frozen=True, slots=True)
class SmoothSettings:
    """How decisions become segments.

    Parameters
    ----------
    enter, leave : float in (0, 1), leave <= 0.5 <= enter
        Thresholds of the switches, on a scale on which the level is one half.
    min_length : int > 0
        Shortest segment, in samples; at least the step between two decisions.
    update : int > 0
        Samples between two publications of a segment that is still open.
    grid : int > 0
        Boundaries fall on multiples of this many samples.
    speech_level, music_level : float in (0, 1)
        Probability at a boundary. A network that is sure of speech in a window that is half
        speech has a level above one half; at one half, what it hears would begin early and end
        late.
    """

    enter: float
    leave: float
    min_length: int
    update: int
    grid: int
    speech_level: float = 0.5
    music_level: float = 0.5


@dataclass(slots=True)
class _Session:
    """What is remembered of one station between two cuts: small, and plain enough for JSON."""

    rate: int
    speech: Switch
    music: Switch
    changes: list[tuple[int, str, bool]] = field(default_factory=list)  # certain, not in `runs`
    present: dict[str, bool] = field(default_factory=dict)
    runs: list[tuple[int, Label]] = field(default_factory=list)  # (start, label); [0] is open
    announced: int | None = None  # end of the open segment when last published
    sums: list[tuple[int, list[float]]] = field(default_factory=list)  # up to each decision
    base: list[float] = field(default_factory=lambda: [0.0] * N_SUMS)  # up to runs[0]'s start


class Smooth:
    """Turn each station's decisions into segments that cover its audio without overlap.

    The first segment of a session begins with the session's first window; the last one ends
    where the audio does. Published segments that are not final may change; final ones never.
    """

    def __init__(self, settings: SmoothSettings) -> None:
        self.settings = settings
        self._sessions: dict[str, _Session] = {}

    def push(self, items: Sequence[Decision | Cut]) -> list[Decision | Segment | Cut]:
        """Return `items`, each preceded (a cut) or followed by the segments it completes."""
        out: list[Decision | Segment | Cut] = []
        for item in items:
            if isinstance(item, Cut):
                out += self._end(item)
                out.append(item)
            else:
                out.append(item)
                out += self._decide(item)
        return out

    def forget(self, station: str) -> None:
        """Drop what is known of a station, without ending it."""
        self._sessions.pop(station, None)

    def snapshot(self, station: str) -> dict[str, Any] | None:
        """Return what `restore` needs to go on as if nothing had happened, as JSON's types."""
        session = self._sessions.get(station)
        return None if session is None else asdict(session)

    def restore(self, station: str, snapshot: Mapping[str, Any]) -> None:
        """Go on where `snapshot` was taken."""
        values = dict(snapshot)
        for name in ("speech", "music"):
            values[name] = Switch(**values[name])
        for name in ("changes", "runs", "sums"):
            values[name] = [tuple(entry) for entry in values[name]]
        values["base"] = list(values["base"])
        values["present"] = dict(values["present"])
        self._sessions[station] = _Session(**values)

    def _decide(self, decision: Decision) -> list[Segment]:
        session = self._sessions.get(decision.station)
        if session is None:
            session = self._sessions[decision.station] = self._begin(decision)
        middle = (decision.start + decision.end) // 2
        p_speech, p_music = decision.p_speech, decision.p_music
        for at, *heard in decision.moments or [(middle, p_speech, p_music)]:
            for name, switch, p, level in (
                ("speech", session.speech, heard[0], self.settings.speech_level),
                ("music", session.music, heard[1], self.settings.music_level),
            ):
                change = switch.push(at, centred(p, level), grid=self.settings.grid)
                if change is not None:
                    session.changes.append((change[0], name, change[1]))
        odds = decision.voice_odds
        voice = [0.0, 0.0] if odds is None else [1.0, odds]
        _add(session, middle, [1.0, *_label_probabilities(p_speech, p_music), *voice])
        settled = min(session.speech.settled, session.music.settled)
        _apply(session, settled)
        out = self._close(decision.station, session, settled)
        return out + self._announce(decision.station, session, settled)

    def _begin(self, decision: Decision) -> _Session:
        s = self.settings
        return _Session(
            decision.rate,
            speech=Switch(decision.start, s.enter, s.leave, s.min_length),
            music=Switch(decision.start, s.enter, s.leave, s.min_length),
        )

    def _end(self, cut: Cut) -> list[Segment]:
        session = self._sessions.pop(cut.station, None)
        if session is None:
            return []
        for name, switch in (("speech", session.speech), ("music", session.music)):
            change = switch.finish(cut.start)
            if change is not None:
                session.changes.append((change[0], name, change[1]))
        _apply(session, cut.start)
        out = self._close(cut.station, session, cut.start)
        return [*out, self._final(cut.station, session, cut.start)]

    def _close(self, station: str, session: _Session, settled: int) -> list[Segment]:
        """Return the segments that end before a label which has lasted long enough."""
        out: list[Segment] = []
        shortest = self.settings.min_length
        runs = session.runs
        while True:
            ends = [start for start, _ in runs[1:]] + [settled]
            lasting = [i for i in range(1, len(runs)) if ends[i] - runs[i][0] >= shortest]
            if not lasting:
                return out
            following = lasting[0]
            start, label = runs[0]
            next_start, next_label = runs[following]
            if label == next_label or runs[1][0] - start < shortest:
                runs[: following + 1] = [(start, next_label)]
                continue
            grid = self.settings.grid
            boundary = (runs[1][0] + next_start) // 2 // grid * grid
            out.append(self._final(station, session, boundary))
            runs[: following + 1] = [(boundary, next_label)]
            session.announced = None

    def _announce(self, station: str, session: _Session, settled: int) -> list[Segment]:
        """Return the open segment, if it is time to publish it."""
        if not session.runs:
            return []
        start = session.runs[0][0]
        end = session.runs[1][0] if len(session.runs) > 1 else settled
        if end - start < self.settings.min_length or (
            session.announced is not None and end - session.announced < self.settings.update
        ):
            return []
        session.announced = end
        return [self._segment(station, session, end, final=False)]

    def _final(self, station: str, session: _Session, end: int) -> Segment:
        segment = self._segment(station, session, end, final=True)
        session.base = _sums_before(session, end)
        return segment

    def _segment(self, station: str, session: _Session, end: int, *, final: bool) -> Segment:
        start, label = session.runs[0]
        sums = [b - a for a, b in zip(session.base, _sums_before(session, end), strict=True)]
        mean = sums[1 + list(LABELS.values()).index(label)] / max(sums[0], 1)
        score = min(max(mean, 0.0), 1.0)  # differences of sums are exact to a few bits only
        voice, voice_score = _voice(*sums[-2:]) if label == "speech" else (None, None)
        return Segment(
            station, start, end, session.rate, None, label, score, final, voice, voice_score
        )


def centred(p: float, level: float) -> float:
    """Return a probability moved along the log odds so that `level` becomes one half."""
    on, off = p * (1.0 - level), (1.0 - p) * level
    return on / (on + off)


def _apply(session: _Session, settled: int) -> None:
    """Move the changes that nothing can precede any more into `runs`."""
    session.changes.sort(key=lambda change: change[0])
    while session.changes and session.changes[0][0] <= settled:
        at, name, on = session.changes.pop(0)
        session.present[name] = on
        if len(session.present) < 2:
            continue
        label = LABELS[session.present["speech"], session.present["music"]]
        if session.runs and session.runs[-1][0] == at:
            session.runs.pop()
        if not session.runs or session.runs[-1][1] != label:
            session.runs.append((at, label))
    # Sums before the next possible boundary are never asked for again, but for the last.
    limit = session.runs[1][0] if len(session.runs) > 1 else settled
    while len(session.sums) > 1 and session.sums[1][0] < limit:
        session.sums.pop(0)


def _add(session: _Session, at: int, values: Sequence[float]) -> None:
    before = session.sums[-1][1] if session.sums else session.base
    session.sums.append((at, [a + b for a, b in zip(before, values, strict=True)]))


def _sums_before(session: _Session, at: int) -> list[float]:
    earlier = [sums for when, sums in session.sums if when < at]
    return earlier[-1] if earlier else session.base


def _label_probabilities(p_speech: float, p_music: float) -> list[float]:
    return [
        (p_speech if speech else 1 - p_speech) * (p_music if music else 1 - p_music)
        for speech, music in LABELS
    ]


def _voice(windows: float, odds: float) -> tuple[VoiceLabel | None, float | None]:
    """Return the likelier voice and its probability, by the mean log odds of a female one."""
    if not windows:
        return None, None
    score = round(1 / (1 + math.exp(-abs(odds) / windows)), 3)  # as published
    if score < VOICE_SURE:
        return None, score
    return ("female" if odds > 0 else "male"), score
