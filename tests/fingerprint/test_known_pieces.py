"""A piece that was searched before has the same candidates, and costs its station the same."""

from __future__ import annotations

from dataclasses import astuple

import pytest

from fingerprint.analysis import hashes
from fingerprint.analysis.landmarks import Landmarks
from fingerprint.analysis.peaks import extract
from fingerprint.catalogue import Catalogue
from fingerprint.matching import known_pieces
from fingerprint.matching.candidates import find_candidates
from fingerprint.matching.known_pieces import KnownPieces
from fingerprint.matching.matcher import LandmarkMatcher
from fingerprint.matching.warp import NO_WARP, resampled
from fingerprint.matching.work import Work
from fingerprint.track import Track
from tests.fingerprint.music import compose

PAIRS = (6, 6)


@pytest.fixture
def shelf(tmp_path):
    catalogue = Catalogue.create(tmp_path / "shelf")
    for seed in range(2):
        catalogue.add(compose(seed, 12.0), Track(f"{seed}"))
    yield catalogue
    catalogue.close()


@pytest.fixture
def searches(monkeypatch):
    """The pieces that were really looked up."""
    made = []

    def counted(*args):
        made.append(args[1])
        return find_candidates(*args)

    monkeypatch.setattr(known_pieces, "find_candidates", counted)
    return made


def ask(known, shelf, piece, *, warp=NO_WARP, most=4):
    """Return candidates and work, checked against those of a search of its own."""
    work, own = Work(), Work()
    found = known.candidates(shelf.segments, piece, PAIRS, warp, most, 10**6, work)
    query = hashes.query_pairs(piece, *PAIRS)
    expected = find_candidates(shelf.segments, query, [warp], most, 10**6, own)
    assert [astuple(each)[1:] for each in found] == [astuple(each)[1:] for each in expected]
    assert [each.segment for each in found] == [each.segment for each in expected]
    assert work == own
    return found


def test_a_piece_is_looked_up_once_wherever_it_lies(shelf, searches):
    known, piece = KnownPieces(), extract(compose(1, 12.0)[:100_000])
    first = ask(known, shelf, piece)
    assert first
    assert ask(known, shelf, piece) == ask(known, shelf, piece.shift(10**9)) == first
    assert len(searches) == 1


def test_what_differs_is_looked_up(shelf, searches):
    known, piece = KnownPieces(), extract(compose(1, 12.0)[:100_000])
    less = piece.between(0, 90_000)
    louder = Landmarks(piece.time, piece.bin, piece.rank * 0, piece.start, piece.end)
    for each in (piece, less, louder):
        ask(known, shelf, each)
    ask(known, shelf, piece, warp=resampled(1.02))
    ask(known, shelf, piece, most=2)
    assert len(searches) == 5


def test_a_changed_catalogue_is_looked_up(shelf, searches):
    known, piece = KnownPieces(), extract(compose(7, 12.0)[:100_000])
    ask(known, shelf, piece)
    shelf.add(compose(7, 12.0), Track("7"))
    (best, *_) = ask(known, shelf, piece)
    assert best.votes > 50
    shelf.merge()
    ask(known, shelf, piece)
    assert len(searches) == 3


def test_memory_is_bounded(shelf, searches, monkeypatch):
    monkeypatch.setattr(known_pieces, "_MAX_PIECES", 2)
    known, piece = KnownPieces(), extract(compose(1, 12.0)[:100_000])
    pieces = [piece.between(0, end) for end in (80_000, 90_000, 100_000)]
    for each in pieces:
        ask(known, shelf, each)
    ask(known, shelf, pieces[2])
    assert len(searches) == 3
    ask(known, shelf, pieces[0])  # the oldest was forgotten
    assert len(searches) == 4
    assert len(known._found) == 2


@pytest.mark.slow
def test_a_query_repeated_has_the_same_answer_and_costs_the_same(shelf):
    matcher, costs, answers = LandmarkMatcher(shelf), [], []
    for query in (compose(0, 12.0), compose(9, 12.0)) * 2:
        before = matcher.work.units
        answers.append(matcher.match_with_shares(extract(query)))
        costs.append(matcher.work.units - before)
    assert (answers[:2], costs[:2]) == (answers[2:], costs[2:])
    assert answers[0][0][0].track == "0"
    assert answers[1] == ([], [])
