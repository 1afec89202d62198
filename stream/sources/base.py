"""Where audio comes from. A source is the first of airsift's two edges."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TypeAlias

from stream.audio import AudioChunk

if TYPE_CHECKING:
    from stream.snapshot import StoredSnapshot


@dataclass(frozen=True, slots=True)
class Resumed:
    """A station comes back after a restart, where its snapshot (`Pipeline.snapshot`) was taken."""

    station: str
    snapshot: StoredSnapshot


@dataclass(frozen=True, slots=True)
class Lost:
    """A station is to be forgotten without an end: another worker has it, or it is long silent.

    Parameters
    ----------
    station : str
        Its name.
    is_silent : bool
        Whether it is forgotten because of its silence, so that nobody goes on with it.
    """

    station: str
    is_silent: bool = False


# What a source yields, in the order in which it counts: of a station that is resumed, the chunks
# from its snapshot's oldest sample on come behind the `Resumed`.
SourceItem: TypeAlias = AudioChunk | Resumed | Lost


def audio_of(items: Iterable[SourceItem]) -> list[AudioChunk]:
    """Return the audio among what a source yields."""
    return [item for item in items if isinstance(item, AudioChunk)]


class SourceStatus(Protocol):
    """What telemetry reads of a source. Subclasses inherit what they have nothing to say of.

    Attributes
    ----------
    counts : Counter
        See `stream.telemetry.collector.SOURCE`.
    refused : Counter
        Messages of ours that the broker has refused, by topic.
    reconnects : int
        Times that a stream was connected anew.
    """

    counts: Mapping[str, int] = MappingProxyType({})
    refused: Mapping[str, int] = MappingProxyType({})
    reconnects: int = 0

    @property
    def overflows(self) -> int:
        """Times that a device's audio was lost."""
        return 0

    @property
    def lag(self) -> int:
        """Messages that wait to be read. For the loop's thread."""
        return 0

    @property
    def behind_s(self) -> float:
        """Seconds behind the newest audio, as far as is known. For the loop's thread."""
        return 0.0

    @property
    def queued(self) -> int:
        """Chunks that wait before the pipeline. For the loop's thread."""
        return 0

    @property
    def broker_error(self) -> str:
        """Why nothing can come, "" where it can. Safe in any thread."""
        return ""

    @property
    def waits_for(self) -> frozenset[str]:
        """What is missing before audio can come. Safe in any thread."""
        return frozenset()

    @property
    def hears_all(self) -> bool:
        """Whether all stations come here, and none to another process. For the loop's thread."""
        return True

    @property
    def failing(self) -> int:
        """Stations whose audio cannot be received at present. Safe in any thread."""
        return 0

    @property
    def topic_partitions(self) -> int:
        """Partitions of the audio topic, as last seen. Safe in any thread."""
        return 0

    @property
    def throttled_s(self) -> float:
        """Seconds for which quotas have held the client back. Safe in any thread."""
        return 0.0


class Source(SourceStatus, Protocol):
    """A source of audio chunks.

    Attributes
    ----------
    resumable : bool
        Whether another process can go on where this one stops, with all stations. If so, stopping
        leaves open segments open; if not, it ends them, but of stations that it `resumes`.
    warnings : sequence of str
        What was wrong with the audio so far, for the user.

    Notes
    -----
    Iterating gives lists of items; a live source gives an empty one at least every 0.2 s, so that
    the loop can look at its clock. The iteration ends when the audio does.
    """

    resumable: bool = False

    warnings: Sequence[str] = ()

    @property
    def wants_checkpoint(self) -> bool:
        """Whether it waits for the next checkpoint, and gives nothing of some stations until then.

        For the loop's thread, between two lists of items.
        """
        return False

    def resumes(self, station: str) -> bool:
        """Return whether another process can go on with a station where this one stops.

        Where sources of several kinds are one, each has its own answer.
        """
        return self.resumable

    def __iter__(self) -> Iterator[Sequence[SourceItem]]:
        """Return the lists of items, once."""
        ...

    def checkpoint(self, snapshots: Mapping[str, StoredSnapshot]) -> None:
        """Store snapshots: everything up to them is published and safe.

        After a restart, a source yields them as `Resumed`, and repeats the audio from each
        snapshot's ``oldest`` sample on. It is given none of stations that it does not resume.
        """
        return

    def close(self) -> None:
        """Let go of files, sockets and devices. Safe to call twice."""
        return


class Recording(Source, Protocol):
    """A source of one recording, which is its only station.

    Attributes
    ----------
    station : str
        The station of its chunks.
    decoded_s : float
        Seconds of intact audio so far.
    duration_s : float or None
        Seconds of all of it, as far as is known before, for progress bars.
    """

    station: str
    decoded_s: float
    duration_s: float | None


class SelectiveSource(Source, Protocol):
    """A source with many stations, of which some are received."""

    def select(self, stations: Mapping[str, str]) -> None:
        """Receive these stations from here on, each with its key, and forget all others.

        Between two lists of items, in the thread that iterates.
        """
        ...
