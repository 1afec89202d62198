"""What a consumer group does to a member's partitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafka import ConsumerRebalanceListener

if TYPE_CHECKING:
    from collections.abc import Generator

    from kafka import KafkaConsumer, TopicPartition
    from kafka.future import Future


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


class _Join:
    """A join of the group whose answer is there, and was not taken by any `poll` yet."""

    is_done = False

    def __init__(self, answer: Future) -> None:
        self._answer = answer
        self.add_callback = answer.add_callback
        self.add_errback = answer.add_errback

    def __await__(self) -> Generator[Any, Any, Any]:
        answer: Generator[Any, Any, Any] = self._answer.__await__()
        return answer


def take_late_assignments(consumer: KafkaConsumer) -> None:
    """Have an assignment that comes between two calls of `poll` be taken by the next one.

    kafka-python throws it away and joins again. Where the time between the calls is as long as
    the group needs, that is so each time, and the member never gets a partition.
    """
    coordinator = consumer._coordinator
    join = coordinator.join_group_async

    async def join_group(timeout_ms: float | None = None) -> Any:
        task = coordinator._join_task
        if task is not None and task.is_done:
            coordinator._join_task = _Join(task)
        return await join(timeout_ms)

    coordinator.join_group_async = join_group
