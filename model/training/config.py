"""What a network is to learn, from a TOML file: its outputs, classes, windows and settings.

docs/own_labels.md says what may be in the file; configs/voice.toml is an example.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from functools import partial
from itertools import permutations
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from airsift.errors import ConfigError
from model.corpus.cache import key_of
from model.networks import presets
from model.training.loop import Settings
from model.training.mixer import BALANCE, BINS_PER_OCTAVE, Mixer
from model.training.mixture import Layer, alone, over

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from model.corpus.feature_store import Bank
    from model.training.mixture import Draw

SEMITONES_PER_OCTAVE = 12
Share = Annotated[float, Field(gt=0, le=1)]


class _Window(BaseModel):
    """A way to make windows: one class, one over another, or one after another."""

    model_config = ConfigDict(extra="forbid")

    share: Share
    of: Annotated[list[str], Field(min_length=1, max_length=2)]
    under_db: tuple[float, float] | None = None
    spliced: bool = False


class _File(BaseModel):
    """The file as it is written."""

    model_config = ConfigDict(extra="forbid")

    data: str = ""
    labels: Annotated[list[str], Field(min_length=1)]
    classes: dict[str, list[str]]
    leave_out: list[str] = []
    groups: str = ""
    manifest: str = ""
    passes: Annotated[int, Field(ge=1, le=100)] = 1
    most_seconds: Annotated[int, Field(ge=1)] = 600
    balance: Annotated[float, Field(ge=0, le=1)] = BALANCE
    semitones: Annotated[float, Field(ge=0, le=12)] = 4.0
    window: list[_Window] = []
    train: dict[str, int | float | str] = {}


@dataclass(frozen=True, slots=True)
class Task:
    """What a network is to learn.

    Parameters
    ----------
    data : str
        What the file says of the audio; may be empty.
    labels : tuple of str
        Names of the outputs.
    classes : mapping of str to tuple of int
        The outputs that each class switches on.
    leave_out : frozenset of str
        Classes of the corpus that are not used.
    groups : mapping of str to str
        Groups whose class is another than the corpus says.
    manifest : Path, optional
        Files to decode into the corpus first.
    passes : int > 0
        How often a recording is joined and treated anew.
    most_seconds : int > 0
        Audio of one group in one pass, at most.
    transposition : int >= 0
        Bins that a layer is shifted by at most.
    balance : float in [0, 1]
        How far the sources of a class are made equal.
    ways : tuple of (float, Draw)
        How windows are made, and how often.
    settings : Settings
        How to train.
    judged : tuple of str
        Classes that windows are about, and not only beneath others.
    key : str
        Hash of all in the file but `data` and the settings, for the state of a training.
    """

    data: str
    labels: tuple[str, ...]
    classes: Mapping[str, tuple[int, ...]]
    leave_out: frozenset[str]
    groups: Mapping[str, str]
    manifest: Path | None
    passes: int
    most_seconds: int
    transposition: int
    balance: float
    ways: tuple[tuple[float, Draw], ...]
    settings: Settings
    judged: tuple[str, ...]
    key: str

    def mixer(self, bank: Bank, dropped: frozenset[int]) -> Mixer:
        """Make what draws this task's windows from a bank."""
        return Mixer(
            bank,
            dropped=dropped,
            ways=self.ways,
            classes=self.classes,
            transposition=self.transposition,
            balance=self.balance,
        )


def load_task(path: Path, **overrides: object) -> Task:
    """Read a task; paths in it are relative to its folder.

    Parameters
    ----------
    path : Path
        The TOML file.
    overrides
        Settings that replace those of the file; None replaces nothing.

    Raises
    ------
    ConfigError
        It cannot be read, a key is unknown or out of range, or a name is used that it does not
        define.
    """
    try:
        with path.open("rb") as file:
            read = _File.model_validate(tomllib.load(file))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: name a file that is there") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {where}: {first['msg']}; see docs/own_labels.md") from error
    _check_names(path, read)
    given = {name: value for name, value in overrides.items() if value is not None}
    groups = _classes(path.parent / read.groups) if read.groups else {}
    return Task(
        data=read.data,
        labels=tuple(read.labels),
        classes={
            name: tuple(read.labels.index(label) for label in switched)
            for name, switched in read.classes.items()
        },
        leave_out=frozenset(read.leave_out),
        groups=groups,
        manifest=path.parent / read.manifest if read.manifest else None,
        passes=read.passes,
        most_seconds=read.most_seconds,
        transposition=round(read.semitones * BINS_PER_OCTAVE / SEMITONES_PER_OCTAVE),
        balance=read.balance,
        ways=_ways(read),
        settings=parse_settings(path, {"clean_at": 1.0, **read.train, **given}),
        judged=tuple(dict.fromkeys(window.of[0] for window in read.window)) or tuple(read.classes),
        key=key_of(read.model_dump(exclude={"data", "manifest", "groups", "train"}), groups),
    )


def _classes(path: Path) -> dict[str, str]:
    """Read a table of groups and their classes, with a tab between."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    bad = next((row for row in rows if len(row) != 2), None)
    if bad:
        raise ConfigError(f"{path}: {bad!r} must be a group, a tab and a class")
    return dict(rows)


def _check_names(path: Path, read: _File) -> None:
    """Refuse labels and classes that the file does not define."""
    unknown = {label for switched in read.classes.values() for label in switched}
    unknown -= set(read.labels)
    if unknown:
        raise ConfigError(
            f"{path}: the classes switch on {', '.join(sorted(unknown))}, which labels does not "
            f"name: use {', '.join(read.labels)}"
        )
    silent = set(read.labels) - {label for used in read.classes.values() for label in used}
    if silent:
        raise ConfigError(
            f"{path}: no class switches on {', '.join(sorted(silent))}: name one in [classes]"
        )
    missing = {name for window in read.window for name in window.of} - set(read.classes)
    if missing:
        raise ConfigError(
            f"{path}: windows are made of {', '.join(sorted(missing))}, which is none of the "
            f"classes: use {', '.join(read.classes)}"
        )
    for window in read.window:
        if len(window.of) != 1 + (window.under_db is not None or window.spliced):
            raise ConfigError(
                f"{path}: a window of {window.of} has one class alone, or two with under_db or "
                "spliced"
            )


def parse_settings(path: Path, values: Mapping[str, Any]) -> Settings:
    """Check settings that come from a file or a command line.

    Parameters
    ----------
    path : Path
        Where they come from, for the error.
    values : mapping
        Those that differ from the defaults.

    Raises
    ------
    ConfigError
        One is unknown, of another type or out of range.
    """
    known = {field.name: field for field in fields(Settings)}
    for name, value in values.items():
        if name not in known:
            raise ConfigError(f"{path}: train.{name} is unknown: use one of {', '.join(known)}")
        kind: Any = type(known[name].default)
        if not isinstance(value, (int, float) if kind is float else kind) or value is True:
            raise ConfigError(f"{path}: train.{name}={value!r} must be of type {kind.__name__}")
        if kind is int and value < int(name != "seed"):
            raise ConfigError(f"{path}: train.{name}={value} must be positive")
    settings = Settings(**values)
    if settings.network not in presets.PRESETS:
        raise ConfigError(
            f"{path}: train.network={settings.network!r} is unknown: use one of "
            f"{', '.join(presets.PRESETS)}"
        )
    return settings


def _ways(read: _File) -> tuple[tuple[float, Draw], ...]:
    """Return the ways that the file lists; without any, all classes alone and spliced."""
    listed = [(window.share, _draw(window)) for window in read.window]
    if listed:
        total = sum(share for share, _ in listed)
        return tuple((share / total, draw) for share, draw in listed)
    names = sorted(read.classes)
    pairs = list(permutations(names, 2))
    ways = [(0.7 / len(names), alone(name)) for name in names]
    ways += [(0.3 / len(pairs), partial(_spliced, first, second)) for first, second in pairs]
    return tuple(ways)


def _draw(window: _Window) -> Draw:
    if window.under_db is not None:
        return over(window.of[0], window.of[1], *window.under_db)
    return partial(_spliced, window.of[0], window.of[1]) if window.spliced else alone(window.of[0])


def _spliced(first: str, second: str, random: np.random.Generator) -> tuple[Layer, ...]:
    """One class and then another, cut hard or cross-faded, at any place in the window."""
    place = random.uniform(0.0, 1.0)
    fade = float(random.choice([0.0, 0.0, 0.1, 0.3]))
    step = random.uniform(-10.0, 10.0)
    return (
        Layer(first, 0.0, -1.0, place + fade / 2, fade),
        Layer(second, step, place - fade / 2, 2.0, fade),
    )
