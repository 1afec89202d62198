from __future__ import annotations

import pytest

from fingerprint.catalogue import Catalogue
from fingerprint.track import Track
from tests.fingerprint.music import compose


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """A catalogue of twelve made-up tracks, for reading only; track n is seed n."""
    catalogue = Catalogue.create(tmp_path_factory.mktemp("shelf"))
    for seed in range(12):
        catalogue.add(compose(seed, 40.0), Track(f"track-{seed}", title=f"Song {seed}"))
    return catalogue
