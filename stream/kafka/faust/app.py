"""The one place where Faust's app is made: its settings, and why they are what they are."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import aiokafka.client  # type: ignore[import-untyped]
import faust
from aiokafka.protocol.metadata import MetadataRequest  # type: ignore[import-untyped]
from faust.auth import OAuthCredentials, SASLCredentials, SSLCredentials
from faust.types.tuples import TP

from stream.kafka.client.security import joined, security_options, servers
from stream.kafka.faust.fetching import read_with
from stream.kafka.faust.tokens import TokenProvider
from stream.kafka.notices import NOTICES
from stream.kafka.records.partitions import Partitions
from stream.kafka.tokens import tokens_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream.kafka.settings import KafkaSettings

# Both tell of each retry as an error, with a traceback. What ends the worker reaches the user as
# BrokerError; the rest stays available to who lowers this.
for name in ("faust", "mode", "aiokafka"):
    logging.getLogger(name).setLevel(logging.CRITICAL + 1)

# A broker with ``auto.create.topics.enable`` would make a topic that was deleted anew, with one
# partition, whenever it is asked for it like this.
aiokafka.client.MetadataRequest = partial(MetadataRequest, allow_auto_topic_creation=False)

_send = aiokafka.client.AIOKafkaClient.send


async def _send_and_look(client: Any, *arguments: Any, **options: Any) -> Any:
    """Send a request of aiokafka's, and look whether a quota has held the answer back."""
    answer = await _send(client, *arguments, **options)
    if wait_ms := getattr(answer, "throttle_time_ms", 0):
        NOTICES.throttled(wait_ms)
    return answer


aiokafka.client.AIOKafkaClient.send = _send_and_look

# Messages that wait within Faust. They are lost to a rebalance and fetched again, and at up to
# `wire.max_bytes` each they are the worker's memory.
_BUFFERED = 64


def make_app(settings: KafkaSettings) -> Any:
    """Return a Faust app that keeps nothing on disk and creates no topics.

    It makes no folders either, so it starts on a disk that is full or must not be written to.
    """
    app: Any = faust.App(
        settings.group,
        broker=[f"kafka://{joined(*each)}" for each in servers(settings.bootstrap_servers)],
        broker_credentials=_credentials(settings),
        broker_client_id="airsift",
        broker_request_timeout=max(settings.request_timeout_s, settings.session_timeout_s + 1),
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.heartbeat_s,
        broker_rebalance_timeout=max(settings.session_timeout_s, 10.0),
        broker_max_poll_interval=settings.max_poll_interval_s,
        broker_max_poll_records=settings.poll_messages,
        consumer_group_instance_id=settings.instance_id or None,
        consumer_auto_offset_reset=settings.start_from,
        consumer_metadata_max_age_ms=round(settings.metadata_max_age_s * 1000),
        producer_metadata_max_age_ms=round(settings.metadata_max_age_s * 1000),
        # Brokers send a larger message all the same. Larger answers leave holes in the memory.
        consumer_max_fetch_size=settings.fetch_partition_bytes,
        producer_acks=-1,
        producer_linger=settings.linger_ms / 1000,
        producer_compression_type=None if settings.compression == "none" else settings.compression,
        producer_max_request_size=settings.max_request_bytes,
        producer_request_timeout=settings.delivery_timeout_s,  # of messages, see below
        stream_buffer_maxsize=_BUFFERED,
        # Without it a rebalance cuts into a batch, and both owners work on it.
        stream_wait_empty=True,
        # Snapshots are read and written by `stream.kafka.faust.state_table`: Faust's own tables
        # need as many partitions of their changelog as of the audio, which may grow while workers
        # run.
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        autodiscover=False,
    )
    app._create_directories = lambda: None
    app.consumer._read_offset = _NoOffsets()
    _prepare_consumer(app.consumer._thread, settings)
    _prepare_producer(app.producer, settings)
    return app


def bytes_topic(app: Any, name: str, **options: Any) -> Any:
    """Return a topic whose keys and values are left as they come."""
    raw = {"key_serializer": "raw", "value_serializer": "raw"}
    return app.topic(name, key_type=bytes, value_type=bytes, allow_empty=True, **raw, **options)


def _prepare_consumer(thread: Any, settings: KafkaSettings) -> None:
    """Have the broker answer within `fetch_wait_ms`, and answers read by `RecordBatches`.

    Faust's own 1.5 s cannot be set.
    """
    create = thread._create_worker_consumer

    def create_prepared(transport: Any) -> Any:
        consumer = create(transport)
        consumer._fetch_max_wait_ms = settings.fetch_wait_ms
        consumer._client_rack = settings.client_rack or None
        start = consumer.start

        async def start_prepared() -> None:
            await start()
            read_with(Partitions(settings.wire.max_batch_bytes), consumer)

        consumer.start = start_prepared
        return consumer

    thread._create_worker_consumer = create_prepared


def _prepare_producer(producer: Any, settings: KafkaSettings) -> None:
    """Have a request to a broker that stands still given up before its messages are.

    Another broker may lead the partition by then. aiokafka has one limit for both.
    """
    create = producer._new_producer
    limit_ms = round(1000 * min(settings.request_timeout_s, settings.delivery_timeout_s))

    def create_prepared(*arguments: Any, **options: Any) -> Any:
        made = create(*arguments, **options)
        made.client._request_timeout_ms = limit_ms
        made._sender._request_timeout_ms = limit_ms
        return made

    producer._new_producer = create_prepared


def _credentials(settings: KafkaSettings) -> Any:
    options = security_options(settings)
    context = options.get("ssl_context")
    if settings.security.by_token:
        provider = TokenProvider(tokens_of(settings.security))
        return OAuthCredentials(oauth_cb=provider, ssl_context=context)
    if "sasl_mechanism" in options:
        return SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            mechanism=options["sasl_mechanism"],
            ssl_context=context,
        )
    return SSLCredentials(context) if context else None


class _NoOffsets:
    """What Faust believes to have read, with the methods of a dict that it uses: nothing.

    It would drop what comes again after a seek if a message that was on its way then is done
    after it. What comes twice is known here by its offset.
    """

    def __getitem__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, kafka_offset: int | None) -> None:
        pass

    def pop(self, tp: TP, default: None = None) -> None:
        """Have nothing of a partition."""

    def update(self, offsets: Mapping[TP, int | None]) -> None:
        """Take note of nothing."""

    def keys(self) -> tuple[TP, ...]:
        """Have no partitions."""
        return ()
