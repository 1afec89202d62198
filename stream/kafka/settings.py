"""The `[kafka]` section of the configuration: every key, its unit and its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, SecretStr, model_validator

from airsift.defaults import Section

if TYPE_CHECKING:
    from collections.abc import Collection

_Positive = Annotated[int, Field(gt=0)]
_Seconds = Annotated[float, Field(gt=0, le=3600)]
_Topic = Annotated[str, Field(min_length=1, max_length=249, pattern=r"^[A-Za-z0-9._-]+$")]


class TopicSettings(Section, table="kafka.topics"):
    """Names of the topics, and how a missing one is created."""

    audio: _Topic
    decisions: _Topic
    segments: _Topic
    labels: _Topic
    matches: _Topic
    shares: _Topic
    repeats: _Topic
    levels: _Topic
    gaps: _Topic
    alarms: _Topic
    dead_letters: _Topic
    state: _Topic
    partitions: _Positive
    replication: _Positive

    @property
    def events(self) -> dict[str, str]:
        """Topic of each kind of event."""
        return {
            "decision": self.decisions,
            "segment": self.segments,
            "label": self.labels,
            "match": self.matches,
            "share": self.shares,
            "repeat": self.repeats,
            "level": self.levels,
            "gap": self.gaps,
            "alarm": self.alarms,
        }

    def of_events(self, kinds: Collection[str] | None) -> dict[str, str]:
        """Return the topics of some kinds of events; of all where `kinds` is None."""
        return {kind: name for kind, name in self.events.items() if kinds is None or kind in kinds}


class SecuritySettings(Section, table="kafka.security"):
    """Encryption and login. Secrets are never printed."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]
    username: str
    password: SecretStr
    password_file: str
    token_file: str
    token_command: str
    ca_file: str
    certificate_file: str
    key_file: str
    key_password: SecretStr
    key_password_file: str
    check_hostname: bool

    @model_validator(mode="after")
    def _login_is_complete(self) -> SecuritySettings:
        if self.protocol.startswith("SASL") and not self.by_token:
            if not self.username:
                raise ValueError(
                    f"protocol={self.protocol} needs a username: set it or use SSL alone"
                )
            if not (self.password or self.password_file):
                raise ValueError(f"protocol={self.protocol} needs a password: set password_file")
        if self.by_token and bool(self.token_file) == bool(self.token_command):
            raise ValueError(
                "sasl_mechanism=OAUTHBEARER needs a token: set one of token_file and token_command"
            )
        for key in ("password", "key_password"):
            if getattr(self, key) and getattr(self, f"{key}_file"):
                raise ValueError(f"{key} and {key}_file are both set: leave one of them out")
        if self.key_file and not self.certificate_file:
            raise ValueError("key_file needs its certificate_file")
        return self

    @property
    def by_token(self) -> bool:
        """Whether the login is a token."""
        return self.protocol.startswith("SASL") and self.sasl_mechanism == "OAUTHBEARER"

    @property
    def encrypted(self) -> bool:
        """Whether the connection is TLS."""
        return self.protocol.endswith("SSL")


class WireSettings(Section, table="kafka.wire"):
    """Formats and limits of the audio topic's messages."""

    default_content_type: str
    default_rate: Annotated[int, Field(ge=0)]
    default_channels: _Positive
    max_bytes: _Positive
    max_batch_bytes: _Positive
    max_s: _Seconds
    max_channels: _Positive
    max_rate: _Positive
    reorder_ms: Annotated[int, Field(ge=0, le=60_000)]
    jump_s: _Seconds
    pause_s: _Seconds
    confirm_jump_s: _Seconds

    @model_validator(mode="after")
    def _a_message_fits_into_a_batch(self) -> WireSettings:
        if self.max_batch_bytes < self.max_bytes:
            raise ValueError(
                f"max_batch_bytes={self.max_batch_bytes} is less than max_bytes={self.max_bytes}: "
                "a message of that length would never be read; raise it, four times as much is good"
            )
        return self


class MessageSettings(Section, table="kafka.messages"):
    """Conventions that the messages of events follow."""

    headers: Literal["plain", "cloudevents"]
    source: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[!-~]+$")]
    framing: Literal["none", "confluent"]

    @model_validator(mode="after")
    def _value_is_the_data(self) -> MessageSettings:
        if self.headers == "cloudevents" and self.framing != "none":
            raise ValueError(
                f"headers=cloudevents and framing={self.framing}: in CloudEvents' binary mode the "
                "value is the JSON alone; choose one of them"
            )
        return self


class RegistrySettings(Section, table="kafka.registry"):
    """The schema registry of Confluent's framing."""

    url: Annotated[str, Field(max_length=2000, pattern=r"^(https?://[^\s@]+)?$")]
    username: str
    password: SecretStr
    password_file: str
    ca_file: str
    register_schemas: bool
    timeout_s: _Seconds

    @model_validator(mode="after")
    def _one_password(self) -> RegistrySettings:
        if self.password and self.password_file:
            raise ValueError("password and password_file are both set: leave one of them out")
        return self


class KafkaSettings(Section, table="kafka"):
    """How to reach Kafka, and how to read from and write to it."""

    bootstrap_servers: Annotated[str, Field(min_length=1)]
    group: Annotated[str, Field(min_length=1)]
    instance_id: Annotated[str, Field(max_length=249, pattern=r"^[A-Za-z0-9._-]*$")]
    client_rack: str
    start_from: Literal["earliest", "latest"]
    connect_timeout_s: _Seconds
    request_timeout_s: _Seconds
    metadata_max_age_s: Annotated[float, Field(ge=1, le=30)]
    delivery_timeout_s: _Seconds
    session_timeout_s: _Seconds
    max_poll_interval_s: _Seconds
    stall_s: Annotated[float, Field(ge=5, le=3600)]
    poll_s: Annotated[float, Field(gt=0, le=0.5)]
    poll_messages: _Positive
    fetch_wait_ms: Annotated[int, Field(ge=1, le=5000)]
    idle_s: Annotated[float, Field(ge=5, le=86_400)]
    forget_s: Annotated[float, Field(ge=60)]
    max_stations: _Positive
    linger_ms: Annotated[int, Field(ge=0, le=1000)]
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"]
    max_request_bytes: _Positive
    fetch_partition_bytes: _Positive
    fetch_bytes: _Positive
    max_pending_events: _Positive
    exactly_once: bool
    transactional_id: Annotated[str, Field(max_length=249)]
    transaction_timeout_s: Annotated[float, Field(ge=2, le=900)]
    topics: TopicSettings
    security: SecuritySettings
    wire: WireSettings
    messages: MessageSettings
    registry: RegistrySettings

    @model_validator(mode="after")
    def _framing_has_a_registry(self) -> KafkaSettings:
        if self.messages.framing == "confluent" and not self.registry.url:
            raise ValueError(
                "messages.framing=confluent needs the numbers of schemas: set registry.url"
            )
        return self

    @model_validator(mode="after")
    def _ends_before_it_forgets(self) -> KafkaSettings:
        if self.idle_s >= self.forget_s:
            raise ValueError(
                f"idle_s={self.idle_s:g} must be less than forget_s={self.forget_s:g}: a station "
                "is ended before it is forgotten"
            )
        return self

    @property
    def heartbeat_s(self) -> float:
        """Seconds between heartbeats, by which a member learns of a rebalance."""
        return min(max(self.session_timeout_s / 5, 0.1), 0.5)

    @property
    def isolation(self) -> str:
        """Kafka's isolation level of a worker's consumer."""
        return "read_committed" if self.exactly_once else "read_uncommitted"

    @property
    def undecided_s(self) -> float:
        """Seconds for which a dead worker's transaction may stay open: Kafka checks every 10 s."""
        return self.transaction_timeout_s + 10 if self.exactly_once else 0.0
