"""What a station's queries may cost: an amount of work for each second of its audio, and a burst.

Work is counted by the matcher (`fingerprint.matching.work`), not measured, so the same audio has
the same answers on every machine and after a restart. Each kind of query draws from an account of
its own. What comes in with the audio fills the first account, and then the next::

    audio ──> short ──full──> long ──full──> warp ──full──> lost

A query may begin while its account and those before it are not empty, and may overdraw its own; the
debt is paid first. So no query goes without for the sake of a later kind: the search for changed
speed and pitch is left out first, then the long queries, and the short ones last. And the work of a
station in any stretch of audio is at most `per_s` times its seconds, a `burst` for each account,
and one query of each kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, Strict

from stream.ranges import Flag, Sample

Kind: TypeAlias = Literal["short", "long", "warp"]
KINDS: tuple[Kind, ...] = ("short", "long", "warp")  # the last one goes without first

# One query reads at most some millions of postings.
Balance = Annotated[int, Strict(), Field(ge=-(2**50), le=2**50)]


@dataclass(frozen=True, slots=True)
class WorkBudget:
    """The most that a station's queries may cost.

    Parameters
    ----------
    per_s : int > 0
        Units of work for each second of audio.
    burst : int > 0
        Units that an account holds when it is full.
    rate : int > 0
        Samples per second.
    """

    per_s: int
    burst: int
    rate: int


@dataclass(slots=True)
class Accounts:
    """What a station may still spend, in units of work. A break in the audio changes nothing.

    Parameters
    ----------
    at : int >= 0
        The sample up to which audio has filled the accounts.
    short, long, warp : int
        What is left in each; negative after a query that cost more.
    logged : bool
        Whether the log has a line about this station.
    """

    at: Sample
    short: Balance
    long: Balance
    warp: Balance
    logged: Flag = False

    @classmethod
    def full(cls, budget: WorkBudget, at: int) -> Accounts:
        """Return the accounts of a station that begins at a sample."""
        return cls(at, budget.burst, budget.burst, budget.burst)

    def fill(self, budget: WorkBudget, to: int) -> None:
        """Add what the audio up to a sample is worth.

        Parameters
        ----------
        budget : WorkBudget
            Of this station; may be another one than before.
        to : int
            Nothing happens if it is not behind all samples before.
        """
        if to <= self.at:
            return
        # The difference of two sums, so that many short stretches are worth what a long one is.
        income = to * budget.per_s // budget.rate - self.at * budget.per_s // budget.rate
        self.at = to
        for kind in KINDS:
            left = min(self.left(kind), budget.burst)
            used = min(income, budget.burst - left)
            setattr(self, kind, left + used)
            income -= used

    def left(self, kind: Kind) -> int:
        """Return what is left for a kind of query."""
        left: int = getattr(self, kind)
        return left

    def allow(self, kind: Kind) -> bool:
        """Return whether a query of a kind may begin."""
        return all(self.left(each) > 0 for each in KINDS[: KINDS.index(kind) + 1])

    def spend(self, kind: Kind, units: int) -> None:
        """Take from an account what a query has cost."""
        setattr(self, kind, self.left(kind) - units)
