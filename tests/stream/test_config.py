from __future__ import annotations

import pytest

from airsift.errors import ConfigError
from stream import config


def test_the_default_file_holds_every_key_and_no_other():
    loaded = config.load(environ={})
    values = dict(config.flatten(loaded.config.model_dump()))
    written = set(loaded.origins)
    assert written == set(values)


def test_later_layers_win_and_are_named(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[smoothing]\nenter = 0.7\nleave = 0.3\n[file]\nchunk_s = 5\n")
    loaded = config.load(
        path,
        ["smoothing.enter=0.8", "file.chunk_s=6", "model.path=a b.pt"],
        {"AIRSIFT_FILE__CHUNK_S": "7", "OTHER": "x"},
    )
    assert loaded.config.smoothing.leave == 0.3
    assert loaded.config.smoothing.enter == 0.8
    assert loaded.config.file.chunk_s == 7
    assert loaded.config.model.path == "a b.pt"
    assert loaded.origins["smoothing.leave"] == str(path)
    assert loaded.origins["smoothing.enter"] == "--set"
    assert loaded.origins["file.chunk_s"] == "AIRSIFT_FILE__CHUNK_S"
    assert loaded.origins["model.threads"] == "default.toml"


@pytest.mark.parametrize(
    ("sets", "environ", "message"),
    [
        (["smoothing.entre=0.7"], {}, r"smoothing\.entre .*did you mean smoothing\.enter"),
        (["nonsense"], {}, r"--set nonsense: must be section\.key=value"),
        (["smoothing.enter=2"], {}, r"smoothing\.enter=2 \(from --set\)"),
        (["smoothing.enter=abc"], {}, r"smoothing\.enter='abc' \(from --set\)"),
        (["smoothing=3"], {}, r"smoothing \(from --set\): no such key"),
        ([], {"AIRSIFT_KAFKA__GRUOP": "x"}, r"kafka\.gruop \(from AIRSIFT_KAFKA__GRUOP\)"),
        (["identify.first_s=20"], {}, r"first_s=20"),
        (["identify.evidence_s=5"], {}, r"evidence_s=5.0 must be at least query_s=10.0"),
    ],
)
def test_what_is_wrong_is_named(sets, environ, message):
    with pytest.raises(ConfigError, match=message):
        config.load(None, sets, environ)


@pytest.mark.parametrize("content", [b"not = [toml", b"\xff\xfe"])
def test_a_file_that_is_not_toml(tmp_path, content):
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"x\.toml: not TOML"):
        config.load(path, environ={})


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml: No such file"):
        config.load(tmp_path / "none.toml", environ={})


def test_a_configuration_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        config.load(environ={}).config.smoothing.enter = 0.9


def test_text_that_looks_like_a_number_is_still_text():
    loaded = config.load(None, ["microphone.device=2"], {"AIRSIFT_KAFKA__GROUP": "7"})
    assert loaded.config.microphone.device == "2"
    assert loaded.config.kafka.group == "7"


def test_errors_show_neither_secrets_nor_whole_sections(tmp_path):
    path = tmp_path / "secret.toml"
    path.write_text('[kafka.security]\nprotocol = "SASL_SSL"\npassword = "geheim"\n')
    with pytest.raises(ConfigError, match=r"^kafka\.security \(.*needs a username") as caught:
        config.load(path, environ={})
    assert "geheim" not in str(caught.value)
    path.write_text("[kafka.security]\npassword = 4711\n")
    with pytest.raises(ConfigError, match=r"^kafka\.security\.password \(from") as caught:
        config.load(path, environ={})
    assert "4711" not in str(caught.value)
