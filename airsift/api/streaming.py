"""`airsift.Stream`: live audio, chunk after chunk."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, SupportsIndex, TypeAlias

import numpy as np

from airsift.api.audio import checked_name, converted, in_rows, rate_of, samples_of
from airsift.api.engine import analyser_of
from airsift.api.results import Match, Segment, labelled, result_of
from airsift.api.settings import config_of
from airsift.errors import AirsiftError, DecodeError
from stream.audio import AudioChunk
from stream.events import Labelled

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Self

    from numpy.typing import ArrayLike

    from airsift.api.catalogue import Catalogue
    from airsift.api.settings import Settings
    from stream.events import Event

Result: TypeAlias = Segment | Match


class Stream:
    """Segments live audio, and names its music, as it comes.

    However the audio is cut into chunks, the results are the same, and those of `airsift.segment`
    for all of it. A segment is known some seconds after it ends, when what follows makes it sure.

    A stream is for one thread at a time; several streams may run in several threads, and share the
    networks that are loaded.

    Parameters
    ----------
    rate : int > 0
        Samples per second, from 1000 to 768000.
    catalogue, config
        As for `airsift.segment`.
    name : str
        What the stream is called, in log messages.
    channels_first : bool
        Whether chunks of two axes are (channels, n), as of torchaudio; else they are (n, channels).
    on_segment : callable, optional
        Is given each `Segment`, when it is final.
    on_match : callable, optional
        Is given each `Match`, when the track is over.
    on_label : callable, optional
        Is given each final `Segment` with a label of a network of your own (``model.labels_path``).
        They are beside the results, and may overlap.
    on_update : callable, optional
        Is given each `Segment` and `Match` that is still open, as known so far: its end may grow,
        and it may be replaced by one with the same start.

    Raises
    ------
    AirsiftError
        The rate is out of range, or the catalogue or the configuration cannot be used.

    Examples
    --------
    >>> import airsift, numpy
    >>> stream = airsift.Stream(16_000)
    >>> for second in range(6):
    ...     found = stream.push(numpy.zeros(16_000, numpy.float32))
    >>> [(segment.start_s, segment.end_s, segment.label) for segment in stream.finish()]
    [(0.0, 6.0, 'other')]
    """

    def __init__(
        self,
        rate: SupportsIndex | float,
        *,
        catalogue: str | os.PathLike[str] | Catalogue | None = None,
        config: Settings = None,
        name: str = "stream",
        channels_first: bool = False,
        on_segment: Callable[[Segment], object] | None = None,
        on_match: Callable[[Match], object] | None = None,
        on_label: Callable[[Segment], object] | None = None,
        on_update: Callable[[Result], object] | None = None,
    ) -> None:
        checked_name(name)
        self.rate = rate_of(rate)
        self.name = name
        self._channels_first = channels_first
        self._on_segment, self._on_match = on_segment, on_match
        self._on_label, self._on_update = on_label, on_update
        self._analyser = analyser_of(config_of(config, catalogue))
        self._pipeline = self._analyser.take()
        self._samples = 0
        self._channels = 0  # until the first sample
        self._finished = False

    @property
    def duration_s(self) -> float:
        """Seconds of audio that were pushed."""
        return self._samples / self.rate

    @property
    def finished(self) -> bool:
        """Whether the stream has ended."""
        return self._finished

    def push(self, chunk: ArrayLike) -> list[Result]:
        """Take the next audio; return what it makes final.

        Parameters
        ----------
        chunk : np.ndarray [shape=(n,) or (n, channels)]
            Samples of the kinds that `airsift.segment` takes; n may be 0. It is copied.

        Returns
        -------
        list of Segment and Match
            In order of time of each kind; empty most of the time.

        Raises
        ------
        AirsiftError
            The stream has ended, or the chunk holds values that are no samples. Then nothing of it
            was taken, and the stream goes on with the next chunk.
        """
        self._check_open()
        samples = in_rows(samples_of(chunk), self._channels_first)
        if len(samples):
            channels = 1 if samples.ndim == 1 else samples.shape[1]
            if channels != (self._channels or channels):
                raise DecodeError(
                    f"a chunk of the shape {np.shape(chunk)} has {channels} channels, and those "
                    f"before had {self._channels}: give (n, channels), or (channels, n) with "
                    "channels_first=True"
                )
            self._channels = channels
        audio = AudioChunk(self.name, self._samples, converted(samples, self._samples), self.rate)
        self._samples = audio.end
        return self._told(self._pipeline.push([audio]))

    def finish(self) -> list[Result]:
        """End the stream; return the rest of the results. Again, it returns none."""
        if self._finished:
            return []
        self._finished = True
        events = self._pipeline.push([], last=True)
        self._analyser.give_back(self._pipeline)
        return self._told(events)

    def events(self, chunks: Iterable[ArrayLike]) -> Iterator[Result]:
        """Push all chunks and end the stream; yield each result as soon as it is final.

        Parameters
        ----------
        chunks : iterable of np.ndarray [shape=(n,) or (n, channels)]
            As for `push`.
        """
        self._check_open()
        for chunk in chunks:
            yield from self.push(chunk)
        yield from self.finish()

    async def events_async(self, chunks: AsyncIterable[ArrayLike]) -> AsyncIterator[Result]:
        """Do what `events` does with an asynchronous source.

        It computes in a thread, so that the event loop goes on; callbacks are called in that.

        Parameters
        ----------
        chunks : asynchronous iterable of np.ndarray [shape=(n,) or (n, channels)]
            As for `push`.
        """
        self._check_open()
        async for chunk in chunks:
            for result in await asyncio.to_thread(self.push, chunk):
                yield result
        for result in await asyncio.to_thread(self.finish):
            yield result

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the stream; the callbacks are given the rest, unless the block has failed."""
        if kind is None:
            self.finish()
        elif not self._finished:
            self._finished = True  # the pipeline may be in the middle of a chunk: it is dropped

    def __repr__(self) -> str:
        state = "ended" if self._finished else "open"
        return f"Stream({self.rate}, name={self.name!r}): {self.duration_s:.2f} s, {state}"

    def __reduce__(self) -> str:
        raise AirsiftError(
            "a Stream holds open networks and cannot be pickled or copied: make one in each process"
        )

    def _check_open(self) -> None:
        if self._finished:
            raise DecodeError(
                f"the stream {self.name} has ended after {self.duration_s:.2f} s and takes no more "
                "audio: make another Stream"
            )

    def _told(self, events: list[Event]) -> list[Result]:
        """Call the callbacks; return the results that are final."""
        final: list[Result] = []
        for event in events:
            result = result_of(event)
            if result is None:
                if self._on_label is not None and isinstance(event, Labelled) and event.final:
                    self._on_label(labelled(event.to_dict()))
                continue
            if not getattr(event, "final", True):
                if self._on_update is not None:
                    self._on_update(result)
                continue
            final.append(result)
            if isinstance(result, Segment):
                if self._on_segment is not None:
                    self._on_segment(result)
            elif self._on_match is not None:
                self._on_match(result)
        return final
