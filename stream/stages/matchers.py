"""Which matchers a station's music is given to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from fingerprint.matching.base import Matcher


@dataclass(frozen=True, slots=True)
class Matchers:
    """The matchers of one catalogue.

    Parameters
    ----------
    plain : Matcher
        Knows the tracks.
    warping : Matcher, optional
        Knows the same tracks also where their speed or pitch was changed.
    """

    plain: Matcher
    warping: Matcher | None = None


# Given a station; None where nothing is named.
MatchersOf: TypeAlias = Callable[[str], Matchers | None]


def for_all(plain: Matcher, warping: Matcher | None = None) -> MatchersOf:
    """Return what chooses the same matchers for every station."""
    matchers = Matchers(plain, warping)
    return lambda station: matchers
