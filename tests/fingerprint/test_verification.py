"""The z-scores add up over the pieces of a query as far as the pieces are independent."""

import numpy as np
import pytest

from fingerprint.matching.verification import Verification, combined_z

PLACES = 120


def shown(z, wrong):
    return Verification(0, z, wrong.astype(np.float32), 0, 600, 0.0)


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_pieces_that_have_nothing_in_common_add_up_as_noise_does(pieces):
    rng = np.random.default_rng(0)
    wrong = np.linalg.qr(rng.standard_normal((PLACES, pieces + 1)))[0].T * np.sqrt(PLACES)
    run = [shown(4.0, row - row.mean()) for row in wrong[:pieces]]
    assert combined_z(run) == pytest.approx(4.0 * np.sqrt(pieces), rel=0.1)


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_pieces_in_which_the_same_wrong_places_gain_add_nothing(pieces):
    wrong = np.random.default_rng(0).standard_normal(PLACES)
    wrong = (wrong - wrong.mean()) / wrong.std()
    assert combined_z([shown(4.0, wrong)] * pieces) == pytest.approx(4.0, rel=1e-5)


def test_pieces_that_contradict_each_other_are_not_worth_more_than_noise():
    wrong = np.random.default_rng(0).standard_normal(PLACES)
    assert combined_z([shown(4.0, wrong), shown(4.0, -wrong)]) == pytest.approx(4.0 * np.sqrt(2))
