"""``airsift backfill``: process a past period of the audio topic again."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated

import typer

from airsift.cli.common import ConfigOption, SetOption, complain, inform, load_config
from airsift.cli.completion import complete_stations
from airsift.cli.exit_codes import ExitCode
from airsift.cli.publish import KafkaOption, with_broker
from airsift.errors import ConfigError

_Moment = 'as "yesterday 15:04", "2 hours ago" or "2026-11-29T15:04Z"'


def backfill(
    begin: Annotated[
        str, typer.Option("--from", metavar="TIME", help=f"Beginning of the period, {_Moment}.")
    ],
    station: Annotated[
        list[str],
        typer.Option(help="Name of a station; repeatable.", autocompletion=complete_stations),
    ],
    until: Annotated[str, typer.Option(metavar="TIME", help="Its end; by default, now.")] = "now",
    sink: Annotated[
        list[str] | None,
        typer.Option(help="kafka (default), database, jsonl:FILE or console; repeatable."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also send events that are on the topics already.")
    ] = False,
    tz: Annotated[
        str | None, typer.Option(metavar="ZONE", help="Zone of the times; else this machine's.")
    ] = None,
    kafka: KafkaOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Process a past period of the audio topic again, and publish the events that are missing.

    Ids are made of times, so nothing doubles, and workers of the group go on beside it. Use it for
    a period in which no worker ran, or to name its music with a catalogue that has grown.
    """
    from airsift.cli.history import read_time
    from airsift.cli.moments import zone_of

    zone = zone_of(tz)
    first, last = read_time(begin, zone), read_time(until, zone, is_end=True)
    if first >= last:
        raise ConfigError(f"--from {begin} is not before --until {until}; give an earlier time")
    settings = load_config(config, with_broker(kafka, sets))
    settings = settings.model_copy(
        update={
            # A repeat needs what was played in days before; a backfill is never behind.
            "repeats": settings.repeats.model_copy(update={"folder": ""}),
            "run": settings.run.model_copy(update={"overload_s": 0.0}),
            "kafka": settings.kafka.model_copy(update={"exactly_once": False}),
        }
    )
    names = sink or ["kafka"]

    from airsift.build import build_pipeline
    from airsift.connect import check_sinks, open_sink
    from stream.kafka.client.backfill import Backfilled
    from stream.kafka.client.backfill import backfill as process
    from stream.kafka.client.past import Period
    from stream.runner import stop_on_signals

    check_sinks(names)
    with ExitStack() as stack:
        sinks = [open_sink(name, settings) for name in names]
        for each in sinks:
            stack.callback(each.close)
        pipeline = build_pipeline(settings, reorder=True, with_levels=True)
        stop = stack.enter_context(stop_on_signals())
        done: Backfilled = process(
            settings.kafka,
            pipeline,
            sinks,
            dict.fromkeys(station),
            Period(first, last),
            stop=stop,
            again=again,
        )
    inform(_summary(done))
    if done.unfinished:
        inform(
            f"airsift: {done.unfinished} events of the period had no end where its audio ends; "
            "a worker that goes on with the station publishes them"
        )
    if stop.requested:
        complain("airsift: ended before the period did; run it again, nothing doubles")
        raise typer.Exit(ExitCode.INTERRUPTED)


def _summary(done: object) -> str:
    from stream.kafka.client.backfill import Backfilled

    assert isinstance(done, Backfilled)
    published = ", ".join(f"{n} {kind}s" for kind, n in sorted(done.published.items()))
    line = f"processed {done.seconds:.0f} s of audio; published {published or 'nothing'}"
    if there := sum(done.there.values()):
        line += f"; {there} events were published before"
    if done.refused:
        line += f"; {done.refused} messages could not be decoded"
    return line
