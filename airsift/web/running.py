"""The page of a process that runs a pipeline: `airsift run`, `listen` and `demo` with ``--web``."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airsift.web.feed import WebSink
from airsift.web.server import serving
from stream.telemetry.observer import Observer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from airsift.config import Config
    from airsift.web.groups import Groups
    from airsift.web.server import Served
    from stream.session import Item
    from stream.sources.base import SourceItem, SourceStatus


class RunningPage(Observer):
    """Shows what a pipeline does: give it to the loop as an observer, and its `sink` as a sink.

    Parameters
    ----------
    served : Served
        The page.

    Attributes
    ----------
    url : str
        Its address in a browser of this machine.
    sink : Sink
        Shows the events.
    source : SourceStatus, optional
        Where the audio comes from: the page says what it waits for.
    """

    def __init__(self, served: Served) -> None:
        self.url = served.url
        self.sink = WebSink(served.feed)
        self.source: SourceStatus | None = None
        self._served = served

    def say(self, problem: str) -> None:
        """Show why nothing is heard; "" where nothing is wrong."""
        self._served.feed.problem = problem

    def on_step(self, items: Sequence[SourceItem]) -> None:
        """Look at the source: also where it gives nothing, it gives that several times a second."""
        del items
        self.say(problem_of(self.source) if self.source is not None else "")

    def on_items(self, items: Sequence[Item]) -> None:
        """Show the columns to those who look at them."""
        self._served.spectra.on_items(items)


def problem_of(source: SourceStatus) -> str:
    """Return why no audio comes from a source, in one line; "" where some may."""
    if source.broker_error:
        return source.broker_error
    missing = ", ".join(sorted(source.waits_for))
    return f"no audio: waits for {missing}" if missing else ""


@contextmanager
def page_of_process(
    config: Config, sinks: Collection[str] = (), groups: Groups | None = None
) -> Iterator[RunningPage]:
    """Serve the page while the block runs.

    Parameters
    ----------
    config : Config
        Where and to whom (`[web]`).
    sinks : collection of str
        Names of the process's sinks: with ``database`` the history is in it, else in memory.
    groups : callable, optional
        Which group each station is in.

    Raises
    ------
    ConfigError
        See `serving`.
    """
    with serving(config, history="database" in sinks, groups=groups) as served:
        yield RunningPage(served)
