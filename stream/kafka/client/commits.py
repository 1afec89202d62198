"""Offsets that a consumer commits to its group."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from kafka import OffsetAndMetadata, TopicPartition
from kafka.errors import (
    CommitFailedError,
    FencedInstanceIdError,
    KafkaError,
    RebalanceInProgressError,
)

from airsift.errors import BrokerError
from stream.kafka.client.connect import same_instance

if TYPE_CHECKING:
    from kafka import KafkaConsumer

    from stream.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)

_COMMIT_MS = 3000  # kafka-python tries for ever without; a stop must not wait for a broker


def commit_offsets(
    consumer: KafkaConsumer,
    offsets: Mapping[TopicPartition, int],
    counts: Counter[str],
    settings: KafkaSettings,
) -> bool:
    """Commit offsets, and return whether the broker has them.

    A commit that fails is counted: it costs a repetition under the same ids, and the next one
    makes it good.

    Raises
    ------
    BrokerError
        Another worker has the same `instance_id`.
    """
    try:
        consumer.commit(
            {tp: OffsetAndMetadata(at, "", -1) for tp, at in offsets.items()},
            timeout_ms=_COMMIT_MS,
        )
    except (CommitFailedError, RebalanceInProgressError) as error:
        # The partitions are about to move, or have moved.
        log.info("offsets not committed, the group is being rebalanced: %s", error)
    except FencedInstanceIdError as error:
        raise BrokerError(same_instance(settings)) from error
    except KafkaError as error:
        log.warning("offsets not committed: %s", error)
    else:
        counts["commits"] += 1
        return True
    counts["commit_failures"] += 1
    return False
