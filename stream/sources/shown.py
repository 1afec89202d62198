"""A source whose audio is shown before it is processed, and from before anything can process it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream.sources.base import Source, audio_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from stream.audio import AudioChunk
    from stream.sources.base import SourceItem


class ShownSource(Source):
    """Passes on all that a source yields, in its order, and shows the audio of it first.

    Parameters
    ----------
    source : Source
        It is closed with this one.
    show : callable
        Is given the audio of each list of items, which may be none.
    """

    def __init__(self, source: Source, show: Callable[[Sequence[AudioChunk]], None]) -> None:
        self._source, self._show = source, show
        self.resumable = source.resumable
        self._items = iter(source)
        self._kept: list[SourceItem] = []

    def keep_until(self, is_done: Callable[[], bool]) -> None:
        """Read and show, and keep what comes for the first list of items, until it is done.

        Returns also where the source ends.
        """
        while not is_done():
            items = next(self._items, None)
            if items is None:
                return
            self._show(audio_of(items))
            self._kept += items

    def __iter__(self) -> Iterator[Sequence[SourceItem]]:
        if self._kept:
            kept, self._kept = self._kept, []
            yield kept
        for items in self._items:
            self._show(audio_of(items))
            yield items

    @property
    def warnings(self) -> Sequence[str]:  # type: ignore[override]
        return self._source.warnings

    @property
    def overflows(self) -> int:
        return self._source.overflows

    @property
    def queued(self) -> int:
        return self._source.queued

    @property
    def waits_for(self) -> frozenset[str]:
        return self._source.waits_for

    def close(self) -> None:
        """Close the source."""
        self._source.close()
