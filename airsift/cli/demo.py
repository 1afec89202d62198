"""``airsift demo``: two stations on an embedded broker, processed and scored."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from airsift.cli.common import ConfigOption, SetOption, load_config


def demo(
    speed: Annotated[
        float,
        typer.Option(min=0.5, max=50, help="Speed of the stations; 1 is real time."),
    ] = 6.0,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Process two stations on an embedded Kafka broker, and compare with the truth."""
    settings = load_config(config, sets)

    from stream.demo.run import run
    from stream.runner import stop_on_signals

    with stop_on_signals() as stop:
        run(settings, speed, stop, sys.stdout)
    if stop.requested:
        raise typer.Exit(130)
