"""What one station does: its state by all events so far, and what of that has changed.

A view holds `now`, and four lanes of the last things that happened: spans (segments and gaps),
songs, alarms, and the trace of probabilities. A lane keeps the values that changed last, so a
reader that applies what changed since its revision, in order, and keeps as many, has the same lane
(`tests/airsift/web/test_hub.py`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from airsift.web.reading import Seen, number, text, whole
from stream.levels.faults import faults_of

if TYPE_CHECKING:
    from airsift.json_types import Json, JsonObject

QUIET_S = 30.0  # without news, after which events of another time begin a view anew
_BACK_MS = 600_000  # before the newest: an older event is no news
_LABELS = ("speech", "music", "speech_over_music", "other")
_VOICES = ("female", "male")
MAX_LABELS = 20  # of your own, that hold at one time
# Values of each lane: kept for questions about the last hours, and shown to a reader.
LANES = {"spans": (500, 40), "songs": (100, 12), "alarms": (50, 12), "trace": (180, 180)}

Value = TypeVar("Value")


class Lane(Generic[Value]):
    """The values that changed last, by key, each with the revision at which it did.

    Parameters
    ----------
    kept, shown : int > 0
        Maximum number of values in memory, and of those that a reader gets.
    """

    def __init__(self, kept: int, shown: int) -> None:
        self._kept, self._shown = kept, shown
        self._values: OrderedDict[Hashable, tuple[int, Value]] = OrderedDict()

    def set(self, key: Hashable, value: Value, revision: int) -> None:
        """Set a value; it is now the one that changed last."""
        self._values[key] = revision, value
        self._values.move_to_end(key)
        if len(self._values) > self._kept:
            self._values.popitem(last=False)

    def since(self, revision: int) -> list[Value]:
        """Return what a reader needs that has the lane as of a revision, in order of change."""
        found = []
        for changed, value in islice(reversed(self._values.values()), self._shown):
            if changed <= revision:
                break
            found.append(value)
        return found[::-1]

    def values(self) -> Iterator[Value]:
        """Yield all values, in order of their last change."""
        return (value for _, value in self._values.values())


class StationView:
    """The state of one station.

    Parameters
    ----------
    name : str
        The station.
    revision : int
        At which it begins.

    Attributes
    ----------
    revision : int
        Of its last change.
    seen_s : float
        Monotonic time of its last news.
    head_ms : int
        How far it has come: the latest end of an event.
    """

    def __init__(self, name: str, revision: int) -> None:
        self.name = name
        self.revision = revision
        self.seen_s = 0.0
        self._begin(revision)

    def _begin(self, revision: int) -> None:
        self._begun = revision
        self.head_ms = 0
        self.is_dated = False
        self._now: JsonObject = {}
        self._open: OrderedDict[Hashable, JsonObject] = OrderedDict()  # songs
        self._labels: dict[str, int] = {}  # of your own: those that hold, and since when
        self.spans: Lane[list[Json]] = Lane(*LANES["spans"])
        self.songs: Lane[JsonObject] = Lane(*LANES["songs"])
        self.alarms: Lane[JsonObject] = Lane(*LANES["alarms"])
        self._trace: Lane[list[Json]] = Lane(*LANES["trace"])

    def apply(self, event: Seen, revision: int, now_s: float) -> bool:
        """Take an event that came at a monotonic time; return whether it is news.

        Kinds that the view does not show are none.
        """
        take = {
            "decision": self._decision,
            "segment": self._segment,
            "label": self._label,
            "gap": self._gap,
            "match": self._match,
            "level": self._level,
            "alarm": self._alarm,
        }.get(event.kind)
        if take is None:
            return False
        if self.head_ms and event.end_ms < self.head_ms - _BACK_MS:
            if now_s - self.seen_s < QUIET_S or event.kind not in ("decision", "segment"):
                return False  # it comes late, or again
            self._begin(revision)  # the clock of the station was set back
        take(event, revision)
        if event.end_ms >= self.head_ms or event.kind == "decision":
            self.seen_s = now_s
        self.head_ms = max(self.head_ms, event.end_ms)
        self.is_dated = isinstance(event.fields.get("time"), str)
        self.revision = revision
        return True

    @property
    def now(self) -> JsonObject:
        """What is known of the present, by the names of the API."""
        return dict(self._now)

    def changes(self, revision: int) -> JsonObject:
        """Return what a reader needs that has the view as of a revision; all below 0."""
        found: JsonObject = {
            "name": self.name,
            "head_ms": self.head_ms,
            "seen_s": round(self.seen_s, 1),
            "dated": self.is_dated,
            "now": self.now,
        }
        if revision < self._begun:
            found["reset"] = True
        lanes: list[tuple[str, Lane[Any]]] = [
            ("spans", self.spans), ("songs", self.songs), ("alarms", self.alarms),
            ("trace", self._trace),
        ]  # fmt: skip
        for name, lane in lanes:
            if values := lane.since(revision):
                found[name] = values
        return found

    def _decision(self, event: Seen, revision: int) -> None:
        speech, music = number(event.fields.get("p_speech")), number(event.fields.get("p_music"))
        if speech is None or music is None:
            return
        self._now |= {"p_speech": speech, "p_music": music, "decided_ms": event.end_ms}
        level = number(event.fields.get("level_dbfs"))
        if level is not None:
            self._now["level_dbfs"] = level
        self._trace.set(event.end_ms // 1000, [event.end_ms, speech, music], revision)

    def _segment(self, event: Seen, revision: int) -> None:
        label, final = event.fields.get("label"), event.fields.get("final") is not False
        if label not in _LABELS:
            return
        self.spans.set(
            (event.start_ms, False), [event.start_ms, event.end_ms, label, final], revision
        )
        since = self._now.get("since_ms")
        if isinstance(since, int) and event.start_ms < since:
            return  # of an earlier one
        voice = event.fields.get("voice")
        self._now |= {
            "label": label,
            "score": number(event.fields.get("score")),
            "since_ms": event.start_ms,
            "open": not final,
            "voice": voice if voice in _VOICES else None,
            "voice_score": number(event.fields.get("voice_score")),
        }

    def _label(self, event: Seen, revision: int) -> None:
        """Take a stretch with a label of one's own; the page shows those that are open."""
        del revision
        name = text(event.fields.get("label"))
        if not name:
            return
        if event.fields.get("final") is False:
            if name in self._labels or len(self._labels) < MAX_LABELS:
                self._labels[name] = event.start_ms
        elif self._labels.get(name, -1) <= event.start_ms:
            self._labels.pop(name, None)
        self._now["labels"] = sorted(self._labels)

    def _gap(self, event: Seen, revision: int) -> None:
        self.spans.set(
            (event.start_ms, True), [event.start_ms, event.end_ms, "gap", True], revision
        )
        if event.end_ms >= self.head_ms:
            self._now |= {"open": False, "label": None, "since_ms": event.start_ms}

    def _match(self, event: Seen, revision: int) -> None:
        fields, final = event.fields, event.fields.get("final") is not False
        key = event.start_ms, text(fields.get("track"))
        song: JsonObject = {
            "start_ms": event.start_ms,
            "end_ms": event.end_ms,
            "final": final,
            "track": key[1],
            "title": text(fields.get("title")),
            "artist": text(fields.get("artist")),
            "album": text(fields.get("album")),
            "track_start_s": number(fields.get("track_start_s")),
            "track_duration_s": number(fields.get("track_duration_s")),
            "score": number(fields.get("score")),
        }
        self.songs.set(key, song, revision)
        self._open.pop(key, None)
        if not final:
            self._open[key] = song
            if len(self._open) > LANES["songs"][1]:
                self._open.popitem(last=False)
        self._now["song"] = next(reversed(self._open.values()), None)

    def _level(self, event: Seen, revision: int) -> None:
        fields = event.fields
        names = "level_dbfs", "momentary_lufs", "short_term_lufs", "true_peak_dbtp", "correlation"
        level: JsonObject = {name: number(fields.get(name)) for name in names}
        try:
            level["faults"] = [*faults_of(fields)]
        except (KeyError, TypeError):  # it is no level of this version
            return
        self._now |= {"level": level, "stream_title": text(fields.get("title"))}
        if level["level_dbfs"] is not None:
            self._now["level_dbfs"] = level["level_dbfs"]

    def _alarm(self, event: Seen, revision: int) -> None:
        fields = event.fields
        key = text(fields.get("id")) or f"{event.start_ms}"
        value: JsonObject = {
            "id": key,
            "start_ms": event.start_ms,
            "end_ms": event.end_ms,
            "open": fields.get("final") is False,
            "rule": text(fields.get("rule")) or "alarm",
            "text": text(fields.get("text")),
            "severity": text(fields.get("severity")),
            "start_sample": whole(fields.get("start_sample")),
        }
        self.alarms.set(key, value, revision)
