"""The seconds of one interval, added up to one event."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import sqrt
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, Strict

from stream.decoding.channels import MAX_CHANNELS
from stream.decoding.damage import MAX_SAMPLE
from stream.events import Level
from stream.levels.decibels import of_amplitude, of_power
from stream.ranges import Flag, Sample
from stream.telemetry.channel_faults import PAIRS, is_silent_beside

if TYPE_CHECKING:
    from stream.levels.gated_loudness import Loudness
    from stream.levels.meter import Second

DECIMALS = 2  # of decibels
_MAX_POWER = 1.01 * MAX_SAMPLE**2
_MIN_CORRELATED = 1e-10  # power of both channels below which they are silent

_Sum = Annotated[float, Strict(), Field(ge=0, le=1e18, allow_inf_nan=False)]
_Signed = Annotated[float, Strict(), Field(ge=-1e18, le=1e18, allow_inf_nan=False)]
_Lufs = Annotated[float, Strict(), Field(ge=-1e3, le=1e3, allow_inf_nan=False)]
_Channel = Annotated[int, Strict(), Field(ge=0, lt=MAX_CHANNELS)]


@dataclass(slots=True)
class Interval:
    """What was measured since the last event.

    Parameters
    ----------
    start : int >= 0
        Its first sample, at the model's rate.
    seconds, energy : float >= 0
        Seconds that were measured, and the sum of their mean squares.
    channels : list of float >= 0
        The same sum for each channel, since their number or the rate last changed.
    channels_s, product : float
        And its seconds, and the same sum of left times right.
    rate : int >= 0
        The samples per second of what these three are of; 0 before any.
    peak : float >= 0
        The true peak so far.
    momentary : float or None
        The greatest momentary loudness so far, in LUFS.
    clipped, silent : int >= 0
        Clipped samples, and tenths of a second of silence.
    dead : list of int or None
        Channels, from 0, that were silent in each second that could tell; None before one could.
    frozen : bool
        Whether audio was frozen at the end of a second.
    """

    start: Sample
    seconds: _Sum = 0.0
    energy: _Sum = 0.0
    channels: Annotated[list[_Sum], Field(max_length=MAX_CHANNELS)] = field(default_factory=list)
    channels_s: _Sum = 0.0
    product: _Signed = 0.0
    rate: Sample = 0
    peak: _Sum = 0.0
    momentary: _Lufs | None = None
    clipped: Sample = 0
    silent: Sample = 0
    dead: Annotated[list[_Channel], Field(max_length=MAX_CHANNELS)] | None = None
    frozen: Flag = False

    def add(self, second: Second, rate: int, momentary: float | None, *, frozen: bool) -> None:
        """Add a second, or a part of one.

        Parameters
        ----------
        second : Second
            What was measured of it.
        rate : int > 0
            Its samples per second.
        momentary : float or None
            Its greatest momentary loudness, in LUFS.
        frozen : bool
            Whether audio is frozen at its end.
        """
        powers, length = second.powers, second.n / rate
        self.seconds += length
        self.energy += length * sum(powers) / len(powers)
        if (len(self.channels), self.rate) != (len(powers), rate):
            self.channels, self.channels_s, self.rate = [0.0] * len(powers), 0.0, rate
            self.product, self.dead = 0.0, None
        self.channels = [a + length * b for a, b in zip(self.channels, powers, strict=True)]
        self.channels_s += length
        self.product += length * second.product
        self.peak = second.peak
        if momentary is not None:
            self.momentary = max(momentary, self.momentary or momentary)
        self.clipped += second.clipped
        self.silent += second.silent
        dead = _dead(powers)
        if dead is not None:
            self.dead = dead if self.dead is None else [c for c in self.dead if c in dead]
        self.frozen |= frozen

    def event(
        self, station: str, end: int, rate: int, loudness: Loudness, title: str | None
    ) -> Level:
        """Return the event of what was added, up to sample `end` at the model's `rate`."""
        channels = [each / self.channels_s for each in self.channels]
        return Level(
            station=station,
            start=self.start,
            end=end,
            rate=rate,
            time=None,
            level_dbfs=round(of_power(self.energy / self.seconds), DECIMALS),
            channels_dbfs=tuple(round(of_power(each), DECIMALS) for each in channels),
            true_peak_dbtp=round(of_amplitude(self.peak), DECIMALS),
            momentary_lufs=_rounded(self.momentary),
            short_term_lufs=_rounded(loudness.short_term),
            integrated_lufs=_rounded(loudness.integrated),
            correlation=_correlation(channels, self.product / self.channels_s),
            clipped=self.clipped,
            silence_s=round(self.silent / 10, 1),
            dead_channels=tuple(channel + 1 for channel in self.dead or []),
            frozen=self.frozen,
            title=title,
        )

    @property
    def is_possible(self) -> bool:
        """Whether audio of at most `MAX_SAMPLE` can have these sums."""
        of_channels = [*self.channels, abs(self.product)]
        return (
            self.energy <= _MAX_POWER * self.seconds
            and max(of_channels) <= _MAX_POWER * self.channels_s
            and (not self.seconds or (self.channels != [] and self.channels_s > 0))
        )

    def copy(self) -> Self:
        """Return one that can change on its own."""
        return replace(self, channels=[*self.channels], dead=self.dead and [*self.dead])


def _rounded(decibels: float | None) -> float | None:
    return None if decibels is None else round(decibels, DECIMALS)


def _correlation(channels: list[float], product: float) -> float | None:
    if len(channels) < 2 or min(channels[:2]) <= _MIN_CORRELATED:
        return None
    return round(max(min(product / sqrt(channels[0] * channels[1]), 1.0), -1.0), 3)


def _dead(powers: list[float]) -> list[int] | None:
    """Return the channels that are silent beside the other of their pair; None if none can be."""
    found = {
        one: is_silent_beside(powers[one], powers[other])
        for pair in PAIRS.get(len(powers), [])
        for one, other in (pair, pair[::-1])
    }
    if all(silent is None for silent in found.values()):
        return None
    return [channel for channel, silent in found.items() if silent]
