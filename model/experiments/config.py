"""Experiments and networks, from the TOML files of configs/experiments.

``networks.toml`` has the networks by name; every other file is an experiment, called by its name or
its number. `load` reads those that are a table of rows; `model.experiments.kinds` reads any. An
experiment of one's own is any file of the same form, beside a ``networks.toml`` or not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from airsift.errors import ConfigError
from airsift.toml_text import read_toml
from model.corpus.cache import key_of
from model.experiments import baselines
from model.experiments.architecture import Convolution, Dense, Layer, Pool, cut
from model.experiments.features.catalogue import FEATURES
from model.experiments.penalties import Penalty

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

Scale = Literal["tiny", "small", "full"]
SCALES: tuple[Scale, ...] = get_args(Scale)
SplitKind = Literal["sources", "windows"]
NETWORKS = "networks.toml"
T = TypeVar("T", bound=BaseModel)

Positive = Annotated[int, Field(ge=1)]
Number = Annotated[float, Field(ge=0)]
Cells = tuple[int | float, int | float]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sizes(_Table):
    """The extent of an experiment at one scale.

    Attributes
    ----------
    train, validation, test : int
        Windows of both classes together.
    epochs : int
        Passes over the training windows.
    seeds : int
        Trainings of each row.
    """

    train: Annotated[int, Field(ge=2)]
    validation: Annotated[int, Field(ge=2)]
    test: Annotated[int, Field(ge=2)]
    epochs: Positive
    seeds: Positive


class WindowChoice(_Table):
    """Which windows an experiment is made of.

    Attributes
    ----------
    negative, positive : list of str
        Classes of the corpus, or of the manifest. Recall, precision and F are of the positive ones.
    voices : bool
        Whether the classes are those of the project's table of voices.
    split : str
        'sources': as the corpus is split, by whole sources; voices by voice. 'windows': windows
        that do not overlap, of any source, in random order, as the report did in experiment 1.
    floor_db : float
        Windows that are quieter (root mean square, below full scale) are not used.
    """

    negative: Annotated[list[str], Field(min_length=1)]
    positive: Annotated[list[str], Field(min_length=1)]
    voices: bool = False
    split: SplitKind = "sources"
    floor_db: Annotated[float, Field(ge=-100, le=0)] = -60.0


class Training(_Table):
    """Mini-batch gradient descent; `momentum` 0 is the plain one."""

    batch: Positive = 100
    rate: Annotated[float, Field(gt=0)] = 0.01
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9


class Reported(_Table):
    """The report's figures of a row, in percent."""

    recall: float | None = None
    precision: float | None = None
    f: float | None = None
    error: float | None = None


class _Penalty(_Table):
    kind: str
    strengths: dict[str, float]
    share: float = 0.5


class Statement(_Table):
    """What the report found or hoped, which an experiment is about.

    Attributes
    ----------
    text : str
        One sentence.
    expected : bool
        Whether it is an expectation of ours: the report did not try it.
    """

    text: str
    expected: bool = False


class Finding(Statement):
    """What the report found, and when it holds here.

    Attributes
    ----------
    better : list of two names
        The first row has the higher F.
    f_at_least, error_at_most : dict of str to float
        Row to percent.
    """

    better: list[tuple[str, str]] = []
    f_at_least: dict[str, float] = {}
    error_at_most: dict[str, float] = {}


class _Row(_Table):
    name: str
    feature: str
    network: str | None = None
    baseline: str | None = None
    convolutions: Annotated[int, Field(ge=0)] | None = None
    dense: Annotated[int, Field(ge=0)] | None = None
    split: SplitKind | None = None
    penalties: list[_Penalty] = []
    teacher: Annotated[float, Field(ge=0, le=1)] = 0.0
    reported: Reported = Reported()

    @model_validator(mode="after")
    def _one_model(self) -> _Row:
        if (self.network is None) == (self.baseline is None):
            raise ValueError("a row has a network or a baseline, not both")
        if self.teacher and self.network is None:
            raise ValueError("a baseline learns classes, and not from a teacher")
        return self


class _File(_Table):
    title: str
    question: str
    finding: Finding
    windows: WindowChoice
    training: Training = Training()
    tiny: Sizes
    small: Sizes
    full: Sizes
    rows: Annotated[list[_Row], Field(min_length=1)]


class _Convolution(_Table):
    convolution: int
    size: Cells
    stride: Cells = (1, 1)


class _Pool(_Table):
    pool: Cells


class _Dense(_Table):
    dense: int


class _Networks(_Table):
    networks: dict[str, list[_Convolution | _Pool | _Dense]]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of an experiment's table.

    Parameters
    ----------
    name : str
        As the table shows it.
    feature : str
        One of `model.experiments.features.catalogue.FEATURES`.
    layers : tuple of Layer, optional
        A network.
    baseline : str, optional
        One of `model.experiments.baselines.BASELINES`, instead of a network.
    split : SplitKind
        See `WindowChoice`.
    penalties : tuple of Penalty
        Added to the cost.
    teacher : float in [0, 1]
        Weight of a teacher's probabilities in what the network learns from; see
        `model.experiments.distillation`.
    reported : Reported
        The report's figures.
    """

    name: str
    feature: str
    layers: tuple[Layer, ...] | None
    baseline: str | None
    split: SplitKind
    penalties: tuple[Penalty, ...]
    teacher: float
    reported: Reported

    @property
    def key(self) -> str:
        """Hash of what its result depends on, without its windows and training."""
        layers = [[type(each).__name__, repr(each)] for each in self.layers or ()]
        penalties = [[each.kind, dict(each.strengths), each.share] for each in self.penalties]
        return key_of(self.feature, layers, self.baseline, self.split, penalties, self.teacher)


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment.

    Parameters
    ----------
    name : str
        The name of its file.
    title, question : str
        For its page.
    finding : Finding
        What the report found.
    windows : WindowChoice
        Its data.
    training : Training
        Its gradient descent.
    scales : mapping of Scale to Sizes
        Its extent.
    rows : tuple of Row
        Its table.
    """

    name: str
    title: str
    question: str
    finding: Finding
    windows: WindowChoice
    training: Training
    scales: Mapping[Scale, Sizes]
    rows: tuple[Row, ...]

    @property
    def has_teacher(self) -> bool:
        """Whether a row learns from a teacher."""
        return any(row.teacher for row in self.rows)

    def training_key(self, row: Row, scale: Scale) -> str:
        """Hash of what the trainings of a row depend on, without the recordings and the seed."""
        sizes = self.scales[scale].model_dump(exclude={"seeds"})
        return key_of(row.key, self.windows.model_dump(), sizes, self.training.model_dump())


def folder() -> Path:
    """Return the folder of the project's experiments."""
    packaged = Path(__file__).with_name("configs")
    if packaged.is_dir():
        return packaged
    return Path(__file__).parents[2] / "configs" / "experiments"


def names() -> list[str]:
    """Return the names of the project's experiments: by number, then those without one."""
    found = [path.stem for path in folder().glob("*.toml") if path.name != NETWORKS]
    return sorted(found, key=lambda name: (float(re.sub(r"\D.*", "", name) or "inf"), name))


def find(name: str) -> Path:
    """Return the file of an experiment.

    Parameters
    ----------
    name : str
        Its name, its number, or the path of a TOML file.

    Raises
    ------
    ConfigError
        There is none.
    """
    own = Path(name)
    if own.suffix == ".toml":
        return own
    found = [each for each in names() if name in (each, each.partition("-")[0])]
    if not found:
        raise ConfigError(
            f"experiment={name!r} is unknown: use all, report, the path of a TOML file, or one of "
            f"{', '.join(names())}"
        )
    return folder() / f"{found[0]}.toml"


def load(path: Path) -> Experiment:
    """Read an experiment that is a table of rows.

    Raises
    ------
    ConfigError
        A file cannot be read, or a key, a name or a value is wrong; the message says which.
    """
    read = parsed(path, _File)
    beside = path.with_name(NETWORKS)
    networks = load_networks(beside if beside.is_file() else folder() / NETWORKS)
    rows = tuple(_row(path, row, read.windows.split, networks) for row in read.rows)
    known = [row.name for row in rows]
    twice = next((name for name in known if known.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{path}: two rows are called {twice!r}: give each a name of its own")
    finding = read.finding
    pairs = [name for pair in finding.better for name in pair]
    for name in [*pairs, *finding.f_at_least, *finding.error_at_most]:
        if name not in known:
            raise ConfigError(
                f"{path}: finding names the row {name!r}, which is none of {', '.join(known)}"
            )
    scales: dict[Scale, Sizes] = {"tiny": read.tiny, "small": read.small, "full": read.full}
    return Experiment(
        path.stem, read.title, read.question, finding, read.windows, read.training, scales, rows
    )


def load_networks(path: Path) -> dict[str, tuple[Layer, ...]]:
    """Read networks by name.

    Raises
    ------
    ConfigError
        As for `load`.
    """
    read = parsed(path, _Networks)
    return {name: tuple(map(_layer, layers)) for name, layers in read.networks.items()}


def _layer(read: _Convolution | _Pool | _Dense) -> Layer:
    if isinstance(read, _Convolution):
        return Convolution(read.convolution, read.size, read.stride)
    return Pool(read.pool) if isinstance(read, _Pool) else Dense(read.dense)


def _row(
    path: Path, read: _Row, split: SplitKind, networks: Mapping[str, tuple[Layer, ...]]
) -> Row:
    if read.feature not in FEATURES:
        raise ConfigError(
            f"{path}: feature={read.feature!r} of the row {read.name!r} is unknown: use one of "
            f"{', '.join(FEATURES)}"
        )
    if read.baseline is not None and read.baseline not in baselines.BASELINES:
        raise ConfigError(
            f"{path}: baseline={read.baseline!r} of the row {read.name!r} is unknown: use one of "
            f"{', '.join(baselines.BASELINES)}"
        )
    if read.network is not None and read.network not in networks:
        raise ConfigError(
            f"{path}: network={read.network!r} of the row {read.name!r} is unknown: use one of "
            f"{', '.join(networks)}"
        )
    try:
        layers = (
            None
            if read.network is None
            else cut(networks[read.network], read.convolutions, read.dense)
        )
        penalties = tuple(Penalty(p.kind, p.strengths, p.share) for p in read.penalties)
    except ConfigError as error:
        raise ConfigError(f"{path}: the row {read.name!r}: {error}") from error
    return Row(
        read.name, read.feature, layers, read.baseline, read.split or split, penalties,
        read.teacher, read.reported,
    )  # fmt: skip


def parsed(path: Path, schema: type[T]) -> T:
    """Read a TOML file of a form.

    Raises
    ------
    ConfigError
        It cannot be read, or is of another form; the message says where.
    """
    values = raw(path)
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_first(error.errors()[0])}") from error


def raw(path: Path) -> dict[str, object]:
    """Read a TOML file of any form.

    Raises
    ------
    ConfigError
        It cannot be read.
    """
    try:
        return read_toml(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is no TOML file: {error}") from error


def _first(error: ErrorDetails) -> str:
    """Return a line about the first mistake of a file: the key, its value and the rule."""
    key = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"{key} is unknown: remove it, or correct its name"
    if error["type"] == "missing":
        return f"{key} is missing: add it"
    return f"{key}={error['input']!r}: {error['msg'].lower()}"
