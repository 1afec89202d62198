"""The `[kafka]` section of the configuration: every key, its unit and its limits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

_Positive = Annotated[int, Field(gt=0)]
_Seconds = Annotated[float, Field(gt=0, le=3600)]
_Topic = Annotated[str, Field(min_length=1, max_length=249, pattern=r"^[A-Za-z0-9._-]+$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TopicSettings(_Section):
    """Names of the topics, and how a missing one is created."""

    audio: _Topic = "airsift.audio"
    decisions: _Topic = "airsift.decisions"
    segments: _Topic = "airsift.segments"
    matches: _Topic = "airsift.matches"
    repeats: _Topic = "airsift.repeats"
    gaps: _Topic = "airsift.gaps"
    dead_letters: _Topic = "airsift.dead-letters"
    state: _Topic = "airsift.state"
    partitions: _Positive = 8
    replication: _Positive = 1

    @property
    def events(self) -> dict[str, str]:
        """Topic of each kind of event."""
        return {
            "decision": self.decisions,
            "segment": self.segments,
            "match": self.matches,
            "repeat": self.repeats,
            "gap": self.gaps,
        }


class SecuritySettings(_Section):
    """Encryption and login. Secrets are never printed."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = "PLAIN"
    username: str = ""
    password: SecretStr = SecretStr("")
    password_file: str = ""
    token_file: str = ""
    token_command: str = ""
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    key_password: SecretStr = SecretStr("")
    key_password_file: str = ""
    check_hostname: bool = True

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


class WireSettings(_Section):
    """Formats and limits of the audio topic's messages."""

    default_content_type: str = ""
    default_rate: Annotated[int, Field(ge=0)] = 0
    default_channels: _Positive = 1
    max_bytes: _Positive = 8 * 1024 * 1024
    max_batch_bytes: _Positive = 32 * 1024 * 1024
    max_s: _Seconds = 60.0
    max_channels: _Positive = 8
    max_rate: _Positive = 192_000
    reorder_ms: Annotated[int, Field(ge=0, le=60_000)] = 2000
    jump_s: _Seconds = 0.5
    pause_s: _Seconds = 5.0
    confirm_jump_s: _Seconds = 10.0

    @model_validator(mode="after")
    def _a_message_fits_into_a_batch(self) -> WireSettings:
        if self.max_batch_bytes < self.max_bytes:
            raise ValueError(
                f"max_batch_bytes={self.max_batch_bytes} is less than max_bytes={self.max_bytes}: "
                "a message of that length would never be read; raise it, four times as much is good"
            )
        return self


class KafkaSettings(_Section):
    """How to reach Kafka, and how to read from and write to it."""

    bootstrap_servers: Annotated[str, Field(min_length=1)] = "127.0.0.1:9092"
    group: Annotated[str, Field(min_length=1)] = "airsift"
    instance_id: Annotated[str, Field(max_length=249, pattern=r"^[A-Za-z0-9._-]*$")] = ""
    client_rack: str = ""
    start_from: Literal["earliest", "latest"] = "earliest"
    connect_timeout_s: _Seconds = 8.0
    request_timeout_s: _Seconds = 30.0
    metadata_max_age_s: Annotated[float, Field(ge=1, le=30)] = 10.0
    delivery_timeout_s: _Seconds = 60.0
    session_timeout_s: _Seconds = 10.0
    max_poll_interval_s: _Seconds = 300.0
    stall_s: Annotated[float, Field(ge=5, le=3600)] = 60.0
    poll_s: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    poll_messages: _Positive = 500
    fetch_wait_ms: Annotated[int, Field(ge=1, le=5000)] = 100
    idle_s: Annotated[float, Field(ge=5, le=86_400)] = 300.0
    forget_s: Annotated[float, Field(ge=60)] = 604_800.0
    max_stations: _Positive = 5000
    linger_ms: Annotated[int, Field(ge=0, le=1000)] = 5
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "none"
    max_request_bytes: _Positive = 16 * 1024 * 1024
    fetch_partition_bytes: _Positive = 1024 * 1024
    fetch_bytes: _Positive = 32 * 1024 * 1024
    max_pending_events: _Positive = 20_000
    exactly_once: bool = False
    transactional_id: Annotated[str, Field(max_length=249)] = ""
    transaction_timeout_s: Annotated[float, Field(ge=2, le=900)] = 15.0
    topics: TopicSettings = TopicSettings()
    security: SecuritySettings = SecuritySettings()
    wire: WireSettings = WireSettings()

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
