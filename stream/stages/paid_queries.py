"""Queries of a station that it pays for, as far as its budget reaches (`work_budget`)."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from fingerprint.matching.base import CountingMatcher, SharesMatcher
from fingerprint.matching.work import Work
from stream.stages.work_budget import Accounts

if TYPE_CHECKING:
    from fingerprint.analysis.landmarks import Landmarks
    from fingerprint.matching.base import Matcher
    from fingerprint.matching.matcher import TrackMatch
    from stream.session import Session
    from stream.stages.work_budget import Kind, WorkBudget

log = logging.getLogger(__name__)


class PaidQueries:
    """Queries a matcher for stations that can pay for it.

    Parameters
    ----------
    budget : WorkBudget, optional
        Of each station; without one, nothing is left out.

    Attributes
    ----------
    skipped : Counter
        Queries of each kind that were left out, of all stations.
    """

    def __init__(self, budget: WorkBudget | None = None) -> None:
        self.budget = budget
        self.skipped: Counter[str] = Counter()

    def fill(self, session: Session, to: int) -> None:
        """Credit a station with its audio up to a sample."""
        if self.budget is None:
            session.work = None
        elif session.work is None:
            session.work = Accounts.full(self.budget, to)
        else:
            session.work.fill(self.budget, to)

    def may(self, session: Session, kind: Kind) -> bool:
        """Return whether a station can pay for a query; if not, the query counts as skipped."""
        accounts = session.work
        if accounts is None or accounts.allow(kind):
            return True
        self.skipped[kind] += 1
        if not accounts.logged:
            accounts.logged = True
            log.warning(
                "its queries cost more than identify.max_work, and some are left out from now on; "
                "airsift_queries_skipped_total counts them",
                extra={"station": session.station},
            )
        return False

    def match(
        self,
        session: Session,
        kind: Kind,
        matcher: Matcher,
        part: Landmarks,
        shares: list[TrackMatch] | None = None,
    ) -> list[TrackMatch]:
        """Return what a matcher finds, and let the station pay for it.

        Parameters
        ----------
        session : Session
            The station.
        kind : Kind
            The account that pays.
        matcher : Matcher
            What is queried. If it does not count its work, it costs nothing.
        part : Landmarks
            The query.
        shares : list of TrackMatch, optional
            Where the shares are added; without it, none are looked for.
        """
        counted = matcher.work if isinstance(matcher, CountingMatcher) else Work()
        before = counted.units
        if shares is None or not isinstance(matcher, SharesMatcher):
            found = matcher.match(part)
        else:
            found, shared = matcher.match_with_shares(part)
            shares.extend(shared)
        if session.work is not None:
            session.work.spend(kind, counted.units - before)
        return found
