from __future__ import annotations

import pytest

from tests.stream.doubles import LoudnessClassifier


@pytest.fixture(scope="session")
def classifier() -> LoudnessClassifier:
    return LoudnessClassifier()
