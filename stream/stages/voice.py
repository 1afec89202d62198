"""Female or male: what a second small network says of windows of speech alone.

It judges the third of a row of decisions that say speech and no music, whose window then holds
little else, and every twentieth after it, so that it costs little::

    decisions   s s m m s s s s s s s s s s s s s s s s s s s s s s s s m s s s s
    judged                  ^                                       ^         ^
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from airsift.errors import SpecMismatch
from model.spec import COLUMN_FIELDS
from stream.audio import Cut
from stream.events import Decision
from stream.stages.classify import DECIMALS
from stream.stages.features import Columns

if TYPE_CHECKING:
    from model.classifier import Classifier
    from model.spec import ModelSpec

# What both networks must agree on to judge the same columns.
SHARED = (*COLUMN_FIELDS, "window_columns", "step_columns")
# One window is never surer than this: of a probability that is rounded to 0 there are no odds.
SUREST = 1e-4
FIRST, EVERY = 3, 20


@dataclass(slots=True)
class _Session:
    row: int = 0  # decisions in a row that said speech and no music
    runs: list[Columns] = field(default_factory=list)


class Voice:
    """Add the odds of a female voice to the decisions about speech.

    Parameters
    ----------
    classifier : Classifier
        A network with the labels 'female' and 'male'.
    judged : ModelSpec
        Of the network whose decisions these are.

    Raises
    ------
    SpecMismatch
        It judges windows of other columns than the decisions are about.
    """

    def __init__(self, classifier: Classifier, judged: ModelSpec) -> None:
        spec = classifier.spec
        for name in SHARED:
            if getattr(spec, name) != getattr(judged, name):
                raise SpecMismatch(
                    f"the voice model has {name}={getattr(spec, name)}, the other model has "
                    f"{getattr(judged, name)}: name models of the same columns and windows"
                )
        self.classifier = classifier
        self.window = spec.window_columns
        self.step = spec.step_columns
        self.hop = spec.hop
        # A cut makes a station's second session while the first is still being judged.
        self._stations: dict[str, list[_Session]] = {}

    def push(
        self, columns: Sequence[Columns | Cut], decisions: Sequence[Decision | Cut]
    ) -> list[Decision | Cut]:
        """Return `decisions`, those that were judged with their odds.

        Parameters
        ----------
        columns : sequence of Columns or Cut
            What the decisions were made of, in the same push.
        decisions : sequence of Decision or Cut
            In order within a station.
        """
        for run in columns:
            sessions = self._stations.setdefault(run.station, [_Session()])
            if isinstance(run, Cut):
                sessions.append(_Session())
            else:
                sessions[-1].runs.append(run)
        out: list[Decision | Cut] = []
        for item in decisions:
            session = self._stations[item.station][0]
            if isinstance(item, Cut):
                self._end(item.station)
                out.append(item)
                continue
            first = item.start // self.hop
            session.row = session.row + 1 if item.p_speech > 0.5 > item.p_music else 0
            if session.row % EVERY == FIRST:
                odds = self._judge(_cut_out(session.runs, first, first + self.window))
                item = replace(item, voice_odds=odds)
            out.append(item)
            session.runs = _from(session.runs, first + self.step)
        return out

    def forget(self, station: str) -> None:
        """Drop what is known of a station, without ending it."""
        self._stations.pop(station, None)

    def snapshot(self, station: str) -> int | None:
        """Return what `restore` needs to judge the same windows as if nothing had happened."""
        sessions = self._stations.get(station)
        return sessions[0].row if sessions else None

    def restore(self, station: str, row: int) -> None:
        """Go on where `row` was the snapshot."""
        self._stations[station] = [_Session(row)]

    def _judge(self, window: torch.Tensor) -> float:
        """Return the log odds of a female voice, rounded as all that is decided by."""
        judged = self.classifier.decide(self.classifier.embed(window.unsqueeze(0)))[0].tolist()
        female, male = (max(round(p, DECIMALS), SUREST) for p in judged)
        return round(math.log(female / male), DECIMALS)

    def _end(self, station: str) -> None:
        sessions = self._stations[station]
        sessions.pop(0)
        if len(sessions) == 1 and not sessions[0].runs:
            del self._stations[station]


def _from(runs: list[Columns], first: int) -> list[Columns]:
    """Drop the runs that end before column `first`."""
    return [run for run in runs if run.start + len(run.values) > first]


def _cut_out(runs: Sequence[Columns], first: int, last: int) -> torch.Tensor:
    """Return the columns [first, last) [shape=(last - first, n_bins)]."""
    return torch.cat(
        [
            run.values[max(first - run.start, 0) : max(last - run.start, 0)]
            for run in runs
            if run.start < last and run.start + len(run.values) > first
        ]
    )
