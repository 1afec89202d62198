"""The `[watch]` section of the configuration: metrics, health and logs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

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
    log: Literal["text", "json"]
    level: Literal["debug", "info", "warning", "error"]
