"""``airsift demo``: two stations on an embedded broker, processed and scored."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from airsift.cli.common import ConfigOption, SetOption, load_config, say


def demo(
    speed: Annotated[
        float,
        typer.Option(min=0.5, max=50, help="Speed of the stations; 1 is real time."),
    ] = 6.0,
    web: Annotated[
        bool,
        typer.Option("--web", help="Show the stations in a browser too, until Ctrl-C."),
    ] = False,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Process two stations on an embedded Kafka broker, and compare with the truth."""
    settings = load_config(config, sets)

    from stream.demo.run import run
    from stream.runner import stop_on_signals

    if not web:
        with stop_on_signals() as stop:
            run(settings, speed, stop, sys.stdout)
        if stop.requested:
            raise typer.Exit(130)
        return

    from airsift.web.running import page_of_process

    levels = settings.levels.model_copy(update={"enabled": True, "interval_s": 1})
    settings = settings.model_copy(update={"levels": levels})
    with stop_on_signals() as stop, page_of_process(settings) as page:
        say(f"In a browser: {page.url}")
        say("")
        run(settings, speed, stop, sys.stdout, [page.sink], page)
        if stop.requested:
            raise typer.Exit(130)
        say("")
        say(f"The page stays at {page.url} until Ctrl-C.")
        while not stop.requested:
            time.sleep(0.1)
