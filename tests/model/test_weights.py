from __future__ import annotations

import pytest

from airsift.errors import SpecMismatch
from model.weights import DEFAULT_WEIGHTS, VOICE_WEIGHTS, check_trusted, sha256_of

KEY = "model.sha256"


@pytest.mark.parametrize("path", [DEFAULT_WEIGHTS, VOICE_WEIGHTS])
def test_what_is_shipped_is_trusted(path, tmp_path):
    check_trusted(path, "", KEY)
    copy = tmp_path / "copy.pt"
    copy.write_bytes(path.read_bytes())
    check_trusted(copy, "", KEY)


def test_another_file_needs_its_hash(tmp_path):
    path = tmp_path / "mine.pt"
    path.write_bytes(b"a program")
    with pytest.raises(SpecMismatch, match=f"if you trust it, set {KEY}={sha256_of(path)}"):
        check_trusted(path, "", KEY)
    check_trusted(path, sha256_of(path).upper(), KEY)
    with pytest.raises(SpecMismatch, match=f"its SHA-256 is not {KEY}=00ff; "):
        check_trusted(path, "00ff", KEY)


def test_with_a_hash_even_what_is_shipped_must_have_it():
    with pytest.raises(SpecMismatch, match="its SHA-256 is not"):
        check_trusted(DEFAULT_WEIGHTS, "0" * 64, KEY)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SpecMismatch, match="name a model file that is there"):
        check_trusted(tmp_path / "none.pt", "", KEY)
