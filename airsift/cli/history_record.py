"""``airsift history record``: the events on Kafka's topics, into the history."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import Annotated

import typer

from airsift.cli.common import ConfigOption, SetOption, load_config
from airsift.cli.publish import KafkaOption, with_broker

log = logging.getLogger(__name__)


def record(
    group: Annotated[
        str | None,
        typer.Option(
            help="Consumer group; several processes of one share the work. Default: "
            "kafka.group with -history behind it."
        ),
    ] = None,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="End when all events there are now are stored.")
    ] = False,
    kafka: KafkaOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Store the events on the output topics in the database, until SIGINT or SIGTERM.

    For events of `airsift worker`, and of any other that writes to the topics. Which kinds, and
    where: [database]. An event that comes again replaces itself.
    """
    settings = load_config(config, with_broker(kafka, sets))

    from airsift.connect import check_history

    check_history()
    from airsift.cli.run import forgiving
    from airsift.recorder import Recorder
    from airsift.shutdown import shutdown_deadline
    from stream.kafka.client.event_topics import EventTopics
    from stream.runner import stop_on_signals
    from stream.sinks.database import DatabaseSink
    from stream.telemetry.telemetry import open_telemetry

    kinds, name = settings.database.kinds, group or f"{settings.kafka.group}-history"
    with open_telemetry(settings.watch) as telemetry, ExitStack() as opened:
        sink = DatabaseSink(settings.database)
        opened.callback(sink.close)
        source = EventTopics(settings.kafka, kinds, name)
        opened.callback(source.close)
        telemetry.bind(source, None, [sink])
        log.info("group %s stores %s", name, ", ".join(kinds))
        recorder = Recorder(source, sink, kinds, settings.run.checkpoint_s)
        with stop_on_signals() as stop, forgiving(stop, resumable=True), shutdown_deadline(stop):
            while not stop.requested:
                recorder.step()
                telemetry.on_batch((), ())
                if until_end and source.is_at_end and recorder.commit():
                    break
            stop.is_safe = recorder.commit()
            opened.close()
        log.info("%d events stored, %d messages are no events", recorder.written, recorder.damaged)
