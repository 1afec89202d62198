"""The one place where kafka-python's producers, consumers and admin clients are made.

Everything else in airsift sees the settings, `sender.Sender` and `BrokerError`. A broker that does
not answer is one line within `connect_timeout_s`, not a traceback.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
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
from stream.kafka.client.fetching import read_with
from stream.kafka.client.net_client import NetClient
from stream.kafka.client.rights import UNKNOWN_TOPIC, missing_rights, refusal, refused
from stream.kafka.client.security import check_door, explain, joined, security_options, servers
from stream.kafka.notices import listen
from stream.kafka.records.partitions import Partitions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from stream.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)

_AGAIN_S = 0.05
_NO_ANSWER = (KafkaTimeoutError, KafkaConnectionError, OSError)
_REFUSED = (SaslAuthenticationFailedError, UnsupportedSaslMechanismError)

# kafka-python reports each lost connection several times as an error, with a retry to follow.
# What matters reaches the user as BrokerError; the rest stays available to who lowers this.
logging.getLogger("kafka").setLevel(logging.CRITICAL)


class _Refusals(logging.Handler):
    """Ends kafka-python's bootstrap at a refused login.

    It tells only its log of it, and would try again until the time is up: a broker that counts
    failed logins would lock the account.
    """

    def emit(self, record: logging.LogRecord) -> None:
        if str(record.msg).startswith("Bootstrap connection"):
            for argument in record.args or ():
                if isinstance(argument, _REFUSED):
                    raise argument


listen()
_manager_log = logging.getLogger("kafka.net.manager")
_manager_log.setLevel(logging.WARNING)
_manager_log.propagate = False
_manager_log.addHandler(_Refusals())


def _not_counted() -> None:
    """Take note of nothing: the log has it."""


def connect_producer(settings: KafkaSettings, **options: Any) -> KafkaProducer:
    """Return a producer that waits for all replicas and repeats without doubling.

    `options` are kafka-python's.

    Raises
    ------
    BrokerError
        If no broker answers within `connect_timeout_s`.
    """
    with _connecting(settings):
        compression = None if settings.compression == "none" else settings.compression
        producer = KafkaProducer(
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
    _make_no_topics(producer._metadata)
    return producer


def connect_consumer(
    settings: KafkaSettings,
    passed_over: Callable[[], None] | None = _not_counted,
    **options: Any,
) -> KafkaConsumer:
    """Return a consumer that never commits by itself.

    Parameters
    ----------
    settings : KafkaSettings
        Broker and limits.
    passed_over : callable, optional
        See `Partitions`: what cannot be read is logged, and this is called. With None a message
        with an `Unreadable` value comes in its place.
    **options
        kafka-python's.

    Raises
    ------
    BrokerError
        If no broker answers within `connect_timeout_s`.
    """
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
    _make_no_topics(consumer._manager.cluster)
    read_with(Partitions(settings.wire.max_batch_bytes, passed_over), consumer)
    return consumer


def connect_admin(settings: KafkaSettings, **options: Any) -> KafkaAdminClient:
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
    """Have a producer know a partition that was added since it asked the broker last.

    Raises
    ------
    BrokerError
        The broker does not know it within `connect_timeout_s`.
    """
    deadline = time.monotonic() + settings.connect_timeout_s
    with broker_errors(settings, operation="Write"):
        while partition not in producer.partitions_for(topic):
            if time.monotonic() > deadline:
                raise BrokerError(
                    f"topic {topic} has no partition {partition} at the Kafka broker "
                    f"{settings.bootstrap_servers}; give it more"
                )
            producer._metadata.request_update()
            time.sleep(_AGAIN_S)


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
        Where, and how many partitions and replicas a new topic gets.
    names : iterable of str, or mapping of str to sequence of str
        The topics; as a mapping, with the rights that are needed on each (Read, Write).
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
    with connected_admin(settings) as admin:
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


@contextmanager
def connected_admin(settings: KafkaSettings) -> Iterator[KafkaAdminClient]:
    """Give an admin client of kafka-python's while the block runs; see `connect_admin`."""
    admin = connect_admin(settings)
    try:
        yield admin
    finally:
        admin.close()


def grow_topic(settings: KafkaSettings, name: str, partitions: int) -> None:
    """Give a topic more partitions, unless it has as many.

    Raises
    ------
    BrokerError
        The broker does not answer, or refuses.
    """
    with connected_admin(settings) as admin:
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
                log.debug("topic %s was given partitions by someone else just now", name)
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
            log.debug("topic %s was created by someone else just now", name)


@contextmanager
def broker_errors(
    settings: KafkaSettings, doing: str = "", *, operation: str = "Read", topic: str = ""
) -> Iterator[None]:
    """Turn kafka-python's errors into a BrokerError of one line that says where and what to do.

    Parameters
    ----------
    settings : KafkaSettings
        Where the broker is.
    doing : str
        What is said before what the broker says.
    operation, topic : str
        What a right is needed for, where the error does not tell.
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
    """Say in one line that another worker has the name of this one."""
    return (
        f"another worker of kafka.group={settings.group!r} runs with kafka.instance_id="
        f"{settings.instance_id!r}: give each one of its own"
    )


def other_rules(settings: KafkaSettings) -> str:
    """Say in one line that other programs are in the group."""
    return (
        f"kafka.group={settings.group!r} has members that share its partitions by other rules than "
        "airsift's: stop them, or set another kafka.group; if they have died, this passes "
        f"{settings.session_timeout_s:g} s later (their session timeout, if it is ours)"
    )


@contextmanager
def _connecting(settings: KafkaSettings) -> Iterator[None]:
    """As `broker_errors`, and say what is wrong with a broker that listens all the same."""
    try:
        with broker_errors(settings):
            yield
    except BrokerError as error:
        reason = explain(settings) if isinstance(error.__cause__, _NO_ANSWER) else ""
        if not reason:
            raise
        raise BrokerError(reason) from error


def _common(settings: KafkaSettings) -> dict[str, Any]:
    """Return the options that producers, consumers and admin clients share."""
    named = [joined(*server) for server in servers(settings.bootstrap_servers)]
    options = security_options(settings)
    check_door(settings, options)
    return {
        "bootstrap_servers": named,
        "client_id": "airsift",
        "kafka_client": NetClient,
        "bootstrap_timeout_ms": _ms(settings.connect_timeout_s),
        "metadata_max_age_ms": _ms(settings.metadata_max_age_s),
        "reconnect_backoff_max_ms": 1000,
        **options,
    }


def _make_no_topics(cluster: Any) -> None:
    """Ask for topics so that a broker with ``auto.create.topics.enable`` makes none.

    kafka-python has an option for it, ``allow_auto_create_topics``, and does not heed it.
    """
    cluster.config["allow_auto_create_topics"] = False


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def is_read_to_its_end(consumer: Any, tp: TopicPartition) -> bool:
    """Say whether kafka-python has given all of an assigned partition that it knows of.

    Its position lies behind marks of transactions, which are no messages.
    """
    state = consumer._subscription.assignment[tp]
    known = state.position is not None and state.highwater is not None
    return bool(known and state.position.offset >= state.highwater)
