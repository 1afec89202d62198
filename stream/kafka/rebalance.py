"""What a consumer group does to a member's partitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafka import ConsumerRebalanceListener

if TYPE_CHECKING:
    from kafka import TopicPartition


class Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python asks for it
    """Notes what happens to the assignment; kafka-python calls it within `poll`.

    Attributes
    ----------
    joining : bool
        Whether an assignment is awaited.
    assigned : bool
        Whether there is a new assignment.
    taken : set of int
        Partitions that were taken away while this member was out of the group: somebody else
        may have gone on with them.
    """

    def __init__(self) -> None:
        self.joining = True
        self.assigned = False
        self.taken: set[int] = set()

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Wait for the new assignment: most partitions come back to whom they were taken from."""
        self.joining = True

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Note that the assignment is new."""
        self.joining = False
        self.assigned = True

    def on_partitions_lost(self, lost: set[TopicPartition]) -> None:
        """Note partitions that have an owner we know nothing of."""
        self.joining = True
        self.taken |= {tp.partition for tp in lost}
