"""``airsift tail``: print the output topics."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from airsift.cli.common import ConfigOption, SetOption, load_config, put, write_for_machines
from airsift.cli.publish import KafkaOption, with_broker
from stream.lines import one_line, to_json
from stream.sinks.format import alarm, clock, level, padded, song, utc

if TYPE_CHECKING:
    from stream.kafka.records.consumer_record import ConsumerRecord
    from stream.kafka.settings import KafkaSettings


def tail(
    topic: Annotated[
        list[str] | None,
        typer.Option(
            help="decisions, segments, matches, shares, repeats, levels, gaps, alarms, "
            "dead-letters, or a "
            "topic's name; repeatable. Default: segments, matches and gaps."
        ),
    ] = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Begin with the oldest event.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The messages themselves, one JSON object a line.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="End after this many events.")] = None,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="End after the newest event.")
    ] = False,
    kafka: KafkaOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Print the events on the output topics as they come, until Ctrl-C."""
    settings = load_config(config, with_broker(kafka, sets)).kafka

    from stream.kafka.client.connect import ensure_topics
    from stream.kafka.client.tail import follow
    from stream.runner import stop_on_signals

    if as_json:
        write_for_machines()
    topics = [_topic(name, settings) for name in topic or ["segments", "matches", "gaps"]]
    ours = {*settings.topics.events.values(), settings.topics.dead_letters}
    ensure_topics(settings, {name: ["Read"] for name in topics if name in ours})
    with stop_on_signals() as stop:
        for count, record in enumerate(
            follow(settings, topics, stop=stop, from_start=from_start, until_end=until_end), 1
        ):
            put(_as_json(record) if as_json else as_line(record))
            if limit is not None and count >= limit:
                break


class _Event(TypedDict):
    """What is shown of an event; a message with other fields is shown as bytes."""

    schema: str
    station: str
    start_s: float
    end_s: float
    time: str | None
    label: str
    score: float
    final: bool
    artist: str
    title: str
    p_speech: float
    p_music: float
    cluster: str
    count: int
    guess: str


def as_line(record: ConsumerRecord) -> str:
    """Return one line for people: time, station, kind and content."""
    from stream.kafka.codec.event_message import unframed

    headers = dict(record.headers)
    reason = headers.get("airsift-reason")
    if reason is None and "airsift-replayed" in headers:
        reason = b"sent again"
    if reason is not None:
        station = (record.key or b"(no key)").decode("utf-8", "replace")
        why = one_line(reason.decode("utf-8", "replace"))
        return f"{'':21}  {padded(one_line(station), 16)}  dead letter  {why}"
    try:
        event: _Event = json.loads(unframed(record.value))
        kind = str(event["schema"]).split("/")[0].removeprefix("airsift.")
        when = _when(event)
        station = padded(one_line(str(event["station"])), 16)
        return one_line(f"{when:21}  {station}  {kind:<8}  {_content(kind, event)}".rstrip())
    except (ValueError, TypeError, KeyError, OverflowError):
        return f"{record.topic}[{record.partition}] {record.offset}: {(record.value or b'')[:80]!r}"


def _content(kind: str, event: _Event) -> str:
    if kind == "segment":
        return f"{event['label']} {event['score']:.2f}{'' if event['final'] else ' ...'}"
    if kind == "match":
        return f"{song(event['artist'], event['title'])} (score {event['score']:g})"
    if kind == "share":
        return f"a loop of {song(event['artist'], event['title'])} (score {event['score']:g})"
    if kind == "repeat":
        return f"{event['title'] or event['guess']} ({event['count']} times, {event['cluster']})"
    if kind == "level":
        return level(event)
    if kind == "alarm":
        return alarm(event)
    if kind == "decision":
        more = "" if event["final"] else " ..."
        return f"speech {event['p_speech']:.2f}  music {event['p_music']:.2f}{more}"
    return str(event.get("reason", ""))


def _as_json(record: ConsumerRecord) -> str:
    from stream.kafka.codec.event_message import unframed

    try:
        return to_json(json.loads(unframed(record.value)))
    except (ValueError, TypeError):  # the value of a dead letter is arbitrary
        headers = {
            name: (value or b"").decode("utf-8", "replace") for name, value in record.headers
        }
        key = (record.key or b"").decode("utf-8", "replace")
        return to_json({"topic": record.topic, "key": key, "headers": headers})


def _when(event: _Event) -> str:
    """Return begin and end, in UTC if the time is known, else as positions in the stream."""
    start_s, end_s = event["start_s"], event["end_s"]
    time = event.get("time")
    if time is None:
        return f"{clock(start_s, tenths=False)} - {clock(end_s, tenths=False)}"
    begin = datetime.fromisoformat(time).timestamp()
    return f"{utc(begin)} - {utc(begin + end_s - start_s)[11:]}"


def _topic(name: str, settings: KafkaSettings) -> str:
    return str(getattr(settings.topics, name.replace("-", "_"), name))
