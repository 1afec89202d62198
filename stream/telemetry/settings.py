"""The `[watch]` section of the configuration: metrics, health and logs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class TelemetrySettings(BaseModel):
    """Metrics, health and logs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: Annotated[int, Field(ge=0, le=65535)]
    address: str
    stall_s: _Seconds
    silent_s: _Seconds
    forget_s: _Seconds
    station_series: Annotated[int, Field(ge=0)]
    log: Literal["text", "json"]
    level: Literal["debug", "info", "warning", "error"]
