"""Makes kafka-python's producers, consumers and admin clients, and translates their errors.

Every error of a broker becomes a `BrokerError` of one line. A broker that does not answer is
reported within `connect_timeout_s`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import NewTopic
from kafka.errors import (
    AuthorizationError,
    FencedInstanceIdError,
    InconsistentGroupProtocolError,
    InvalidPartitionsError,
    InvalidTimestampError,
    KafkaConfigurationError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    SaslAuthenticationFailedError,
    TopicAlreadyExistsError,
    UnsupportedSaslMechanismError,
)

from airsift.errors import BrokerError, ConfigError
from stream.kafka.client.net_client import NetClient
from stream.kafka.client.privates import (
    keep_late_assignments,
    read_large_pieces,
    read_with,
    update_metadata,
)
from stream.kafka.client.rights import UNKNOWN_TOPIC, missing_rights, refusal, refused
from stream.kafka.client.security import check_tls, explain, joined, security_options, servers
from stream.kafka.records.partitions import Partitions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from stream.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)

_RETRY_S = 0.05
_NO_ANSWER = (KafkaTimeoutError, KafkaConnectionError, OSError)


def quiet_logs(*names: str) -> None:
    """Silence the logs of client libraries, unless the application has set their level.

    They log each retry as an error, several times. What ends the work is raised as `BrokerError`.
    """
    for name in names:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.CRITICAL + 1)


def _count_nothing() -> None:
    """Do nothing: the log reports what cannot be read."""


def connect_producer(settings: KafkaSettings, **options: object) -> KafkaProducer:
    """Return a producer that waits for all replicas and retries without duplicates.

    `options` are kafka-python's.

    Raises
    ------
    BrokerError
        If no broker answers within `connect_timeout_s`.
    """
    with _connecting(settings):
        compression = None if settings.compression == "none" else settings.compression
        return KafkaProducer(
            **{
                **_common(settings),
                "metrics_enabled": False,
                "acks": "all",
                "linger_ms": settings.linger_ms,
                "batch_size": 64 * 1024,
                "compression_type": compression,
                "max_request_size": settings.max_request_bytes,
                "max_block_ms": _ms(settings.connect_timeout_s),
                # kafka-python wants the sum of both others to be less.
                "delivery_timeout_ms": (
                    _ms(settings.delivery_timeout_s) + settings.linger_ms + 1000
                ),
                "request_timeout_ms": _ms(
                    min(settings.request_timeout_s, settings.delivery_timeout_s)
                ),
                **options,
            }
        )


def connect_consumer(
    settings: KafkaSettings,
    on_unreadable: Callable[[], None] | None = _count_nothing,
    **options: object,
) -> KafkaConsumer:
    """Return a consumer that never commits by itself.

    Parameters
    ----------
    settings : KafkaSettings
        Broker and limits.
    on_unreadable : callable, optional
        Called for each batch or record that cannot be read, see `Partitions`. With None a message
        with an `Unreadable` value takes its place.
    **options
        kafka-python's.

    Raises
    ------
    BrokerError
        If no broker answers within `connect_timeout_s`.
    """
    read_large_pieces()
    with _connecting(settings):
        consumer = KafkaConsumer(
            **{
                **_common(settings),
                "metrics_enabled": False,
                "enable_auto_commit": False,
                "request_timeout_ms": _ms(
                    max(settings.request_timeout_s, settings.session_timeout_s + 1)
                ),
                "auto_offset_reset": settings.start_from,
                "session_timeout_ms": _ms(settings.session_timeout_s),
                "heartbeat_interval_ms": _ms(settings.heartbeat_s),
                "max_poll_interval_ms": _ms(settings.max_poll_interval_s),
                "max_poll_records": settings.poll_messages,
                "max_partition_fetch_bytes": settings.fetch_partition_bytes,
                "fetch_max_bytes": settings.fetch_bytes,
                "fetch_max_wait_ms": settings.fetch_wait_ms,
                "isolation_level": settings.isolation,
                **options,
            },
        )
    read_with(Partitions(settings.wire.max_batch_bytes, on_unreadable), consumer)
    if "group_id" in options:
        keep_late_assignments(consumer)
    return consumer


def connect_admin(settings: KafkaSettings, **options: object) -> KafkaAdminClient:
    """Return an admin client; `options` are kafka-python's.

    Raises
    ------
    BrokerError
        If no broker answers within `connect_timeout_s`.
    """
    with _connecting(settings):
        return KafkaAdminClient(
            **{
                **_common(settings),
                "request_timeout_ms": _ms(settings.request_timeout_s),
                **options,
            }
        )


def wait_for_partition(
    settings: KafkaSettings, producer: KafkaProducer, topic: str, partition: int
) -> None:
    """Wait until a producer knows a partition that was added since its last metadata request.

    Raises
    ------
    BrokerError
        The broker does not report it within `connect_timeout_s`.
    """
    deadline = time.monotonic() + settings.connect_timeout_s
    with broker_errors(settings, operation="Write"):
        while partition not in producer.partitions_for(topic):
            if time.monotonic() > deadline:
                raise BrokerError(
                    f"topic {topic} has no partition {partition} at the Kafka broker "
                    f"{settings.bootstrap_servers}; give it more"
                )
            update_metadata(producer)
            time.sleep(_RETRY_S)


def ensure_topics(
    settings: KafkaSettings,
    names: Iterable[str] | Mapping[str, Sequence[str]],
    *,
    group: str = "",
    configs: dict[str, str] | None = None,
) -> list[str]:
    """Create the topics that are missing and return their names.

    Parameters
    ----------
    settings : KafkaSettings
        The broker, and the partitions and replicas of a new topic.
    names : iterable of str, or mapping of str to sequence of str
        The topics; as a mapping, with the operations on each that need a right (Read, Write).
    group : str
        A consumer group that must be readable; "" for none.
    configs : dict of str to str, optional
        Kafka's own keys for new topics, such as ``cleanup.policy``.

    Raises
    ------
    BrokerError
        If no broker answers, it refuses to create a topic, or a right is missing.
    """
    wanted = names if isinstance(names, Mapping) else dict.fromkeys(names, ())
    with closing(connect_admin(settings)) as admin:
        with broker_errors(settings):
            found = admin.describe_topics(list(wanted))
        missing = [topic["name"] for topic in found if topic["error_code"] == UNKNOWN_TOPIC]
        for name in missing:
            _create(settings, admin, name, configs)
        with broker_errors(settings):
            lacking = missing_rights(admin, wanted, group)
        if lacking:
            raise refusal(settings, lacking)
    return missing


def grow_topic(settings: KafkaSettings, name: str, partitions: int) -> None:
    """Add partitions to a topic that has fewer.

    Raises
    ------
    BrokerError
        The broker does not answer, or refuses.
    """
    with closing(connect_admin(settings)) as admin:
        with broker_errors(settings):
            [described] = admin.describe_topics([name])
        there = len(described["partitions"])
        if not 0 < there < partitions:
            return
        doing = f"topic {name} has {there} partitions, needs {partitions} and cannot be given more"
        with broker_errors(settings, doing, operation="Alter", topic=name):
            try:
                admin.create_partitions({name: partitions})
            except InvalidPartitionsError:
                log.debug("another client has just added partitions to topic %s", name)
            else:
                log.info("topic %s has %d partitions instead of %d", name, partitions, there)


def _create(
    settings: KafkaSettings, admin: KafkaAdminClient, name: str, configs: dict[str, str] | None
) -> None:
    topic = NewTopic(name, settings.topics.partitions, settings.topics.replication, None, configs)
    doing = f"topic {name} is missing and cannot be created; create it by hand"
    with broker_errors(settings, doing, operation="Create", topic=name):
        try:
            admin.create_topics([topic])
        except TopicAlreadyExistsError:
            log.debug("another client has just created topic %s", name)


@contextmanager
def broker_errors(
    settings: KafkaSettings, doing: str = "", *, operation: str = "Read", topic: str = ""
) -> Iterator[None]:
    """Turn kafka-python's errors into a BrokerError of one line with the place and the way out.

    Parameters
    ----------
    settings : KafkaSettings
        The broker.
    doing : str
        Text before the broker's reason.
    operation, topic : str
        The operation that needs a right, where the error does not name it.
    """
    where = settings.bootstrap_servers
    try:
        yield
    except UnsupportedSaslMechanismError as error:
        raise BrokerError(
            f"the Kafka broker at {where} does not offer kafka.security.sasl_mechanism="
            f"{settings.security.sasl_mechanism}; set the one that it has"
        ) from error
    except SaslAuthenticationFailedError as error:
        raise BrokerError(
            f"the Kafka broker at {where} refuses the login of kafka.security.username="
            f"{settings.security.username!r} by {settings.security.sasl_mechanism}: look at the "
            "password, the name and kafka.security.sasl_mechanism"
        ) from error
    except InconsistentGroupProtocolError as error:
        raise BrokerError(other_rules(settings)) from error
    except FencedInstanceIdError as error:
        raise BrokerError(same_instance(settings)) from error
    except MessageSizeTooLargeError as error:
        raise BrokerError(
            f"{doing}: more than kafka.max_request_bytes={settings.max_request_bytes} or the "
            "topic's max.message.bytes; send shorter chunks or raise both"
        ) from error
    except InvalidTimestampError as error:
        raise BrokerError(
            f"{doing or 'a message was refused'}: the Kafka broker at {where} takes none that is "
            f"dated so far from its own time, and the clock here says {_now()}; set the clock that "
            "is wrong (this one runs ahead, or the broker's is behind), or raise the topic's "
            "message.timestamp.after.max.ms"
        ) from error
    except KafkaConfigurationError as error:
        raise ConfigError(f"kafka: {_one_line(error)}; change the key it names") from error
    except _NO_ANSWER as error:
        raise BrokerError(
            f"no Kafka broker answers at {where} ({_one_line(error)}); "
            "start one or set kafka.bootstrap_servers"
        ) from error
    except AuthorizationError as error:
        raise refused(settings, error, operation, topic) from error
    except KafkaError as error:
        before = f"{doing}: " if doing else ""
        raise BrokerError(f"{before}the Kafka broker at {where} says {_one_line(error)}") from error


def same_instance(settings: KafkaSettings) -> str:
    """Return the error text for another worker with the same `instance_id`."""
    return (
        f"another worker of kafka.group={settings.group!r} runs with kafka.instance_id="
        f"{settings.instance_id!r}: give each one of its own"
    )


def other_rules(settings: KafkaSettings) -> str:
    """Return the error text for a group whose members use another assignment strategy."""
    return (
        f"kafka.group={settings.group!r} has members that share its partitions by other rules than "
        "airsift's: stop them, or set another kafka.group; if they have died, this passes "
        f"{settings.session_timeout_s:g} s later (their session timeout, if it is ours)"
    )


@contextmanager
def _connecting(settings: KafkaSettings) -> Iterator[None]:
    """Translate errors, and diagnose a server that listens but does not answer."""
    try:
        with broker_errors(settings):
            yield
    except BrokerError as error:
        reason = explain(settings) if isinstance(error.__cause__, _NO_ANSWER) else ""
        if not reason:
            raise
        raise BrokerError(reason) from error


def _common(settings: KafkaSettings) -> dict[str, object]:
    """Return the options that producers, consumers and admin clients share."""
    quiet_logs("kafka")
    named = [joined(*server) for server in servers(settings.bootstrap_servers)]
    options = security_options(settings)
    check_tls(settings, options)
    return {
        "bootstrap_servers": named,
        "client_id": "airsift",
        "kafka_client": NetClient,
        "bootstrap_timeout_ms": _ms(settings.connect_timeout_s),
        "metadata_max_age_ms": _ms(settings.metadata_max_age_s),
        "reconnect_backoff_max_ms": 1000,
        **options,
    }


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
