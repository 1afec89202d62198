"""A subscriber to the output topics."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from stream.events import Alarm, Decision, Event, Gap, Level, Match, Repeat, Segment, Share
from stream.kafka.client.tail import follow

if TYPE_CHECKING:
    from stream.kafka.settings import KafkaSettings
    from stream.runner import Stop
    from stream.sinks.base import Sink

MS = 1000  # a subscriber counts milliseconds: the JSON has seconds to three places


class Subscriber:
    """Reads the output topics into a sink, and keeps the last state of each event.

    Parameters
    ----------
    settings : KafkaSettings
        Broker and topics.
    sink : Sink
        Shows the events as they come.

    Attributes
    ----------
    events : dict of str to Event
        Last state by id, in the order of first publication.
    """

    def __init__(self, settings: KafkaSettings, sink: Sink) -> None:
        self._settings = settings
        self._sink = sink
        self._read: set[tuple[str, int, int]] = set()
        self.events: dict[str, Event] = {}

    def read(self, stop: Stop, *, until_end: bool = False) -> None:
        """Read until `stop` is requested, or to the current end."""
        topics = list(self._settings.topics.events.values())
        for record in follow(
            self._settings, topics, stop=stop, from_start=True, until_end=until_end
        ):
            place = (record.topic, record.partition, record.offset)
            if place not in self._read:
                self._read.add(place)
                assert record.value is not None
                event = event_of(json.loads(record.value))
                self.events[event.id] = event
                self._sink.write([event])
        self._sink.flush()


def event_of(document: dict[str, Any]) -> Event:
    """Return the event of a message's JSON, with times in milliseconds."""
    kind = str(document["schema"]).split("/")[0].removeprefix("airsift.")
    time = document["time"]
    common = (
        str(document["station"]),
        round(document["start_s"] * MS),
        round(document["end_s"] * MS),
        MS,
        None if time is None else datetime.fromisoformat(time).timestamp(),
    )
    if kind == "decision":
        return Decision(
            *common,
            document["p_speech"],
            document["p_music"],
            final=document["final"],
            level_dbfs=document["level_dbfs"],
        )
    if kind == "segment":
        return Segment(*common, document["label"], document["score"], document["final"])
    if kind == "match":
        return Match(
            *common,
            document["track"],
            document["title"],
            document["artist"],
            round(document["track_start_s"] * MS),
            document["score"],
            document["final"],
        )
    if kind == "share":
        return Share(
            *common,
            document["track"],
            document["title"],
            document["artist"],
            round(document["track_start_s"] * MS),
            document["score"],
        )
    if kind == "repeat":
        return Repeat(
            *common,
            document["cluster"],
            document["count"],
            round(document["previous_start_s"] * MS),
            document["label"],
            document["guess"],
            document["title"],
        )
    if kind == "level":
        return Level(
            *common,
            document["level_dbfs"],
            tuple(document["channels_dbfs"]),
            document["true_peak_dbtp"],
            document["momentary_lufs"],
            document["short_term_lufs"],
            document["integrated_lufs"],
            document["correlation"],
            document["clipped"],
            document["silence_s"],
            tuple(document["dead_channels"]),
            document["frozen"],
            document["title"],
        )
    if kind == "alarm":
        return Alarm(
            *common,
            document["rule"],
            document["final"],
            document["severity"],
            document["escalated"],
            document["value"],
            document["threshold"],
            document["reason"],
            document["text"],
            document["group"],
        )
    if kind == "gap":
        return Gap(*common, document["reason"])
    raise ValueError(f"schema={document['schema']!r}: not an event of airsift")
