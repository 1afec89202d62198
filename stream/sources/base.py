"""Where audio comes from. A source is the first of airsift's two edges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from stream.audio import AudioChunk


@dataclass(frozen=True, slots=True)
class Batch:
    """What a source hands over at once.

    Parameters
    ----------
    chunks : list of AudioChunk
        New audio of any stations, in order within a station, and their ends; empty when there
        is none.
    resumed : mapping of str to dict
        Snapshots (`Pipeline.snapshot`) of stations that come back after a restart; they are
        restored before `chunks` is heard.
    lost : frozenset of str
        Stations that another worker has taken over, or that were silent for a very long time:
        to be forgotten, not ended.
    """

    chunks: list[AudioChunk] = field(default_factory=list)
    resumed: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()


class Source(Protocol):
    """A source of audio chunks.

    Attributes
    ----------
    resumable : bool
        Whether another process can go on where this one stops. If so, stopping leaves open
        segments open; if not, it ends them.

    Notes
    -----
    Iterating gives batches; a live source gives an empty one at least every 0.2 s, so that
    whoever iterates can look at its clock. The iteration ends when the audio does.
    """

    resumable: bool

    def __iter__(self) -> Iterator[Batch]:
        """Return the batches, once."""
        ...

    def settle(self, snapshots: Mapping[str, dict[str, Any]]) -> None:
        """Take note that everything up to these snapshots is published and safe.

        A source that can be read again stores them and, after a restart, resumes from them:
        it hands them back in `Batch.resumed` and repeats the audio from each snapshot's
        ``oldest`` sample on. A source that can't forgets them.
        """
        ...

    def close(self) -> None:
        """Let go of files, sockets and devices. Safe to call twice."""
        ...
