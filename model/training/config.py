"""The task of a network, from a TOML file: outputs, classes, windows and settings.

docs/own_labels.md describes the file; configs/voice.toml is an example.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from itertools import permutations
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from airsift.defaults import default_file
from airsift.errors import ConfigError
from airsift.toml_text import read_toml
from model.corpus import groups
from model.corpus.cache import key_of
from model.networks import presets
from model.spec import BINS_PER_OCTAVE
from model.training.loop import Settings
from model.training.mixer import SOURCE_BALANCE, Mixer
from model.training.mixture import MixtureSource, Solo, mix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from model.corpus.feature_store import FeatureStore
    from model.corpus.groups import Clip
    from model.corpus.sources import Split
    from model.training.mixture import Recipe

SHIPPED = ("voice", "singer")  # tasks that come with airsift, in the folder of its defaults
SEMITONES_PER_OCTAVE = 12
# Old and new names of keys, so that a file with an old name gets a precise error.
RENAMED = {
    "passes": "repeats", "most_seconds": "max_seconds_per_group", "balance": "source_balance",
    "train.clean_at": "train.filter_labels_at",
}  # fmt: skip
Share = Annotated[float, Field(gt=0, le=1)]


class _Window(BaseModel):
    """A recipe of windows: one class, one mixed with another, or one followed by another."""

    model_config = ConfigDict(extra="forbid")

    share: Share
    of: Annotated[list[str], Field(min_length=1, max_length=2)]
    under_db: tuple[float, float] | None = None
    spliced: bool = False


class _File(BaseModel):
    """The schema of the file."""

    model_config = ConfigDict(extra="forbid")

    data: str = ""
    labels: Annotated[list[str], Field(min_length=1)]
    classes: dict[str, list[str]]
    leave_out: list[str] = []
    groups: str = ""
    clips: str = ""
    manifest: str = ""
    repeats: Annotated[int, Field(ge=1, le=100)] = 1
    max_seconds_per_group: Annotated[int, Field(ge=1)] = 600
    source_balance: Annotated[float, Field(ge=0, le=1)] = SOURCE_BALANCE
    semitones: Annotated[float, Field(ge=0, le=12)] = 4.0
    window: list[_Window] = []
    train: dict[str, int | float | str] = {}


@dataclass(frozen=True, slots=True)
class Task:
    """A training task.

    Parameters
    ----------
    data : str
        Statement about the audio; may be empty.
    labels : tuple of str
        Names of the outputs.
    classes : mapping of str to tuple of int
        Indices of the positive outputs of each class.
    leave_out : frozenset of str
        Classes of the corpus that the task ignores.
    groups : mapping of str to str
        Groups with another class than in the corpus.
    splits : mapping of str to Split
        Groups with a split of their own.
    clips : mapping of str to sequence of Clip
        Files with several groups, by path.
    manifest : Path, optional
        Files to decode into the corpus.
    repeats : int > 0
        How often the recordings are concatenated and augmented.
    max_seconds_per_group : int > 0
        Maximum duration of one group in one repeat.
    transposition : int >= 0
        Maximum shift of a source, in bins.
    source_balance : float in [0, 1]
        0 draws the packages or groups of a class in proportion to their duration, 1 equally.
    recipes : tuple of (float, Recipe)
        Share and recipe of the windows.
    settings : Settings
        Hyperparameters.
    foreground : tuple of str
        Classes that are the first of a window; the others are background only.
    key : str
        Hash of the file without `data` and settings.
    """

    data: str
    labels: tuple[str, ...]
    classes: Mapping[str, tuple[int, ...]]
    leave_out: frozenset[str]
    groups: Mapping[str, str]
    splits: Mapping[str, Split]
    clips: Mapping[str, Sequence[Clip]]
    manifest: Path | None
    repeats: int
    max_seconds_per_group: int
    transposition: int
    source_balance: float
    recipes: tuple[tuple[float, Recipe], ...]
    settings: Settings
    foreground: tuple[str, ...]
    key: str

    def mixer(self, store: FeatureStore, dropped: frozenset[int]) -> Mixer:
        """Return the mixer of this task's windows."""
        return Mixer(
            store,
            dropped=dropped,
            recipes=self.recipes,
            kinds=tuple(self.classes),
            transposition=self.transposition,
            source_balance=self.source_balance,
        )


def find_task(name: Path) -> Path:
    """Return the file of a task: a path, or the name of one that comes with airsift."""
    if str(name) in SHIPPED and not name.exists():
        return default_file().with_name(f"{name}.toml")
    return name


def load_task(path: Path, **overrides: object) -> Task:
    """Read a task file; paths in it are relative to its folder.

    Parameters
    ----------
    path : Path
        The TOML file.
    overrides
        Settings that replace those of the file, unless None.

    Raises
    ------
    ConfigError
        The file cannot be read, a key is unknown, renamed or out of range, or a name is
        undefined.
    """
    try:
        table = read_toml(path)
        _refuse_renamed(path, table)
        read = _File.model_validate(table)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: name a file that is there") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {where}: {first['msg']}; see docs/own_labels.md") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    _check_names(path, read)
    given = {name: value for name, value in overrides.items() if value is not None}
    listed = groups.read_groups(path.parent / read.groups) if read.groups else groups.NONE
    clips = groups.read_clips(path.parent / read.clips) if read.clips else {}
    return Task(
        data=read.data,
        labels=tuple(read.labels),
        classes={
            name: tuple(read.labels.index(label) for label in switched)
            for name, switched in read.classes.items()
        },
        leave_out=frozenset(read.leave_out),
        groups=listed.kinds,
        splits=listed.splits,
        clips=clips,
        manifest=path.parent / read.manifest if read.manifest else None,
        repeats=read.repeats,
        max_seconds_per_group=read.max_seconds_per_group,
        transposition=round(read.semitones * BINS_PER_OCTAVE / SEMITONES_PER_OCTAVE),
        source_balance=read.source_balance,
        recipes=_ways(read),
        settings=parse_settings(path, {**read.train, **given}),
        foreground=tuple(dict.fromkeys(window.of[0] for window in read.window))
        or tuple(read.classes),
        key=key_of(
            read.model_dump(exclude={"data", "manifest", "groups", "clips", "train"}),
            dict(listed.kinds),
            dict(listed.splits),
            clips,
        ),
    )


def _refuse_renamed(path: Path, table: Mapping[str, Any]) -> None:
    train = table.get("train")
    names = [*table, *(f"train.{name}" for name in (train if isinstance(train, dict) else ()))]
    for name in names:
        if name in RENAMED:
            raise ConfigError(f"{path}: {name} is now called {RENAMED[name]}: rename it")


def _check_names(path: Path, read: _File) -> None:
    """Refuse undefined labels and classes."""
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
    """Check settings of a file or a command line.

    Parameters
    ----------
    path : Path
        Their origin, for the error.
    values : mapping
        Settings that differ from the defaults.

    Raises
    ------
    ConfigError
        A setting is unknown, of the wrong type or out of range.
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


def _ways(read: _File) -> tuple[tuple[float, Recipe], ...]:
    """Return the ways that the file lists; without any, all classes alone and spliced."""
    listed = [(window.share, _draw(window)) for window in read.window]
    if listed:
        total = sum(share for share, _ in listed)
        return tuple((share / total, draw) for share, draw in listed)
    names = sorted(read.classes)
    pairs = list(permutations(names, 2))
    recipes: list[tuple[float, Recipe]] = [(0.7 / len(names), Solo(name)) for name in names]
    recipes += [(0.3 / len(pairs), partial(_spliced, first, second)) for first, second in pairs]
    return tuple(recipes)


def _draw(window: _Window) -> Recipe:
    if window.under_db is not None:
        return mix(window.of[0], window.of[1], *window.under_db)
    return partial(_spliced, window.of[0], window.of[1]) if window.spliced else Solo(window.of[0])


def _spliced(first: str, second: str, random: np.random.Generator) -> tuple[MixtureSource, ...]:
    """Mix one class followed by another, cut or cross-faded, at a random position."""
    place = random.uniform(0.0, 1.0)
    fade = float(random.choice([0.0, 0.0, 0.1, 0.3]))
    step = random.uniform(-10.0, 10.0)
    return (
        MixtureSource(first, 0.0, -1.0, place + fade / 2, fade),
        MixtureSource(second, step, place - fade / 2, 2.0, fade),
    )
