"""Why Faust has given up, in one line that says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka.errors import BrokerResponseError, kafka_errors  # type: ignore[import-untyped]

from airsift.errors import BrokerError
from stream.kafka.client.connect import same_instance
from stream.kafka.client.rights import refused, topics_of

if TYPE_CHECKING:
    from stream.kafka.settings import KafkaSettings


class FencedInstanceId(BrokerResponseError):  # type: ignore[misc]
    """Another member has joined the group with our ``group.instance.id``."""

    errno = 82
    message = "FENCED_INSTANCE_ID"


# aiokafka asks for fixed members, and has no name for this answer: it would be an unknown error.
kafka_errors.setdefault(FencedInstanceId.errno, FencedInstanceId)


def as_broker_error(settings: KafkaSettings, reason: BaseException) -> BrokerError:
    """Return the one-line error for what has ended Faust."""
    if isinstance(reason, BrokerError):
        return reason
    refusal: BaseException | None = reason
    while refusal is not None and "AuthorizationFailed" not in type(refusal).__name__:
        refusal = refusal.__cause__
    if refusal is not None:
        operation = "Read" if settings.topics.audio in topics_of(refusal) else "Write"
        return refused(settings, refusal, operation)
    text = " ".join(f"{type(reason).__name__}: {reason}".split())
    if FencedInstanceId.__name__ in text:  # of which aiokafka passes on the text alone
        return BrokerError(same_instance(settings))
    return BrokerError(
        f"Faust gave up on the Kafka broker at {settings.bootstrap_servers} "
        f"({text[:200]}); start the worker again when the broker answers"
    )
