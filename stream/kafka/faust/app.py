"""Makes Faust's app: its settings, and the reason for each that is not obvious."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import faust
from aiokafka.abc import AbstractTokenProvider  # type: ignore[import-untyped]
from faust.auth import OAuthCredentials, SASLCredentials, SSLCredentials

from stream.kafka.client.connect import quiet_logs
from stream.kafka.client.security import joined, security_options, servers
from stream.kafka.faust.privates import prepare_app
from stream.kafka.tokens import shared_tokens

if TYPE_CHECKING:
    from faust.types import TopicT
    from faust.types.auth import CredentialsT

    from stream.kafka.settings import KafkaSettings
    from stream.kafka.tokens import Tokens

# Messages that Faust buffers. A rebalance drops them and they are fetched again; at up to
# `wire.max_bytes` each they take most of the worker's memory.
_BUFFERED = 64


def make_app(settings: KafkaSettings) -> faust.App:
    """Return a Faust app that creates no topics and neither files nor directories."""
    quiet_logs("faust", "mode", "aiokafka")
    app = faust.App(
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
        # A broker sends a larger message all the same. Larger answers fragment the memory.
        consumer_max_fetch_size=settings.fetch_partition_bytes,
        producer_acks=-1,
        producer_linger=settings.linger_ms / 1000,
        producer_compression_type=None if settings.compression == "none" else settings.compression,
        producer_max_request_size=settings.max_request_bytes,
        producer_request_timeout=settings.delivery_timeout_s,  # of messages, see `prepare_app`
        stream_buffer_maxsize=_BUFFERED,
        # Without it a rebalance cuts into a batch, and both owners process it.
        stream_wait_empty=True,
        # `stream.kafka.faust.state_table` reads and writes the snapshots. Faust's own tables need
        # as many changelog partitions as audio partitions, which may grow while workers run.
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        autodiscover=False,
    )
    prepare_app(app, settings)
    return app


def bytes_topic(app: faust.App, name: str) -> TopicT:
    """Return a topic whose keys and values stay bytes."""
    return app.topic(
        name,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        allow_empty=True,
    )


def _credentials(settings: KafkaSettings) -> CredentialsT | None:
    options = security_options(settings)
    context = options.get("ssl_context")
    if settings.security.by_token:
        provider = TokenProvider(shared_tokens(settings.security))
        return OAuthCredentials(oauth_cb=provider, ssl_context=context)
    if "sasl_mechanism" in options:
        return SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            mechanism=options["sasl_mechanism"],
            ssl_context=context,
        )
    return SSLCredentials(context) if context else None


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]
    """OAUTHBEARER's tokens for aiokafka."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def token(self) -> str:
        """Return the valid token."""
        return await asyncio.to_thread(self._tokens.token)
