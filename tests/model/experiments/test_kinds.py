from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import ConfigError
from model.experiments import config, kinds

NAMES = st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=20)


@given(name=NAMES, source=st.sampled_from(["6-l1", "invariances"]))
def test_what_a_file_says_makes_its_kind_and_not_its_name(name, source, tmp_path_factory) -> None:
    original = config.find(source)
    copy = tmp_path_factory.mktemp("named") / f"{name}.toml"
    copy.write_text(original.read_text())
    found, expected = kinds.read(copy, "tiny"), kinds.read(original, "tiny")
    assert type(found) is type(expected)
    assert found.name == name
    assert (found.title, found.finding) == (expected.title, expected.finding)
    assert found.trained.rows == expected.trained.rows


def test_every_file_of_the_project_is_read() -> None:
    read = {name: kinds.read(config.find(name), "small") for name in config.names()}
    assert all(study.name == name for name, study in read.items())
    changes = [name for name, each in read.items() if isinstance(each, kinds.UnderChanges)]
    assert changes == ["invariances"]
    # It needs nothing trained that an experiment before it does not train.
    trained = {
        study.trained.training_key(row, "small")
        for name, study in read.items()
        if name not in changes
        for row in study.trained.rows
    }
    for row in read["invariances"].trained.rows:
        assert read["invariances"].trained.training_key(row, "small") in trained


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'title = "t"\n',
            "has neither [[rows]] nor [changes]: an experiment has rows",
        ),
        ("rows = []\n[changes]\n", "has both [[rows]] and [changes]: an experiment"),
        ("rows = [", "is no TOML file"),
        ("rows = []\n", "title is missing: add it"),
    ],
)
def test_a_file_of_no_kind_is_one_line(text, message, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        kinds.read(path, "tiny")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
