"""The `[alarms]` section of the configuration: the rules, and which targets are notified."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from airsift.defaults import Section
from airsift.errors import ConfigError
from stream.alarms.hours import Hours, zone_of
from stream.clips.settings import ClipSettings

Severity = Literal["warning", "critical"]
# One address alone, without the characters by which headers of mail name, comment, list and encode.
_MAIL = re.compile(r"[\w.!#$%&'*+/=^`{|}~-]{1,64}@[\w-]+(?:\.[\w-]+)*", re.ASCII)
_Seconds = Annotated[float, Field(ge=0, le=31 * 86_400)]
_Positive = Annotated[float, Field(gt=0, le=86_400)]


def _checked_hours(texts: list[str]) -> list[str]:
    Hours.parse(texts)
    return texts


def _checked_zone(name: str) -> str:
    if name:
        zone_of(name)
    return name


def _checked_addresses(urls: list[SecretStr]) -> list[SecretStr]:
    for url in urls:
        parts = urlsplit(url.get_secret_value())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("an address must be like https://host/path")
        _ = parts.port  # fails where it is none
    return urls


HourTexts = Annotated[list[str], Field(max_length=100), AfterValidator(_checked_hours)]
ZoneName = Annotated[str, Field(max_length=100), AfterValidator(_checked_zone)]
_Addresses = Annotated[list[SecretStr], Field(max_length=20), AfterValidator(_checked_addresses)]


class RuleSettings(Section):
    """When a condition that is there, or is not, is an alarm."""

    enabled: bool
    severity: Severity
    delay_s: _Seconds
    clear_s: _Seconds
    escalate_s: _Seconds
    hours: HourTexts
    quiet: HourTexts


class MeasuredRuleSettings(RuleSettings):
    """The same for what is measured: beyond `threshold`, until it is back by `hysteresis`."""

    threshold: Annotated[float, Field(ge=-200, le=200)]
    hysteresis: Annotated[float, Field(ge=0, le=200)]


class RulesSettings(Section, table="alarms.rules"):
    """The rule of each kind of alarm."""

    gone: RuleSettings
    missing: RuleSettings
    unknown: RuleSettings
    dead_air: MeasuredRuleSettings
    too_loud: MeasuredRuleSettings
    channel_lost: RuleSettings
    opposite_phase: MeasuredRuleSettings
    frozen: RuleSettings
    no_programme: MeasuredRuleSettings
    speech_long: MeasuredRuleSettings
    music_long: MeasuredRuleSettings
    speech_missing: MeasuredRuleSettings
    music_missing: MeasuredRuleSettings
    wrong_title: MeasuredRuleSettings


class WebhookSettings(Section, table="alarms.webhook"):
    """Addresses to which alarms are posted."""

    urls: _Addresses
    secret_file: str
    min_severity: Severity


class AlertmanagerSettings(Section, table="alarms.alertmanager"):
    """Alertmanagers to which alarms are posted."""

    urls: _Addresses
    resend_s: Annotated[float, Field(ge=5, le=3600)]
    min_severity: Severity


class EmailSettings(Section, table="alarms.email"):
    """Who gets mail, and the server that takes it."""

    to: Annotated[list[str], Field(max_length=100)]
    sender: str
    host: str
    port: Annotated[int, Field(ge=1, le=65_535)]
    security: Literal["none", "starttls", "tls"]
    username: str
    password_file: str
    min_severity: Severity

    @model_validator(mode="after")
    def _is_complete(self) -> EmailSettings:
        for each in [*self.to, *([self.sender] if self.sender else [])]:
            if not _MAIL.fullmatch(each):
                raise ValueError(
                    f"{each!r} is no address of mail, as desk@radio.example, in ASCII (a domain in "
                    "other letters begins with xn--)"
                )
        if self.to and not self.sender:
            raise ValueError("to is set and sender is not: set both")
        if bool(self.username) != bool(self.password_file):
            raise ValueError("username and password_file belong together: set both or none")
        if self.username and self.security == "none":
            raise ValueError('security="none" would send the password readable: use starttls')
        return self


class CommandSettings(Section, table="alarms.command"):
    """A program that is run for each message, without a shell."""

    run: Annotated[list[str], Field(max_length=100)]
    min_severity: Severity


class AlarmSettings(Section, table="alarms"):
    """Alarms."""

    enabled: bool
    stations: str
    timezone: ZoneName
    timeout_s: _Positive
    give_up_s: _Positive
    max_queue: Annotated[int, Field(ge=1, le=100_000)]
    rules: RulesSettings
    webhook: WebhookSettings
    alertmanager: AlertmanagerSettings
    email: EmailSettings
    command: CommandSettings
    clips: ClipSettings


def secret_of(path: str, key: str) -> str:
    """Read a secret from a file, without the end of its line; "" where none is named.

    Raises
    ------
    ConfigError
        The file cannot be read.
    """
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise ConfigError(
            f"{key}={path!r} is not text that can be read; name a file with the secret"
        ) from None
