"""``airsift deadletter``: messages that were no audio, seen again and sent again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli._context import ConfigOption, SetOption, complain, load_config
from stream.cli.publish import KafkaOption, with_broker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream.kafka.deadletter import DeadLetter
    from stream.kafka.settings import KafkaSettings

app = typer.Typer(no_args_is_help=True)

StationOption = Annotated[str | None, typer.Option(help="Only messages of this station.")]
LimitOption = Annotated[int | None, typer.Option(min=1, help="End after so many messages.")]


@app.command(name="list")
def show(
    station: StationOption = None,
    limit: LimitOption = None,
    kafka: KafkaOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Print when and where each was refused, and why: oldest first."""
    settings = load_config(config, with_broker(kafka, sets)).kafka
    for letter in _letters(settings, station, limit):
        print(_as_line(letter), flush=True)


@app.command()
def replay(
    station: StationOption = None,
    limit: LimitOption = None,
    kafka: KafkaOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Send the messages to the audio topic again, as they came: after a mistake was mended."""
    settings = load_config(config, with_broker(kafka, sets)).kafka

    from stream.kafka.client import ensure_topics
    from stream.kafka.sender import Sender

    ensure_topics(settings, {settings.topics.audio: ["Write"]})
    sender = Sender(settings)
    sent = refused = 0
    try:
        for letter in _letters(settings, station, limit):
            if letter.truncated is not None:
                refused += 1
                complain(
                    f"airsift: {_place(letter)} is not sent: of its {letter.truncated} bytes "
                    f"{len(letter.message.value or b'')} were kept; send it again from where it "
                    "came"
                )
                continue
            sender.send(settings.topics.audio, *letter.message)
            sent += 1
        sender.flush()
    finally:
        sender.close()
    print(f"{sent} messages sent to {settings.topics.audio}")
    if refused:
        raise typer.Exit(1)


def _letters(
    settings: KafkaSettings, station: str | None, limit: int | None
) -> Iterator[DeadLetter]:
    """Yield what is on the topic now, oldest first within a partition."""
    from stream.drive import stop_on_signals
    from stream.kafka.client import ensure_topics
    from stream.kafka.deadletter import read_dead_letter
    from stream.kafka.tail import follow

    topic = settings.topics.dead_letters
    ensure_topics(settings, {topic: ["Read"]})
    count = 0
    with stop_on_signals() as stop:
        for record in follow(settings, [topic], stop=stop, from_start=True, until_end=True):
            letter = read_dead_letter(record)
            if station is not None and letter.station != station:
                continue
            yield letter
            count += 1
            if count == limit:
                return


def _as_line(letter: DeadLetter) -> str:
    when = "(no time)"
    if letter.time_ms is not None:
        moment = datetime.fromtimestamp(letter.time_ms / 1000, UTC)
        when = moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    cut = f" (cut from {letter.truncated} bytes)" if letter.truncated is not None else ""
    line = f"{when:20}  {_place(letter)}  {letter.station or '(no key)':<16}  {letter.reason}{cut}"
    # Names come from outside, and a terminal obeys control characters.
    return "".join(c if c.isprintable() else "?" for c in line)


def _place(letter: DeadLetter) -> str:
    return f"{letter.topic}[{letter.partition}] {letter.kafka_offset}"
