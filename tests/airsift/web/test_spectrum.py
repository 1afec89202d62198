"""Columns for those who look, and for nobody else."""

from __future__ import annotations

import numpy as np

from airsift.web.spectrum import Spectra, as_bytes
from stream.stages.features import Columns


def columns(station: str, value: float = 6.0, n: int = 50) -> Columns:
    return Columns(station, 0, np.full((n, 144), value, np.float32))


def test_each_reader_gets_what_comes_of_its_station_while_it_looks() -> None:
    spectra = Spectra()
    assert not spectra.is_fed
    spectra.on_items([columns("a")])
    assert spectra.is_fed
    with spectra.watching("a") as first, spectra.watching("b") as other:
        spectra.on_items([columns("a", 1.0), columns("c")])
        with spectra.watching("a") as second:
            spectra.on_items([columns("a", 2.0)])
        spectra.on_items([columns("a", 3.0)])
        assert [part[1][0] for part in first] == [21, 42, 63]
        assert [part[1][0] for part in second] == [42]
        assert not other
    spectra.on_items([columns("a")])
    assert len(first) == 3


def test_a_reader_that_takes_nothing_costs_no_more_than_a_minute() -> None:
    spectra = Spectra()
    with spectra.watching("a") as waiting:
        for n in range(500):
            spectra.on_items([columns("a", n / 100)])
        assert len(waiting) <= 60
        assert waiting[-1][1][0] == int(4.99 * 255 / 12)


def test_bytes_are_the_louder_of_two_columns_and_stay_in_their_range() -> None:
    values = np.array([[0, 12], [6, 3], [99, -5], [1, 1], [7, 7]], np.float32)
    assert list(as_bytes(values)) == [127, 255, 255, 21]
    assert as_bytes(values[:1]) == b""
