"""The `[watch]` and `[tracing]` sections of the configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from airsift.defaults import Section

_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class TelemetrySettings(Section, table="watch"):
    """Metrics, health and logs."""

    port: Annotated[int, Field(ge=0, le=65535)]
    address: str
    stall_s: _Seconds
    silent_s: _Seconds
    forget_s: _Seconds
    station_series: Annotated[int, Field(ge=0)]
    silent_series: Annotated[int, Field(ge=0)]
    expected: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...]
    log: Literal["text", "json"]
    level: Literal["debug", "info", "warning", "error"]

    @field_validator("expected")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(names))


class TracingSettings(Section, table="tracing"):
    """Traces of OpenTelemetry."""

    enabled: bool
    endpoint: Annotated[str, Field(max_length=2000, pattern=r"^(https?://\S+)?$")]
    sample_ratio: Annotated[float, Field(ge=0, le=1)]
