"""Which alarms there are, what each looks at, and the rules that hold for a station."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from stream.alarms.hours import Hours, local_time, zone_of
from stream.alarms.machine import Limits
from stream.alarms.settings import MeasuredRuleSettings, RuleSettings, RulesSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from zoneinfo import ZoneInfo

    from stream.alarms.settings import AlarmSettings, Severity
    from stream.events import Decision, Level
    from stream.stations.entry import StationEntry

# Below this, in dBFS, a channel may be silent because the programme is.
_AUDIBLE_DBFS = -60.0
_YES = 0.5  # between 0 and 1, the values of what is there or is not


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of alarm.

    Parameters
    ----------
    name : str
        As in the configuration and in events.
    words : str
        As people say it.
    reads : {"clock", "level", "decision", "title"}
        What it looks at: the time since audio came, the level of each second, the decision of each
        window, or titles and songs.
    above : bool
        Whether the condition is a value at or above the threshold, or one at or below it.
    unit : str
        Of the value; empty for what is there or is not.
    """

    name: str
    words: str
    reads: Literal["clock", "level", "decision", "title"]
    above: bool = True
    unit: str = ""


KINDS = {
    kind.name: kind
    for kind in (
        Kind("gone", "no audio", "clock"),
        Kind("missing", "never heard", "clock"),
        Kind("unknown", "a station that is not in the list", "decision"),
        Kind("dead_air", "dead air", "level", above=False, unit="dBFS"),
        Kind("too_loud", "too loud", "level", unit="LUFS"),
        Kind("channel_lost", "a channel is silent", "level"),
        Kind("opposite_phase", "opposite phase", "level", above=False, unit="correlation"),
        Kind("frozen", "the same audio again and again", "level"),
        Kind("no_programme", "neither speech nor music", "decision", above=False, unit="p"),
        Kind("speech_long", "speech for too long", "decision", unit="p(speech)"),
        Kind("music_long", "music for too long", "decision", unit="p(music)"),
        Kind("speech_missing", "no speech", "decision", above=False, unit="p(speech)"),
        Kind("music_missing", "no music", "decision", above=False, unit="p(music)"),
        Kind("wrong_title", "the title is not the song", "title", above=False, unit="words"),
    )
}


def _channels_lost(level: Level) -> float | None:
    if level.dead_channels:
        return 1.0
    return 0.0 if level.level_dbfs > _AUDIBLE_DBFS else None


# What a kind takes from the level of a second; None where that says nothing.
LEVEL_VALUES: dict[str, Callable[[Level], float | None]] = {
    "dead_air": lambda level: level.level_dbfs,
    "too_loud": lambda level: level.short_term_lufs,
    "channel_lost": _channels_lost,
    "opposite_phase": lambda level: level.correlation,
    "frozen": lambda level: float(level.frozen),
}
# And from a decision.
DECISION_VALUES: dict[str, Callable[[Decision], float]] = {
    "no_programme": lambda decision: max(decision.p_speech, decision.p_music),
    "speech_long": lambda decision: decision.p_speech,
    "music_long": lambda decision: decision.p_music,
    "speech_missing": lambda decision: decision.p_speech,
    "music_missing": lambda decision: decision.p_music,
}


@dataclass(frozen=True, slots=True)
class Rule:
    """When a kind of alarm opens and closes for a station.

    Parameters
    ----------
    kind : Kind
        What it is.
    severity : {"warning", "critical"}
        Until it escalates.
    limits : Limits
        Delay, time to clear and time to escalate, in samples.
    threshold, hysteresis : float
        In the unit of the kind.
    zone : ZoneInfo
        Of all hours.
    hours : tuple of Hours
        It holds where all of them have the time.
    quiet : Hours
        It does not hold there.
    """

    kind: Kind
    severity: Severity
    limits: Limits
    threshold: float
    hysteresis: float
    zone: ZoneInfo
    hours: tuple[Hours, ...] = ()
    quiet: Hours = field(default_factory=Hours)

    def is_present(self, value: float | None) -> bool | None:
        """Whether a value is beyond the threshold; None where it is neither beyond nor back."""
        if value is None:
            return None
        sign = 1.0 if self.kind.above else -1.0
        over = sign * (value - self.threshold)
        if over >= 0:
            return True
        return False if over < -self.hysteresis or not self.hysteresis else None

    def is_active(self, time: float | None) -> bool:
        """Whether a Unix time is in the hours of the rule.

        Where the time is not known, a rule holds if it has no hours.
        """
        if not self.hours and not self.quiet.spans:
            return True
        if time is None:
            return False
        local = local_time(time, self.zone)
        return all(each.has(local) for each in self.hours) and not self.quiet.has(local)


@dataclass(frozen=True, slots=True)
class StationRules:
    """The rules that hold for a station.

    Parameters
    ----------
    by_kind : mapping of str to Rule
        Those that are enabled.
    group : str
        Of the station's entry.
    is_listed : bool
        Whether the list has the station; True where there is no list.
    is_expected : bool
        Whether audio of it should come.
    may_keep : bool
        Whether audio around its alarms may be kept.
    """

    by_kind: Mapping[str, Rule]
    group: str = ""
    is_listed: bool = True
    is_expected: bool = False
    may_keep: bool = True
    level: tuple[Rule, ...] = ()
    decision: tuple[Rule, ...] = ()


class AlarmPlan:
    """The rules of all stations: of a configuration, and of one reading of a list.

    Parameters
    ----------
    settings : AlarmSettings
        The section ``[alarms]``.
    rate : int > 0
        Samples per second of the limits.
    entries : mapping of str to StationEntry, optional
        The stations that are received; None where there is no list.
    """

    def __init__(
        self,
        settings: AlarmSettings,
        rate: int,
        entries: Mapping[str, StationEntry] | None = None,
    ) -> None:
        self._settings, self._rate = settings, rate
        self._listed = {name: self._of(entry) for name, entry in (entries or {}).items()}
        self._other = _station_rules(
            _rules(settings.rules, settings.timezone, (), rate), is_listed=entries is None
        )
        self.expected = tuple(name for name, each in self._listed.items() if each.is_expected)

    def of(self, station: str) -> StationRules:
        """Return the rules of a station."""
        return self._listed.get(station, self._other)

    def _of(self, entry: StationEntry) -> StationRules:
        hours = (Hours.parse(entry.hours),) if entry.hours else ()
        zone = entry.timezone or self._settings.timezone
        rules = _rules(merged(self._settings.rules, entry.alarms), zone, hours, self._rate)
        found = _station_rules(rules, entry.group, is_expected=entry.kind != "file")
        return replace(found, may_keep=entry.clips)


def merged(rules: RulesSettings, changes: Mapping[str, Mapping[str, object]]) -> RulesSettings:
    """Return rules with the keys that differ for a station.

    Raises
    ------
    ValueError
        There is no such rule or key, or a value is out of range.
    """
    values: dict[str, object] = rules.model_dump()
    for name, keys in changes.items():
        before = values.get(name)
        values[name] = {**before, **keys} if isinstance(before, dict) else keys
    return RulesSettings.model_validate(values)


def _rules(
    settings: RulesSettings, zone: str, hours: tuple[Hours, ...], rate: int
) -> dict[str, Rule]:
    rules = {}
    for name, kind in KINDS.items():
        each: RuleSettings = getattr(settings, name)
        if not each.enabled:
            continue
        measured = each if isinstance(each, MeasuredRuleSettings) else None
        rules[name] = Rule(
            kind,
            each.severity,
            Limits(
                round(each.delay_s * rate),
                round(each.clear_s * rate),
                round(each.escalate_s * rate),
            ),
            measured.threshold if measured else _YES,
            measured.hysteresis if measured else 0.0,
            zone_of(zone),
            hours + ((Hours.parse(each.hours),) if each.hours else ()),
            Hours.parse(each.quiet),
        )
    return rules


def _station_rules(
    rules: dict[str, Rule], group: str = "", *, is_listed: bool = True, is_expected: bool = False
) -> StationRules:
    return StationRules(
        rules,
        group,
        is_listed,
        is_expected,
        level=tuple(rules[name] for name in LEVEL_VALUES if name in rules),
        decision=tuple(rules[name] for name in DECISION_VALUES if name in rules),
    )
