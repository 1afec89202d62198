"""From a timeline to a programme: its samples, and the true labels."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, NotRequired, TypedDict

import numpy as np

from airsift.errors import ConfigError
from model.mixing import EDGE_S, RAMP_S, ducking_gain, fade_in
from stream.demo.clips import FOLDER, RATE, Part, decode, parts
from stream.stages.smooth import LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from stream.events import Label


@dataclass(frozen=True, slots=True)
class Item:
    """A stretch of a part on a timeline; times in samples at `RATE`, fades as in the file."""

    part: Part
    start: int
    end: int
    offset: int
    fade_in: int
    fade_out: int
    duck_db: float


@dataclass(frozen=True, slots=True)
class Stretch:
    """One label in [start, end), in milliseconds."""

    start: int
    end: int
    label: Label


@dataclass(frozen=True, slots=True)
class Play:
    """A track that plays in [start, end), in milliseconds; `known` if it is in the catalogue."""

    start: int
    end: int
    track: str
    known: bool


@dataclass(frozen=True, slots=True, eq=False)
class Again:
    """A part of a programme that comes twice more, each time `after_ms` after what was before."""

    part: Part
    samples: NDArray[np.float32]
    after_ms: int

    @property
    def once_ms(self) -> int:
        """Length of one time, in milliseconds."""
        return _ms(len(self.samples))

    @property
    def length_ms(self) -> int:
        """Length of both times, with the time before each, in milliseconds."""
        return 2 * (self.after_ms + self.once_ms)


@dataclass(frozen=True, slots=True, eq=False)
class Programme:
    """The programme of a station, with its truth.

    Parameters
    ----------
    name, title : str
        Key and title of the station.
    codec : str
        Codec of its messages.
    samples : np.ndarray [shape=(n,), float32]
        Mono at `RATE`, within full scale.
    stretches : tuple of Stretch
        In order, without holes, from 0 to the end of the programme.
    plays : tuple of Play
        In order of their starts; two overlap where they are crossfaded.
    again : Again, optional
        What is sent twice more behind it.
    """

    name: str
    title: str
    codec: str
    samples: NDArray[np.float32]
    stretches: tuple[Stretch, ...]
    plays: tuple[Play, ...]
    again: Again | None = None

    @property
    def length_ms(self) -> int:
        """Length in milliseconds."""
        return _ms(len(self.samples))

    @property
    def sent_ms(self) -> int:
        """From its start to the end of what is sent again, in milliseconds."""
        return self.length_ms + (self.again.length_ms if self.again else 0)


def programmes() -> list[str]:
    """Return the names of the programmes."""
    return list(_timelines())


def assemble(name: str) -> Programme:
    """Mix a programme from its parts; the same samples every time.

    Raises
    ------
    ConfigError
        There is no such programme, or its timeline does not fit its parts.
    """
    if name not in _timelines():
        raise ConfigError(f"{name}: no such programme; there are {', '.join(_timelines())}")
    table = _timelines()[name]
    length = _samples(table["length_s"])
    items = [_item(row, length) for row in table["items"]]
    speaking = [(item.start, item.end) for item in items if item.part.kind == "speech"]
    mix = np.zeros(length, np.float32)
    for item in items:
        gain = _fades(item)
        if item.duck_db:
            gain *= ducking_gain(item.start, item.end, speaking, _samples(RAMP_S), item.duck_db)
        piece = decode(item.part)[item.offset : item.offset + item.end - item.start]
        mix[item.start : item.end] += piece * gain
    plays = [
        Play(_ms(item.start), _ms(item.end), item.part.name, item.part.catalogued)
        for item in items
        if item.part.kind == "music"
    ]
    samples = np.clip(mix, -1.0, 1.0)
    return Programme(
        name,
        table["title"],
        table["codec"],
        samples,
        truth(items, length),
        tuple(plays),
        _again(table["again"]) if "again" in table else None,
    )


def truth(items: Sequence[Item], length: int) -> tuple[Stretch, ...]:
    """Return the labels over [0, length), from the items that sound."""
    edges = sorted({0, length, *(i.start for i in items), *(i.end for i in items)})
    out: list[Stretch] = []
    for start, end in pairwise(edges):
        kinds = {item.part.kind for item in items if item.start <= start < item.end}
        label = LABELS["speech" in kinds, "music" in kinds]
        if out and out[-1].label == label:
            out[-1] = Stretch(out[-1].start, _ms(end), label)
        else:
            out.append(Stretch(_ms(start), _ms(end), label))
    return tuple(out)


class _Row(TypedDict):
    """One item of `programmes.toml`, which says what its fields mean."""

    part: str
    at_s: float
    length_s: float
    from_s: NotRequired[float]
    fade_in_s: NotRequired[float]
    fade_out_s: NotRequired[float]
    duck_db: NotRequired[float]


class _AgainRow(TypedDict):
    part: str
    from_s: float
    length_s: float
    after_s: float


class _Timeline(TypedDict):
    title: str
    codec: str
    length_s: float
    items: list[_Row]
    again: NotRequired[_AgainRow]


@cache
def _timelines() -> dict[str, _Timeline]:
    timelines: dict[str, _Timeline] = tomllib.loads(
        (FOLDER / "programmes.toml").read_text(encoding="utf-8")
    )
    return timelines


def _item(row: _Row, length: int) -> Item:
    part = parts()[row["part"]]
    start, span = _samples(row["at_s"]), _samples(row["length_s"])
    offset = _samples(row.get("from_s", 0.0))
    if offset + span > _samples(part.length_s) or start + span > length:
        raise ConfigError(
            f"{part.name} at {row['at_s']} s: ends after its part ({part.length_s} s) or the "
            f"programme ({length / RATE} s) does; make it shorter"
        )
    edge = _samples(EDGE_S)
    return Item(
        part,
        start,
        start + span,
        offset,
        max(edge, _samples(row.get("fade_in_s", 0.0))),
        max(edge, _samples(row.get("fade_out_s", 0.0))),
        row.get("duck_db", 0.0),
    )


def _again(row: _AgainRow) -> Again:
    part = parts()[row["part"]]
    start = _samples(row["from_s"])
    samples = decode(part)[start : start + _samples(row["length_s"])]
    return Again(part, samples, round(row["after_s"] * 1000))


def _fades(item: Item) -> NDArray[np.float32]:
    """Return the gain of each sample: sine flanks, so that a crossfade keeps its power."""
    gain = np.ones(item.end - item.start, np.float32)
    gain[: item.fade_in] *= fade_in(item.fade_in)
    gain[-item.fade_out :] *= fade_in(item.fade_out)[::-1]
    return gain


def _samples(seconds: float) -> int:
    return round(seconds * RATE)


def _ms(samples: int) -> int:
    return round(samples * 1000 / RATE)
