"""Configuration: the keys of configs/default.toml, overridden by three layers.

The layers are a configuration file, the environment (``AIRSIFT_A__B=c``), and ``--set a.b=c``;
later ones win, so that what somebody types counts. Facts about a model are in the model file and
cannot be configured.

A relative path in a configuration file is relative to that file's folder; in ``--set`` or the
environment, to the working directory. ``~`` is the home directory.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeGuard

from pydantic import Field, ValidationError, model_validator

from airsift.defaults import Section, defaults
from airsift.errors import ConfigError
from airsift.json_types import Json, JsonObject
from airsift.podcasts.settings import PodcastSettings
from airsift.toml_text import parse_toml, read_toml
from airsift.web.settings import WebSettings
from stream.alarms.settings import AlarmSettings
from stream.clips.settings import SongClipSettings
from stream.history.settings import DatabaseSettings
from stream.kafka.settings import KafkaSettings
from stream.sources.settings import FileSettings, HttpSettings, MicrophoneSettings
from stream.telemetry.settings import TelemetrySettings, TracingSettings

PREFIX = "AIRSIFT_"
DEFAULT_LAYER = "default.toml"
_PATHS = (
    "model.path",
    "model.voice_path",
    "model.labels_path",
    "identify.catalogue",
    "identify.clips.folder",
    "repeats.folder",
    "database.url",
    "database.spool_folder",
    "alarms.stations",
    "alarms.clips.folder",
)  # and whatever ends in _file
# Keys whose values may contain passwords, as others of them say by their names.
_SECRET = ("database.url", "alarms.webhook.urls", "alarms.alertmanager.urls")
# Old names of keys, refused with the new name.
RENAMED = {
    "identify.evidence_s": "identify.max_query_s",
    "identify.thorough_every": "identify.warp_every_n_queries",
}
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


_Sha256 = Annotated[str, Field(pattern=r"^([0-9A-Fa-f]{64})?$")]


class ModelConfig(Section, table="model"):
    """The network, and its device."""

    path: str
    sha256: _Sha256
    voice: bool
    voice_path: str
    voice_sha256: _Sha256
    labels_path: str
    labels_sha256: _Sha256
    front_end: Literal["rolling", "nnaudio"]
    backend: Literal["auto", "torch", "onnx"]
    device: str
    threads: Annotated[int, Field(ge=1)]


class SmoothingConfig(Section, table="smoothing"):
    """How decisions become segments."""

    change_cost: Annotated[float, Field(gt=0, le=100)]
    max_delay_s: Annotated[float, Field(ge=1, le=60)]
    speech_level: Annotated[float, Field(gt=0, lt=1)]
    music_level: Annotated[float, Field(gt=0, lt=1)]
    min_segment_s: Annotated[float, Field(ge=1, le=60)]
    update_s: Seconds

    @model_validator(mode="after")
    def _check_delay(self) -> SmoothingConfig:
        if self.max_delay_s <= self.min_segment_s:
            raise ValueError(
                f"max_delay_s={self.max_delay_s:g} must be more than "
                f"min_segment_s={self.min_segment_s:g}"
            )
        return self


class IdentifyConfig(Section, table="identify"):
    """The catalogue, and when it is queried."""

    catalogue: str
    first_s: Seconds
    interval_s: Seconds
    other_interval_s: Seconds
    short_interval_s: Seconds
    short_query_s: Seconds
    query_s: Annotated[float, Field(gt=0, le=60)]
    max_query_s: Annotated[float, Field(gt=0, le=120)]
    shortest_s: Seconds
    tolerance_s: Annotated[float, Field(ge=0)]
    threshold: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    warp_first_s: Seconds
    warp_every_n_queries: Annotated[int, Field(ge=0, le=1000)]
    max_work: Annotated[int, Field(ge=0, le=10**9)]
    clips: SongClipSettings

    @model_validator(mode="after")
    def _check_lengths(self) -> IdentifyConfig:
        if self.first_s > self.query_s:
            raise ValueError(f"first_s={self.first_s} must be at most query_s={self.query_s}")
        if self.max_query_s < self.query_s:
            raise ValueError(
                f"max_query_s={self.max_query_s} must be at least query_s={self.query_s}"
            )
        if self.other_interval_s > self.max_query_s:
            raise ValueError(
                f"other_interval_s={self.other_interval_s} must be at most "
                f"max_query_s={self.max_query_s}, or some audio would be in no query"
            )
        return self


class RepeatsConfig(Section, table="repeats"):
    """What a station repeats: where it is stored, and how far back it is found."""

    folder: str
    days: Annotated[float, Field(gt=0, le=100)]
    clip_s: Annotated[float, Field(ge=0, le=300)]


class LevelsConfig(Section, table="levels"):
    """Whether the levels of stations are measured, and how often they are published."""

    enabled: bool
    interval_s: Annotated[int, Field(ge=1, le=3600)]
    integrated_s: Annotated[int, Field(ge=1, le=31 * 86_400)]

    @model_validator(mode="after")
    def _check_multiple(self) -> LevelsConfig:
        if self.integrated_s % self.interval_s:
            raise ValueError(
                f"integrated_s={self.integrated_s} must be a multiple of "
                f"interval_s={self.interval_s}"
            )
        return self


class RunConfig(Section, table="run"):
    """The long-running consumer."""

    checkpoint_s: Seconds
    overload_s: Annotated[float, Field(ge=0, le=86_400)]


class Config(Section):
    """The whole configuration."""

    model: ModelConfig
    smoothing: SmoothingConfig
    identify: IdentifyConfig
    repeats: RepeatsConfig
    levels: LevelsConfig
    alarms: AlarmSettings
    podcasts: PodcastSettings
    file: FileSettings
    http: HttpSettings
    microphone: MicrophoneSettings
    run: RunConfig
    watch: TelemetrySettings
    tracing: TracingSettings
    web: WebSettings
    database: DatabaseSettings
    kafka: KafkaSettings

    @model_validator(mode="after")
    def _check_transactions(self) -> Config:
        kafka, every_s = self.kafka, self.run.checkpoint_s
        if kafka.exactly_once and kafka.transaction_timeout_s < 3 * every_s:
            raise ValueError(
                f"kafka.transaction_timeout_s={kafka.transaction_timeout_s:g} must be at least "
                f"three times run.checkpoint_s={every_s:g}"
            )
        return self


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, and the layer of each value by dotted key."""

    config: Config
    origins: Mapping[str, str]

    @property
    def given(self) -> set[str]:
        """Keys that a file, ``--set`` or the environment gives."""
        return {key for key, origin in self.origins.items() if origin != DEFAULT_LAYER}


def load(
    path: Path | None = None,
    sets: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    values: Mapping[str, Json] | None = None,
) -> Loaded:
    """Merge the layers and check them.

    Parameters
    ----------
    path : Path, optional
        A TOML file with the keys that differ from the defaults.
    sets : sequence of str
        ``section.key=value``; the value as in TOML, or a bare string.
    environ : mapping, optional
        Variables named ``AIRSIFT_SECTION__KEY``; default: this process's.
    values : mapping, optional
        Values of a program, as nested tables or by dotted key. They win over all others.

    Raises
    ------
    ConfigError
        A file that cannot be read, an unknown key, or a value out of range.
    """
    known = dict(flatten(defaults()))
    texts = {key for key, value in known.items() if isinstance(value, str)}
    layers: list[tuple[str, JsonObject]] = [(DEFAULT_LAYER, defaults())]
    if path is not None:
        layers.append((str(path), _in_folder(path, _read(path))))
    variables = os.environ if environ is None else environ
    for name in sorted(variables):
        if name.startswith(PREFIX):
            key = name.removeprefix(PREFIX).lower().replace("__", ".")
            layers.append((name, _nest(key, _value(variables[name], key in texts))))
    form = "section.key=value, as in smoothing.change_cost=4"
    layers += [("--set", _nest(*parse_assignment(text, form, texts))) for text in sets]
    layers += [("config", _nest(*pair)) for pair in flatten(values or {})]
    merged: JsonObject = {}
    origins: dict[str, str] = {}
    for origin, layer in layers:
        for key, value in flatten(layer):
            if key not in known:
                raise ConfigError(_unknown(key, origin, list(known)))
            _merge(merged, _nest(key, _expanded(value) if is_path(value, key) else value))
            origins[key] = origin
    try:
        return Loaded(Config.model_validate(merged), origins)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        # Logs must show neither whole sections nor secrets.
        hidden = isinstance(first["input"], Mapping) or "password" in key or key.startswith(_SECRET)
        value = "" if hidden else f"={first['input']!r}"
        raise ConfigError(
            f"{key}{value} (from {origins.get(key, 'the merged values')}): {reason}; "
            f"configs/default.toml gives the unit and a good value"
        ) from None


def flatten(table: Mapping[str, Json], prefix: str = "") -> Iterator[tuple[str, Json]]:
    """Yield (dotted key, value) of nested tables."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def is_path(value: Json, key: str) -> TypeGuard[str]:
    """Whether the value of a key is a path, which may be relative."""
    named = key in _PATHS or key.endswith("_file")
    return named and isinstance(value, str) and value != "" and not _is_url(value)


def _is_url(value: str) -> bool:
    return ":" in value and value.partition(":")[2].startswith("//")


def _expanded(value: str) -> str:
    return os.path.expanduser(value)  # noqa: PTH111 - pathlib's raises for unknown users


def _in_folder(path: Path, layer: Mapping[str, Json]) -> JsonObject:
    """Return the values of a file, with relative paths resolved from its folder."""
    found: JsonObject = {}
    for key, value in flatten(layer):
        placed = str(path.parent / _expanded(value)) if is_path(value, key) else value
        _merge(found, _nest(key, placed))
    return found


def _read(path: Path) -> JsonObject:
    try:
        return read_toml(path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give a TOML file that can be read") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not TOML ({error}); see configs/default.toml") from None


def parse_assignment(text: str, form: str, texts: Set[str] = frozenset()) -> tuple[str, Json]:
    """Parse ``--set name=value``; the value is TOML, or else a string.

    Parameters
    ----------
    text : str
        The assignment.
    form : str
        The expected form with an example, for the error.
    texts : set of str
        Names whose values are always strings.

    Raises
    ------
    ConfigError
        There is no name or no equals sign.
    """
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not key:
        raise ConfigError(f"--set {text}: must be {form}")
    return key, _value(value, key in texts)


def _value(text: str, is_text: bool) -> Json:
    try:
        value: Json = parse_toml(f"value = {text}")["value"]
    except ValueError:
        return text
    # A device 2 or a password 12345 is text, and needs no quotes.
    return text if is_text and not isinstance(value, str) else value


def _nest(key: str, value: Json) -> JsonObject:
    *sections, name = key.split(".")
    nested = {name: value}
    for section in reversed(sections):
        nested = {section: nested}
    return nested


def _merge(into: JsonObject, layer: Mapping[str, Json]) -> None:
    for key, value in layer.items():
        if isinstance(value, Mapping):
            section = into.get(key)
            if not isinstance(section, dict):
                section = into[key] = {}
            _merge(section, value)
        else:
            into[key] = value


def _unknown(key: str, origin: str, known: Sequence[str]) -> str:
    if key in RENAMED:
        return f"{key} (from {origin}): no such key; it is now {RENAMED[key]}"
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]}?" if near else "`airsift config` lists every key"
    return f"{key} (from {origin}): no such key; {hint}"
