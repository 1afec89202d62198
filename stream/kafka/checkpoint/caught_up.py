"""Of which partitions everything has been read that was there a moment ago."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


class CaughtUp:
    """Tells whether a partition is read as fast as it is written.

    On a partition with many stations there is always a next message, so being at its end is no
    sign. Instead its end is marked, and once everything before the mark has been read, the
    partition is caught up and the mark is moved to where it ends then.
    """

    def __init__(self) -> None:
        self._marks: dict[int, int] = {}

    def look(self, partition: int, kafka_offset: int, end: int | None) -> bool:
        """Say whether everything before the last mark has been read.

        Parameters
        ----------
        partition : int
            Which one.
        kafka_offset : int
            Of the next message to read.
        end : int, optional
            Where the partition ends, as far as is known; None where nothing is.
        """
        if end is None:
            return False
        mark = self._marks.setdefault(partition, end)
        if kafka_offset < mark:
            return False
        self._marks[partition] = end
        return True

    def drop(self, partitions: Collection[int]) -> None:
        """Forget partitions that are not among ours."""
        self._marks = {p: at for p, at in self._marks.items() if p not in partitions}
