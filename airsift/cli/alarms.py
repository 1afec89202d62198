"""``airsift alarms``: send a test alarm to every target."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from airsift.cli.at_once import at_once
from airsift.cli.common import ConfigOption, SetOption, inform, load_config, say
from airsift.errors import ConfigError

if TYPE_CHECKING:
    from stream.alarms.delivery import Target
    from stream.events import Alarm

app = typer.Typer(no_args_is_help=True, help="Alarms and their notifications.")

_RATE = 16_000
_RULE = "dead_air"


@app.callback()
def alarms() -> None:
    """Try out the targets of alarms."""


@app.command("test")
def send_test(
    station: Annotated[str, typer.Option(help="Station that the test alarm names.")] = "test",
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Send a test alarm that opens, and one that it is over, to every configured target.

    Each is tried once, with alarms.timeout_s. Exit code 1 if one of them fails.
    """
    settings = load_config(config, sets)
    from stream.alarms.sink import targets_of

    targets = targets_of(settings.alarms)
    if not targets:
        raise ConfigError(
            "no target of alarms is configured: set alarms.webhook.urls, alarms.alertmanager.urls, "
            "alarms.email.to or alarms.command.run"
        )
    pair = sample_alarms(station)
    problems = list(at_once(lambda target: _try(target, pair), targets, len(targets)))
    for target, problem in zip(targets, problems, strict=True):
        say(f"{target.name}: {f'FAILS: {problem}' if problem else 'delivered'}")
    if not settings.alarms.enabled:
        inform("airsift: alarms.enabled=false: these targets get nothing else")
    if any(problems):
        raise typer.Exit(1)


def sample_alarms(station: str) -> tuple[Alarm, Alarm]:
    """Return an alarm of now, as it opens and as it closes; its text says that it is a test."""
    from stream.events import Alarm

    now = time.time()
    start = round(now * _RATE)
    opened = Alarm(
        station, start, start, _RATE, now, _RULE, final=False, severity="critical",
        escalated=False, value=None, threshold=None, reason="",
        text="a test: nothing is wrong", group="",
    )  # fmt: skip
    closed = Alarm(
        station, start, start + _RATE, _RATE, now, _RULE, final=True, severity="critical",
        escalated=False, value=None, threshold=None, reason="over",
        text="a test: nothing was wrong", group="",
    )  # fmt: skip
    return opened, closed


def _try(target: Target, pair: tuple[Alarm, Alarm]) -> str:
    """Send both; return what went wrong, or ""."""
    from stream.alarms.delivery import DeliveryError

    try:
        for alarm in pair:
            target.send(alarm)
    except DeliveryError as error:
        return str(error)
    return ""
