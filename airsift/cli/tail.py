"""``airsift tail``: print the output topics."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from airsift.cli.common import ConfigOption, SetOption, load_config, put, write_for_machines
from airsift.cli.publish import KafkaOption, with_broker
from stream.lines import one_line, to_json
from stream.sinks.format import clock, kind_of, padded, said_by, utc

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        event = json.loads(unframed(record.value))
        kind = kind_of(event)
        when = _when(event)
        station = padded(one_line(str(event["station"])), 16)
        return one_line(f"{when:21}  {station}  {kind:<8}  {said_by(event)}".rstrip())
    except (ValueError, TypeError, KeyError, OverflowError):
        return f"{record.topic}[{record.partition}] {record.offset}: {(record.value or b'')[:80]!r}"


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


def _when(event: Mapping[str, Any]) -> str:
    """Return begin and end, in UTC if the time is known, else as positions in the stream."""
    start_s, end_s = event["start_s"], event["end_s"]
    time = event.get("time")
    if time is None:
        return f"{clock(start_s, tenths=False)} - {clock(end_s, tenths=False)}"
    begin = datetime.fromisoformat(time).timestamp()
    return f"{utc(begin)} - {utc(begin + end_s - start_s)[11:]}"


def _topic(name: str, settings: KafkaSettings) -> str:
    return str(getattr(settings.topics, name.replace("-", "_"), name))
