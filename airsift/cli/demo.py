"""``airsift demo``: two stations, a broker and a catalogue of its own, heard and scored."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from airsift.cli.common import ConfigOption, SetOption, load_config


def demo(
    speed: Annotated[
        float, typer.Option(min=0.5, max=50, help="Times real time at which the stations send.")
    ] = 6.0,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Watch airsift hear two stations on a Kafka broker of its own, and compare with the truth."""
    settings = load_config(config, sets)

    from stream.demo.run import run
    from stream.runner import stop_on_signals

    with stop_on_signals() as stop:
        run(settings, speed, stop, sys.stdout)
    if stop.requested:
        raise typer.Exit(130)
