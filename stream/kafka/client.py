"""The one place where kafka-python's producers, consumers and admin clients are made.

Everything else in airsift sees the settings, `Sender` and `BrokerError`. A broker that does
not answer is one line within `connect_timeout_s`, not a traceback.
"""

from __future__ import annotations

import logging
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import NewTopic
from kafka.errors import (
    KafkaConfigurationError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    SaslAuthenticationFailedError,
    TopicAlreadyExistsError,
)

from airsift.errors import BrokerError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stream.kafka.settings import KafkaSettings

log = logging.getLogger(__name__)

Headers = list[tuple[str, bytes]]

# kafka-python reports each lost connection several times as an error, with a retry to follow.
# What matters reaches the user as BrokerError; the rest stays available to who lowers this.
logging.getLogger("kafka").setLevel(logging.CRITICAL)


def connect_producer(settings: KafkaSettings) -> KafkaProducer:
    """Return a producer that waits for all replicas and repeats without doubling.

    Raises
    ------
    BrokerError
        If no broker answers within `connect_timeout_s`.
    """
    with broker_errors(settings):
        return KafkaProducer(
            **_common(settings),
            metrics_enabled=False,
            allow_auto_create_topics=False,
            acks="all",
            linger_ms=settings.linger_ms,
            batch_size=64 * 1024,
            compression_type=None if settings.compression == "none" else settings.compression,
            max_request_size=settings.max_request_bytes,
            max_block_ms=_ms(settings.connect_timeout_s),
            # kafka-python wants the sum of both others to be less.
            delivery_timeout_ms=_ms(settings.delivery_timeout_s) + settings.linger_ms + 1000,
            request_timeout_ms=_ms(min(settings.request_timeout_s, settings.delivery_timeout_s)),
        )


def connect_consumer(settings: KafkaSettings, **options: Any) -> KafkaConsumer:
    """Return a consumer that never commits by itself; `options` are kafka-python's.

    Raises
    ------
    BrokerError
        If no broker answers within `connect_timeout_s`.
    """
    with broker_errors(settings):
        return KafkaConsumer(
            **_common(settings),
            **{
                "metrics_enabled": False,
                "allow_auto_create_topics": False,
                "enable_auto_commit": False,
                "request_timeout_ms": _ms(
                    max(settings.request_timeout_s, settings.session_timeout_s + 1)
                ),
                "auto_offset_reset": settings.start_from,
                "session_timeout_ms": _ms(settings.session_timeout_s),
                "heartbeat_interval_ms": max(_ms(settings.session_timeout_s) // 5, 100),
                "max_poll_interval_ms": _ms(settings.max_poll_interval_s),
                "max_poll_records": settings.poll_messages,
                "max_partition_fetch_bytes": settings.fetch_partition_bytes,
                "fetch_max_bytes": settings.fetch_bytes,
                "fetch_max_wait_ms": 100,
                **options,
            },
        )


def ensure_topics(
    settings: KafkaSettings, names: Iterable[str], *, configs: dict[str, str] | None = None
) -> list[str]:
    """Create the topics that are missing and return their names.

    `configs` are Kafka's own keys for them, such as ``cleanup.policy``.

    Raises
    ------
    BrokerError
        If no broker answers, or it refuses to create a topic.
    """
    with broker_errors(settings):
        admin = KafkaAdminClient(
            **_common(settings), request_timeout_ms=_ms(settings.request_timeout_s)
        )
    try:
        with broker_errors(settings):
            there = set(admin.list_topics())
        missing = [name for name in dict.fromkeys(names) if name not in there]
        for name in missing:
            topic = NewTopic(
                name, settings.topics.partitions, settings.topics.replication, None, configs
            )
            with broker_errors(settings, f"topic {name} cannot be created; create it by hand"):
                try:
                    admin.create_topics([topic])
                except TopicAlreadyExistsError:
                    log.debug("topic %s was created by someone else just now", name)
        return missing
    finally:
        admin.close()


class Sender:
    """A producer with a bound on what is on its way, and no failure that goes unseen.

    Parameters
    ----------
    settings : KafkaSettings
        Where the broker is.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer = connect_producer(settings)
        self._pending: deque[Any] = deque()
        self._topics: set[str] = set()

    @property
    def pending(self) -> int:
        """Messages that the broker has not acknowledged yet."""
        while self._pending and self._pending[0].is_done:
            self._check(self._pending.popleft())
        return len(self._pending)

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        partition: int | None = None,
    ) -> Any:
        """Hand one message to the producer, which sends it within `linger_ms`.

        Returns
        -------
        kafka.future.Future
            After `flush`, its ``value.offset`` is the message's kafka_offset.

        Raises
        ------
        BrokerError
            If the message is too large, or the broker has gone.
        """
        if topic not in self._topics:
            # kafka-python learns all topics when it connects, but asks again only for those it
            # had to ask for: the others it then forgets, and what waits for them never leaves.
            self._producer._sender.add_topic(topic)
            self._topics.add(topic)
        size = len(value or b"")
        with broker_errors(self._settings, f"{size} bytes cannot be sent to topic {topic}"):
            future = self._producer.send(topic, value, key, headers, partition)
        self._pending.append(future)
        return future

    def flush(self) -> None:
        """Wait until the broker has everything.

        Raises
        ------
        BrokerError
            If any message since the last flush was refused or not acknowledged in
            `delivery_timeout_s`.
        """
        if not self._pending:
            return
        with broker_errors(self._settings):
            self._producer.flush(timeout=self._settings.delivery_timeout_s)
        failures = deque(self._pending)
        self._pending.clear()
        for future in failures:
            self._check(future)

    def _check(self, future: Any) -> None:
        if not future.is_done:
            raise BrokerError(
                f"the broker at {self._settings.bootstrap_servers} did not acknowledge a message "
                f"within kafka.delivery_timeout_s={self._settings.delivery_timeout_s:g}"
            )
        if future.failed():
            with broker_errors(self._settings, "a message was refused"):
                raise future.exception

    def close(self) -> None:
        """Drop the connection. What was not flushed may be lost."""
        try:
            self._producer.close(timeout=0.5)
        except KafkaError:  # it flushes first, and then leaves its thread running
            self._producer._sender.force_close()


@contextmanager
def broker_errors(settings: KafkaSettings, doing: str = "") -> Iterator[None]:
    """Turn kafka-python's errors into a BrokerError of one line that says where and what to do."""
    where = settings.bootstrap_servers
    try:
        yield
    except SaslAuthenticationFailedError as error:
        raise BrokerError(
            f"the Kafka broker at {where} refuses the login of "
            f"kafka.security.username={settings.security.username!r}: {_one_line(error)}"
        ) from error
    except MessageSizeTooLargeError as error:
        raise BrokerError(
            f"{doing}: more than kafka.max_request_bytes={settings.max_request_bytes} or the "
            "topic's max.message.bytes; send shorter chunks or raise both"
        ) from error
    except KafkaConfigurationError as error:
        raise ConfigError(f"kafka: {_one_line(error)}; change the key it names") from error
    except (KafkaTimeoutError, KafkaConnectionError, OSError) as error:
        raise BrokerError(
            f"no Kafka broker answers at {where} ({_one_line(error)}); "
            "start one or set kafka.bootstrap_servers"
        ) from error
    except KafkaError as error:
        before = f"{doing}: " if doing else ""
        raise BrokerError(f"{before}the Kafka broker at {where} says {_one_line(error)}") from error


def _common(settings: KafkaSettings) -> dict[str, Any]:
    """Return the options that producers, consumers and admin clients share."""
    return {
        "bootstrap_servers": _servers(settings.bootstrap_servers),
        "client_id": "airsift",
        "bootstrap_timeout_ms": _ms(settings.connect_timeout_s),
        "reconnect_backoff_max_ms": 1000,
        **_security(settings),
    }


def _servers(text: str) -> Sequence[str]:
    servers = [part.strip() for part in text.split(",") if part.strip()]
    for server in servers:
        _, _, port = server.rpartition(":")
        if not port.isdigit():
            raise ConfigError(
                f"kafka.bootstrap_servers={text!r}: {server!r} has no port; write host:port"
            )
    return servers


def _security(settings: KafkaSettings) -> dict[str, Any]:
    security = settings.security
    options: dict[str, Any] = {"security_protocol": security.protocol}
    if "SSL" in security.protocol:
        options |= {
            "ssl_check_hostname": security.check_hostname,
            "ssl_cafile": _file("ca_file", security.ca_file),
            "ssl_certfile": _file("certificate_file", security.certificate_file),
            "ssl_keyfile": _file("key_file", security.key_file),
        }
    if security.protocol.startswith("SASL"):
        password = security.password.get_secret_value()
        if path := _file("password_file", security.password_file):
            password = Path(path).read_text(encoding="utf-8").strip()
        options |= {
            "sasl_mechanism": security.sasl_mechanism,
            "sasl_plain_username": security.username,
            "sasl_plain_password": password,
        }
    return options


def _file(key: str, path: str) -> str | None:
    if path and not Path(path).is_file():
        raise ConfigError(f"kafka.security.{key}={path!r} is not a file that can be read")
    return path or None


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
