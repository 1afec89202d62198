"""``airsift listen``: a microphone, its level, and what is heard, on a terminal."""

from __future__ import annotations

import math
import sys
import threading
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from airsift.cli.common import ConfigOption, SetOption, complain, inform, load_config, say
from airsift.errors import AirsiftError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airsift.web.running import RunningPage
    from stream.audio import AudioChunk
    from stream.sinks.base import Sink
    from stream.sources.devices import InputDevice
    from stream.telemetry.observer import Observer

STATION = "microphone"

_Built = TypeVar("_Built")


def listen(
    device: Annotated[
        str | None,
        typer.Argument(
            help="Number, name or part of the name of an input, see `airsift devices`; without "
            "it you are asked, if there are several.",
        ),
    ] = None,
    station: Annotated[
        str, typer.Option(help="Name of the station in what --sink writes.")
    ] = STATION,
    sink: Annotated[
        list[str] | None,
        typer.Option(help="Also jsonl:FILE, database or kafka; repeatable."),
    ] = None,
    web: Annotated[
        bool, typer.Option("--web", help="Show it in a browser too, at web.address and web.port.")
    ] = False,
    config: ConfigOption = None,
    sets: SetOption = None,
) -> None:
    """Listen to a microphone: its level, what it hears, the songs, and the history of both.

    It goes on until Ctrl-C. A microphone that is unplugged is waited for. With its output in a pipe
    or a file, it writes a line for each segment and song.
    """
    inform("airsift: looks for microphones, and loads the networks and the catalogue")
    settings = load_config(config, sets)
    names = sink or []

    from airsift.build import build_pipeline
    from airsift.connect import check_sinks, open_sink
    from airsift.networks import parts_in_words
    from airsift.shutdown import shutdown_deadline
    from stream.runner import run_source, stop_on_signals
    from stream.sinks.console import ConsoleSink
    from stream.sinks.listening import ListeningSink
    from stream.sources.devices import input_devices, lasting_name
    from stream.sources.microphone import MicrophoneSource
    from stream.sources.shown import ShownSource
    from stream.telemetry.observer import NullObserver

    if "console" in names:
        raise ConfigError("--sink console: the microphone is shown in any case; leave it out")
    check_sinks(names)
    inform(f"airsift: loads: {parts_in_words(settings)}")
    found = input_devices()
    named = device if device is not None else settings.microphone.device
    if not named and len(found) > 1 and sys.stdin.isatty() and sys.stdout.isatty():
        named = ask(found, lasting_name)
    named = lasting_name(named)
    loaded = in_background(partial(build_pipeline, settings, with_levels=True, ready=True))
    with ExitStack() as opening:
        # Whoever listens waits for a microphone that is unplugged, and does not go away himself.
        microphone = MicrophoneSource(
            station,
            settings.microphone.model_copy(update={"device": named, "absent_s": math.inf}),
        )
        opening.callback(microphone.close)
        view = ListeningSink(sys.stdout, f"{microphone.name}, {microphone.rate / 1000:g} kHz")
        opening.callback(view.close)
        view.loading = "loads the networks and the catalogue"
        page: RunningPage | None = None
        if web:
            from airsift.web.running import page_of_process

            page = opening.enter_context(page_of_process(settings, names))
            page.say(view.loading)
            inform(f"airsift: the page is at {page.url}")

        def show(chunks: Sequence[AudioChunk]) -> None:
            view.waits_for = ", ".join(sorted(microphone.waits_for))
            if view.fits:
                view.on_audio(chunks)

        source = ShownSource(microphone, show)
        screen: Sink = view if view.fits else ConsoleSink(sys.stdout)
        with stop_on_signals() as stop, ExitStack() as stack:
            stack.enter_context(shutdown_deadline(stop, resumable=False))
            stack.push(opening.pop_all())
            source.keep_until(lambda: loaded.done() or stop.requested)
            if stop.requested:
                return
            pipeline = loaded.result()
            view.loading = ""
            sinks = [screen]
            observer: Observer = NullObserver()
            if page is not None:
                page.source, observer = source, page
                sinks.append(page.sink)
            for name in names:
                sinks.append(open_sink(name, settings))
                stack.callback(sinks[-1].close)
            every_s = settings.run.checkpoint_s
            run_source(source, pipeline, sinks, checkpoint_s=every_s, stop=stop, observer=observer)
            stop.is_safe = True


def ask(found: Sequence[InputDevice], find: Callable[[str], str]) -> str:
    """Ask which input is meant, until there is one.

    Parameters
    ----------
    found : sequence of InputDevice
        Those there are.
    find : callable
        Returns what finds an input by what was typed; raises `SourceError`.

    Returns
    -------
    str
        What finds it; empty for the default.
    """
    from airsift.cli.devices import lines_of

    for line in lines_of(found):
        say(line)
    has_default = any(device.is_default for device in found)
    question = "Number or part of a name" + (", Enter for *: " if has_default else ": ")
    while True:
        try:
            typed = input(question).strip()
        except EOFError:
            raise typer.Abort from None
        if not typed and not has_default:
            continue
        try:
            return find(typed)
        except AirsiftError as error:
            complain(f"airsift: {error}")


def in_background(build: Callable[[], _Built]) -> Future[_Built]:
    """Build something in a thread that ends with the process."""
    future = Future[_Built]()

    def run() -> None:
        try:
            future.set_result(build())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="loading", daemon=True).start()
    return future
