from __future__ import annotations

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift import xdg
from airsift.errors import ConfigError

PLACES = {"XDG_CONFIG_HOME": xdg.user_config, "XDG_CACHE_HOME": xdg.cache_home}


@pytest.mark.parametrize("variable", PLACES)
@given(where=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9))
def test_an_absolute_folder_is_used_and_any_other_value_is_ignored(variable, where):
    usual = PLACES[variable]({"HOME": "/home/me"})
    found = PLACES[variable]({"HOME": "/home/me", variable: where})
    assert found.is_absolute()
    assert "airsift" in found.parts
    if not where.startswith("/"):
        assert found == usual
    else:
        assert found.is_relative_to(where)


def test_where_they_are_by_default():
    assert str(xdg.user_config({"HOME": "/h"})) == "/h/.config/airsift/airsift.toml"
    assert str(xdg.cache_home({"HOME": "/h"})) == "/h/.cache/airsift"


def test_without_a_home_the_error_names_the_variable(monkeypatch):
    def no_home():
        raise RuntimeError

    monkeypatch.setattr(xdg.Path, "home", no_home)
    with pytest.raises(ConfigError, match="XDG_CACHE_HOME to a folder with an absolute path"):
        xdg.cache_home({"HOME": "relative"})


def test_the_cache_is_its_owners_alone_and_no_part_of_a_backup(tmp_path):
    environ = {"XDG_CACHE_HOME": str(tmp_path / "new" / "cache")}
    folder = xdg.cache_folder("feeds", environ)
    assert folder == tmp_path / "new/cache/airsift/feeds"
    assert xdg.cache_folder("feeds", environ) == folder
    for made in (folder, folder.parent):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
    tag = folder.with_name("CACHEDIR.TAG").read_text()
    assert tag.startswith("Signature: 8a477f597d28d172789f06886806bc55\n")


def test_a_cache_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="set XDG_CACHE_HOME to a folder"):
        xdg.cache_folder("feeds", {"XDG_CACHE_HOME": str(tmp_path / "file")})
