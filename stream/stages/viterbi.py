"""The likeliest sequence of labels for the evidence so far, with bounded delay.

A Viterbi search over the four labels. Evidence is the log odds of speech and of music in cells of
equal length. A change of label costs a fixed amount, and every label lasts a minimum time. All
numbers are integers, so no order of additions and no processor can change a result.

The laws, for any evidence:

- A change that is final stays final, whatever comes later.
- A change is final at the latest when it is `lag` cells old. From then on every label before it is
  known.
- Two changes are at least `shortest` cells apart.
- Evidence that is shifted by whole cells gives changes that are shifted as much.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated

from pydantic import Field, Strict

# Both classes, as (speech, music), of each label.
STATES = ((False, False), (True, False), (False, True), (True, True))
N_STATES = len(STATES)
# Score of a hypothesis that contradicts what is final. Scores are relative to the best one of some
# cells before; what `Costs` and the evidence since can make of them is far above half of this.
DROPPED = -(10**9)
# Cells after which scores and sums are made relative again, so that they do not grow with time.
_REBASE_CELLS = 32

Score = Annotated[int, Strict(), Field(ge=-(2**60), le=2**60)]
Cell = Annotated[int, Strict(), Field(ge=0, le=2**60)]
StateIndex = Annotated[int, Strict(), Field(ge=0, lt=N_STATES)]
Change = tuple[Cell, StateIndex]  # first cell, and the label from there on
Path = tuple[Change, ...]  # changes that are not final
Scores = Annotated[list[Score], Field(min_length=N_STATES, max_length=N_STATES)]
Paths = Annotated[list[Path], Field(min_length=N_STATES, max_length=N_STATES)]
Sums = tuple[Score, Score]  # of the evidence of speech and of music


@dataclass(frozen=True, slots=True)
class Costs:
    """What a search charges and how long it waits.

    Parameters
    ----------
    change : int > 0
        Evidence that a change of label must gain.
    margin : int >= 0
        A change is final once every hypothesis without it is worse by this much.
    shortest : int > 0
        Minimum length of a label, in cells.
    lag : int > shortest
        Age at which a change of the best hypothesis is final, in cells.
    """

    change: int
    margin: int
    shortest: int
    lag: int


@dataclass(slots=True)
class Waiting:
    """The hypotheses before a cell; one that changes there is known `shortest` cells later."""

    scores: Scores
    paths: Paths
    sums: Sums  # before that cell: what came since is a difference


@dataclass(slots=True)
class Search:
    """A search.

    Parameters
    ----------
    start : int >= 0
        Cell in which the first label begins.
    cell : int >= start
        Next cell. The cells between have no evidence.
    """

    start: Cell
    cell: Cell
    first: Cell | None = None  # first cell with evidence
    label: StateIndex | None = None  # after the changes that are final
    # Of hypotheses whose label has lasted `shortest`: the best score of each label, and how.
    scores: Scores = field(default_factory=lambda: [0] * N_STATES)
    paths: Paths = field(default_factory=lambda: [()] * N_STATES)
    waiting: list[Waiting] = field(default_factory=list)  # one for each of the last cells
    sums: Sums = (0, 0)

    def copy(self) -> Search:
        """Return a search that can go on by itself."""
        return replace(
            self,
            scores=[*self.scores],
            paths=[*self.paths],
            waiting=[
                replace(each, scores=[*each.scores], paths=[*each.paths]) for each in self.waiting
            ],
        )

    def push(self, speech: int, music: int, costs: Costs) -> list[Change]:
        """Take the evidence of the next cell; return the changes that are final now."""
        if self.first is None:
            self.first = self.cell
        # Of the lists, `scores` is new with each cell, and `paths` is not.
        self.waiting.append(Waiting(self.scores, [*self.paths], self.sums))
        neither, only_speech, only_music, both = self.scores  # in the order of `STATES`
        self.scores = [neither, only_speech + speech, only_music + music, both + speech + music]
        self.sums = self.sums[0] + speech, self.sums[1] + music
        self.cell += 1
        if len(self.waiting) >= costs.shortest:
            changed = self.waiting.pop(0)
            at = self.cell - costs.shortest
            if at >= self.start + costs.shortest:
                self._enter(changed, at, costs)
        if self.label is None and self.cell - self.first >= costs.shortest:
            self.begin()
        if self.cell % _REBASE_CELLS == 0:
            self._rebase()
        if self.label is None or not any(self.paths):
            return []
        return self._commit(costs)

    def finish(self) -> list[Change]:
        """End the evidence; return the changes of the best hypothesis."""
        return list(self.paths[self._best()])

    def open_end(self) -> int:
        """Return the cell that ends the open label: the first change that may come, or `cell`."""
        path = self.paths[self._best()]
        return path[0][0] if path else self.cell

    def _enter(self, changed: Waiting, at: int, costs: Costs) -> None:
        """Let hypotheses that change at cell `at` replace worse ones with the same label."""
        scores, oldest = changed.scores, self.cell - costs.lag
        for label, path in enumerate(changed.paths):
            if path and path[0][0] < oldest:  # it was not final in time
                scores[label] = DROPPED
        best, own = max(scores), self.scores
        first, limit = scores.index(best), best - costs.change
        # The label before is the best one of the others: for all labels but one, the best of all.
        for label, gained in enumerate(self._gained(changed)):
            if limit + gained <= own[label]:
                continue
            before = first
            if label == first:
                others = (other for other in range(N_STATES) if other != label)
                before = max(others, key=scores.__getitem__)
            score = scores[before] - costs.change + gained
            if score > own[label] and scores[before] > DROPPED // 2:
                own[label] = score
                self.paths[label] = (*changed.paths[before], (at, label))

    def _gained(self, waiting: Waiting) -> tuple[int, int, int, int]:
        """Return the evidence of each label from a cell on."""
        (speech_then, music_then), (speech, music) = waiting.sums, self.sums
        speech, music = speech - speech_then, music - music_then
        return 0, speech, music, speech + music

    def _rebase(self) -> None:
        """Make scores relative to the best one, and sums of evidence to those until now."""
        best, (speech, music) = max(self.scores), self.sums
        every: list[Search | Waiting] = [self, *self.waiting]
        for each in every:
            each.scores = [
                score - best if score > DROPPED // 2 else DROPPED for score in each.scores
            ]
            each.sums = each.sums[0] - speech, each.sums[1] - music

    def _best(self) -> int:
        return self.scores.index(max(self.scores))

    def begin(self) -> int:
        """Decide the first label, if it is not yet: published segments keep theirs."""
        if self.label is not None:
            return self.label
        self.label = self._best()
        scores = [self.scores, *(each.scores for each in self.waiting)]
        for label in range(N_STATES):
            if label != self.label:
                for each in scores:
                    each[label] = DROPPED
        return self.label

    def _commit(self, costs: Costs) -> list[Change]:
        final: list[Change] = []
        while True:
            best = self._best()
            path = self.paths[best]
            oldest = self.cell - costs.lag
            if not path or path[0][0] > oldest:
                # What the best hypothesis has not changed by then cannot change any more.
                for label, other in enumerate(self.paths):
                    if other and other[0][0] <= oldest:
                        self.scores[label], self.paths[label] = DROPPED, ()
                if not path or not self._is_sure(best, costs):
                    return final
            change = path[0]
            self._keep(path[:1])
            self.label = change[1]
            final.append(change)

    def _keep(self, first: Path) -> None:
        """Make a change final: drop every hypothesis that does not begin with it."""
        for label, path in enumerate(self.paths):
            if path[:1] != first:
                self.scores[label] = DROPPED
            self.paths[label] = path[1:] if path[:1] == first else ()
        for each in self.waiting:
            for label, path in enumerate(each.paths):
                if path[:1] != first:
                    each.scores[label] = DROPPED
                each.paths[label] = path[1:] if path[:1] == first else ()

    def _is_sure(self, best: int, costs: Costs) -> bool:
        """Return whether every hypothesis without the best one's first change is far behind."""
        first = self.paths[best][:1]
        limit = self.scores[best] - costs.margin
        others = [
            score for score, path in zip(self.scores, self.paths, strict=True) if path[:1] != first
        ]
        if max(others, default=DROPPED) > limit:
            return False
        for each in self.waiting:  # changes that have not lasted long enough yet
            gains = self._gained(each)
            if max(each.scores) - costs.change + max(gains) <= limit:
                continue  # at most so much, with whatever label before
            for before, (score, path) in enumerate(zip(each.scores, each.paths, strict=True)):
                if path[:1] != first:
                    gained = max(gain for label, gain in enumerate(gains) if label != before)
                    if score - costs.change + gained > limit:
                        return False
        return True
