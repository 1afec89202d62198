"""``airsift web``: the page of all stations, from the topics or the database."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from airsift.cli.common import ConfigOption, SetOption, load_config, say
from airsift.cli.publish import KafkaOption, with_broker
from airsift.errors import ConfigError
from stream.lines import to_json


def web(
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Over web.address and web.port."),
    ] = None,
    kafka: KafkaOption = None,
    database: Annotated[
        str | None,
        typer.Option(metavar="URL", help="History to read; over database.url."),
    ] = None,
    stations: Annotated[
        Path | None,
        typer.Option(help="TOML file of stations, for their groups; read again when it changes."),
    ] = None,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Show all stations in a browser, and answer what they played, until Ctrl-C.

    Live events come from the output topics with --kafka, else from the database. The history is the
    database's. `airsift run --web` shows a running process instead.
    """
    if kafka is None and database is None:
        raise ConfigError(
            "--kafka HOST:PORT or --database URL: give the broker with the events, the history "
            "that `airsift run --sink database` writes, or both"
        )
    given = with_broker(kafka, sets)
    if database is not None:
        from airsift.connect import check_history

        check_history()
        given.append(f"database.url={to_json(database)}")
    if listen is not None:
        given += _place(listen)
    settings = load_config(config, given)

    from airsift.web.feed import follow_database, follow_topics, following
    from airsift.web.groups import GroupsFile
    from airsift.web.server import serving
    from stream.runner import stop_on_signals

    if kafka is not None:
        source, follow = "topics", follow_topics(settings.kafka)
    else:
        source, follow = "database", follow_database(settings.database)
    groups = None if stations is None else GroupsFile(stations, settings)
    with stop_on_signals() as stop, ExitStack() as stack:
        served = stack.enter_context(serving(settings, history=database is not None, groups=groups))
        stack.enter_context(following(served.feed, follow, source))
        say(f"The page is at {served.url} until Ctrl-C.")
        while not stop.requested:
            time.sleep(0.1)


def _place(listen: str) -> list[str]:
    """Return the settings of an address and port."""
    host, separator, port = listen.rpartition(":")
    if not separator or not port.isdecimal() or not host:
        raise ConfigError(f"--listen {listen}: must be HOST:PORT, as in 127.0.0.1:8420")
    return [f"web.address={to_json(host.strip('[]'))}", f"web.port={int(port)}"]
