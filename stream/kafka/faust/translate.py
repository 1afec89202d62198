"""What Faust gives and says, in airsift's words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from airsift.errors import BrokerError
from stream.kafka.client.rights import refused, topics_of
from stream.kafka.records.consumer_record import Received

if TYPE_CHECKING:
    from faust.types.tuples import Message as FaustMessage

    from stream.kafka.settings import KafkaSettings


def gave_up(settings: KafkaSettings, reason: BaseException) -> BrokerError:
    """Return the error that says in one line why Faust can go on no longer."""
    if isinstance(reason, BrokerError):
        return reason
    if (refusal := _refusal_in(reason)) is not None:
        operation = "Read" if settings.topics.audio in topics_of(refusal) else "Write"
        return refused(settings, refusal, operation)
    said = " ".join(f"{type(reason).__name__}: {reason}".split())
    return BrokerError(
        f"Faust gave up on the Kafka broker at {settings.bootstrap_servers} "
        f"({said[:200]}); start the worker again when the broker answers"
    )


def _refusal_in(reason: BaseException | None) -> BaseException | None:
    """Return the error that tells of a missing right, among the causes of another one."""
    while reason is not None and "AuthorizationFailed" not in type(reason).__name__:
        reason = reason.__cause__
    return reason


def received(message: FaustMessage) -> Received:
    """Return a message of Faust's with kafka-python's names."""
    headers: Any = message.headers or ()
    return Received(
        message.topic,
        message.partition,
        message.offset,
        _milliseconds(message.timestamp),
        message.key,
        message.value,
        list(headers.items() if isinstance(headers, dict) else headers),
    )


def _milliseconds(seconds: float | None) -> int:
    return -1 if seconds is None or not math.isfinite(seconds) else round(seconds * 1000)
