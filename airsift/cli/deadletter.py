"""``airsift deadletter``: list and replay messages that could not be decoded."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from airsift.cli.common import ConfigOption, SetOption, complain, load_config, say
from airsift.cli.publish import KafkaOption, with_broker
from stream.lines import iso_time, one_line
from stream.sinks.format import padded

if TYPE_CHECKING:
    from stream.kafka.codec.dead_letter import DeadLetter

app = typer.Typer(no_args_is_help=True, help="Messages that could not be decoded.")

StationOption = Annotated[str | None, typer.Option(help="Only messages of this station.")]
LimitOption = Annotated[int | None, typer.Option(min=1, help="End after this many messages.")]


@app.command(name="list")
def show(
    station: StationOption = None,
    limit: LimitOption = None,
    kafka: KafkaOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Print the dead letters: time of the last refusal, original place, and reason."""
    settings = load_config(config, with_broker(kafka, sets)).kafka

    from stream.kafka.client.replay import Replayed, open_letters
    from stream.runner import stop_on_signals

    with stop_on_signals() as stop:
        letters = open_letters(settings, station, stop, Replayed())
        for _, letter in islice(letters, limit):
            say(_as_line(letter))


@app.command()
def replay(
    station: StationOption = None,
    limit: LimitOption = None,
    kafka: KafkaOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Send dead letters to the audio topic again, unchanged, once the cause is fixed.

    A message that was replayed before is skipped, unless it was refused again since.
    """
    settings = load_config(config, with_broker(kafka, sets)).kafka

    from stream.kafka.client.replay import replay as send_again
    from stream.runner import stop_on_signals

    with stop_on_signals() as stop:
        done = send_again(
            settings,
            stop=stop,
            complain=lambda line: complain(f"airsift: {line}"),
            station=station,
            limit=limit,
        )
    say(
        f"{done.sent} messages sent to {settings.topics.audio}, {done.sent_before} sent before, "
        f"{done.not_sent} not sent"
    )
    if done.not_sent:
        raise typer.Exit(1)


def _as_line(letter: DeadLetter) -> str:
    when = "(no time)"
    if letter.time_ms is not None:
        when = iso_time(letter.time_ms / 1000, "seconds")
    notes = f" (cut: {letter.truncated})" if letter.truncated else ""
    notes += f" (attempt {letter.attempt})" if letter.attempt > 1 else ""
    station = padded(one_line(letter.station or "(no key)"), 16)
    return f"{when:20}  {letter.origin}  {station}  {letter.reason}{notes}"
