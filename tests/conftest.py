"""Options of the whole suite."""

from __future__ import annotations

import pytest
from hypothesis import settings

# A test that is slow on a busy machine is not wrong; what hangs is ended by the tests themselves.
settings.register_profile("airsift", deadline=None)
settings.load_profile("airsift")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write tests/golden/ anew from what the code says now, instead of comparing",
    )
