"""``airsift worker``: the long-running consumer on Faust, one of many processes."""

from __future__ import annotations

from contextlib import ExitStack

from airsift.cli.common import ConfigOption, SetOption, load_config
from airsift.errors import ConfigError


def worker(config: ConfigOption = None, sets: SetOption = None) -> None:
    """Process the audio topic and publish to Kafka with Faust, until SIGINT or SIGTERM."""
    settings = load_config(config, sets)
    if settings.kafka.exactly_once:
        raise ConfigError(
            "kafka.exactly_once=true: airsift worker does not support it, because transactions of "
            "Faust do not cover its checkpoints; use airsift run --source kafka --sink kafka"
        )

    from airsift.build import build_pipeline
    from airsift.cli.run import forgiving
    from airsift.connect import event_kinds, log_parts, open_alarm_sinks, open_clips, open_tracing
    from airsift.malloc import (
        give_back_large_blocks,
        keep_all_objects,
        search_rarely_for_garbage,
    )
    from airsift.shutdown import shutdown_deadline
    from stream.kafka.codec.event_message import no_trace
    from stream.kafka.faust.worker import Worker, prepare_topics
    from stream.runner import stop_on_signals
    from stream.telemetry.observer import Observers
    from stream.telemetry.telemetry import open_telemetry

    give_back_large_blocks()  # before Faust's fetches
    # Before the worker joins, a signal ends the process at once: nothing can be lost yet.
    with (
        open_telemetry(settings.watch) as telemetry,
        open_tracing(settings, settings.kafka.topics.audio) as tracing,
        ExitStack() as closing,
    ):
        kinds = event_kinds(settings)
        prepare_topics(settings.kafka, kinds)  # before the networks, which take seconds to load
        log_parts("kafka", ["kafka"], settings)
        pipeline = build_pipeline(
            settings, reorder=True, with_levels=True, with_alarms=True, ready=True
        )
        sinks = open_alarm_sinks(settings, pipeline)
        for sink in sinks:
            closing.callback(sink.close)
        clips = open_clips(settings, pipeline)
        for each in clips:
            closing.callback(each.close)
        member = Worker(
            settings.kafka,
            pipeline,
            checkpoint_s=settings.run.checkpoint_s,
            kinds=kinds,
            sinks=sinks,
            observer=Observers(*filter(None, (telemetry, tracing)), *clips),
            trace_of=tracing.trace_of if tracing else no_trace,
        )
        if pipeline.alarms is not None:
            pipeline.alarms.source = member
        telemetry.bind(member, pipeline, sinks)  # it has the attributes of a source
        keep_all_objects()
        search_rarely_for_garbage()
        with (
            stop_on_signals() as stop,
            forgiving(stop, resumable=True),
            shutdown_deadline(stop),
        ):
            member.run(stop)
