"""The engine of one configuration: recordings in, final events out.

It is what the command line and the Python interface have in common::

    analyser = Analyser(config)
    with closing(open_input("episode.mp3", config, stop)) as recording:
        for event in analyser.events(recording):  # as soon as each is known
            ...

Networks are loaded once in a process, however many analysers, streams and threads use them.
"""

from __future__ import annotations

import os
import sys
from collections import OrderedDict
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Generic, TypeVar

from airsift.api.results import Match, Segment, Segments, result_of
from airsift.build import build_pipeline
from airsift.errors import AirsiftError, DecodeError
from airsift.networks import build_model, load_models, model_file, voice_file
from model.weights import sha256_of
from stream.lines import to_json
from stream.runner import Stop, run_in_steps
from stream.sinks.final import FinalEvents

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

    from airsift.config import Config
    from airsift.json_types import JsonObject
    from airsift.networks import Models
    from stream.events import Event
    from stream.offline import ClipClassifier
    from stream.pipeline import Pipeline
    from stream.sources.base import Recording

    Progress = Callable[[Mapping[str, float]], None]

T = TypeVar("T")
# What a pipeline for one recording depends on.
_SECTIONS = {"model", "smoothing", "identify", "repeats", "run"}
_KEPT = 4  # configurations whose networks and pipelines stay loaded
_CHECKPOINT_S = 1.0  # between giving free memory back


class Analyser:
    """Finds the segments and the music of recordings, one after the other or in several threads.

    Each call has a pipeline of its own while it runs; pipelines are used again, and share the
    networks. So calls in different threads do not wait for each other, and none changes what
    another one finds.

    Parameters
    ----------
    config : Config
        Networks, smoothing and catalogue.

    Raises
    ------
    AirsiftError
        A network or the catalogue cannot be opened.

    Attributes
    ----------
    config : Config
        As given.
    rate : int
        Samples per second in which events count.
    versions : dict of str to str
        The SHA-256 of each network's file.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._models = models_of(config)
        self._idle = [self._build()]
        self.rate = self._idle[0].rate
        self.versions = {"model": sha256_of(model_file(config))}
        if config.model.voice:
            self.versions["voice"] = sha256_of(voice_file(config))

    def events(
        self,
        recording: Recording,
        *,
        stop: Stop | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Event]:
        """Yield the final events of a recording, but decisions, as soon as they are known.

        Parameters
        ----------
        recording : Recording
            Is read to its end, and not closed.
        stop : Stop, optional
            Looked at now and then; when it is requested, open segments end there.
        progress : callable, optional
            See `stream.runner.run_source`.

        Raises
        ------
        DecodeError
            Less than 0.5 s of it is audio without a gap.
        AirsiftError
            It cannot be read any further. What was found before has been yielded.
        """
        stop = stop or Stop()
        found: list[Event] = []
        sink = FinalEvents(found.append)
        with self.pipeline() as pipeline:
            steps = run_in_steps(
                recording,
                pipeline,
                [sink],
                checkpoint_s=_CHECKPOINT_S,
                stop=stop,
                progress=progress,
            )
            try:
                for _ in steps:
                    yield from found
                    found.clear()
            except AirsiftError:
                sink.write(pipeline.push([], last=True))
                yield from found
                raise
        if recording.station not in sink.decided and not stop.requested:
            raise too_short(recording.station, recording.decoded_s)

    def segments(
        self,
        recording: Recording,
        *,
        stop: Stop | None = None,
        progress: Progress | None = None,
        on_event: Callable[[Event], object] | None = None,
    ) -> Segments:
        """Return the segments and matches of a recording.

        Parameters
        ----------
        recording, stop, progress
            See `events`.
        on_event : callable, optional
            Is given each event as soon as it is known.

        Raises
        ------
        AirsiftError
            See `events`. What `on_event` was given before holds.
        """
        end_s = 0.0
        found: list[Event] = []

        def advance(ends: Mapping[str, float]) -> None:
            nonlocal end_s
            end_s = max(end_s, *ends.values())
            if progress is not None:
                progress(ends)

        for event in self.events(recording, stop=stop, progress=advance):
            found.append(event)
            if on_event is not None:
                on_event(event)
        return collected(found, recording.station, end_s, recording.warnings, self.versions)

    @contextmanager
    def pipeline(self) -> Iterator[Pipeline]:
        """Give a pipeline that nobody else uses while the block runs."""
        pipeline = self.take()
        try:
            yield pipeline
        except (AirsiftError, GeneratorExit):
            self.give_back(pipeline)
            raise
        self.give_back(pipeline)  # not after an error that nobody expects

    def take(self) -> Pipeline:
        """Return a pipeline that nobody else uses, until it is given back."""
        try:
            return self._idle.pop()
        except IndexError:
            return self._build()

    def give_back(self, pipeline: Pipeline) -> None:
        """Let others use a pipeline again, which forgets all it was given."""
        pipeline.sessions.clear()
        self._idle.append(pipeline)

    def _build(self) -> Pipeline:
        return build_pipeline(self.config, models=self._models)


def collected(
    events: Sequence[Event],
    name: str,
    duration_s: float,
    warnings: Iterable[str] = (),
    versions: Mapping[str, str] | None = None,
) -> Segments:
    """Return the final events of a recording as its segments."""
    results = [result for event in events if (result := result_of(event)) is not None]
    return Segments(
        [each for each in results if isinstance(each, Segment)],
        name=name,
        duration_s=round(duration_s, 3),
        matches=sorted(
            (each for each in results if isinstance(each, Match)), key=lambda each: each.start_s
        ),
        warnings=warnings,
        events=[event.to_dict() for event in events],
        versions=versions,
    )


def too_short(name: str, decoded_s: float) -> DecodeError:
    """Return the error for a recording in which nothing is decided."""
    return DecodeError(
        f"{name}: {decoded_s:.2f} s of audio, but a decision needs 0.5 s without a gap; "
        f"give a longer recording"
    )


class _Cache(Generic[T]):
    """What was made last, by key; safe in any thread, and empty in a forked process."""

    def __init__(self) -> None:
        self._made: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = RLock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what was made with this key, or make it."""
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
                while len(self._made) > _KEPT:
                    self._made.popitem(last=False)
            self._made.move_to_end(key)
            return self._made[key]

    def _forget(self) -> None:
        """Drop what a process must not share with its parent: a catalogue's database, and locks."""
        self._made.clear()
        self._lock = RLock()
        if "model.units" in sys.modules:
            from model.units import use_threads

            use_threads(1)  # the parent's threads are not in this process


_models: _Cache[Models] = _Cache()
_analysers: _Cache[Analyser] = _Cache()
_clip_classifiers: _Cache[ClipClassifier] = _Cache()


def models_of(config: Config) -> Models:
    """Return the networks of a configuration, loaded once in a process while their files stay."""
    key = (to_json(config.model.model_dump(mode="json")), *map(_status, _networks(config)))
    return _models.get(key, lambda: load_models(config))


def analyser_of(config: Config) -> Analyser:
    """Return the analyser of a configuration, one for all that ask with an equal one."""
    values: JsonObject = config.model_dump(mode="json", include=_SECTIONS)
    key = (to_json(values), *map(_status, _networks(config)), _identity(config.identify.catalogue))
    return _analysers.get(key, lambda: Analyser(config))


def clip_classifier_of(config: Config) -> ClipClassifier:
    """Return what classifies windows one by one, with a network of any labels."""
    from stream.offline import ClipClassifier

    key = (to_json(config.model.model_dump(mode="json")), *map(_status, _networks(config)))
    return _clip_classifiers.get(key, lambda: ClipClassifier(*build_model(config)))


def _networks(config: Config) -> tuple[Path, ...]:
    return model_file(config), voice_file(config), Path(config.model.labels_path)


def _status(path: Path) -> tuple[int, int]:
    """Return what changes when a file is replaced."""
    try:
        status = path.stat()
    except OSError:  # opening it says why
        return 0, 0
    return status.st_mtime_ns, status.st_size


def _identity(folder: str) -> tuple[int, int]:
    """Return what differs for another catalogue in the place of one; changes are followed."""
    try:
        status = Path(folder).stat()
    except OSError:  # opening it says why
        return 0, 0
    return status.st_dev, status.st_ino
