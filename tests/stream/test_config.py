from __future__ import annotations

import operator
import re
from pathlib import Path

import pytest

from airsift import config
from airsift.config import Config
from airsift.connect import event_kinds
from airsift.defaults import Section
from airsift.errors import ConfigError
from stream.kafka.settings import KafkaSettings


def sections(section):
    """Return a section and those within it."""
    kinds = [field.annotation for field in section.model_fields.values()]
    inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)]
    return [section, *(each for kind in inner for each in sections(kind))]


def test_no_section_has_a_default_of_its_own():
    found = sections(Config)
    assert {"kafka.wire", "http", "watch"} <= {each.table for each in found[1:]}
    for section in found:
        assert all(field.is_required() for field in section.model_fields.values()), section
    defaults = config.load(environ={}).config
    for section in found[1:]:
        if not section.table:  # a rule of alarms, which has the values of several
            continue
        assert section.default() == operator.attrgetter(section.table)(defaults)


def test_a_change_of_a_default_is_checked():
    assert KafkaSettings.default(group="g", poll_s="0.2").poll_s == 0.2
    with pytest.raises(ValueError, match="gruop"):
        KafkaSettings.default(gruop="g")
    with pytest.raises(ValueError, match="poll_s"):
        KafkaSettings.default(poll_s=-1.0)


def test_later_layers_win_and_are_named(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[smoothing]\nchange_cost = 0.7\nspeech_level = 0.3\n[file]\nchunk_s = 5\n")
    loaded = config.load(
        path,
        ["smoothing.change_cost=0.8", "file.chunk_s=6", "model.path=a b.pt"],
        {"AIRSIFT_FILE__CHUNK_S": "7", "AIRSIFT_SMOOTHING__SPEECH_LEVEL": "0.4", "OTHER": "x"},
    )
    assert loaded.config.smoothing.speech_level == 0.4
    assert loaded.config.smoothing.change_cost == 0.8
    assert loaded.config.file.chunk_s == 6
    assert loaded.config.model.path == "a b.pt"
    assert loaded.origins["smoothing.speech_level"] == "AIRSIFT_SMOOTHING__SPEECH_LEVEL"
    assert loaded.origins["smoothing.change_cost"] == "--set"
    assert loaded.origins["file.chunk_s"] == "--set"
    assert loaded.origins["model.threads"] == "default.toml"


@pytest.mark.parametrize(
    ("sets", "environ", "message"),
    [
        (
            ["smoothing.change_cots=0.7"],
            {},
            r"change_cots .*did you mean smoothing\.change_cost",
        ),
        (["nonsense"], {}, r"--set nonsense: must be section\.key=value"),
        (["smoothing.change_cost=-2"], {}, r"smoothing\.change_cost=-2 \(from --set\)"),
        (["smoothing.change_cost=abc"], {}, r"smoothing\.change_cost='abc' \(from --set\)"),
        (["smoothing=3"], {}, r"smoothing \(from --set\): no such key"),
        ([], {"AIRSIFT_KAFKA__GRUOP": "x"}, r"kafka\.gruop \(from AIRSIFT_KAFKA__GRUOP\)"),
        (["identify.first_s=20"], {}, r"first_s=20"),
        (["identify.max_query_s=5"], {}, r"max_query_s=5.0 must be at least query_s=10.0"),
        (["identify.evidence_s=5"], {}, r"evidence_s .*it is now identify\.max_query_s"),
        (
            [],
            {"AIRSIFT_IDENTIFY__THOROUGH_EVERY": "2"},
            r"thorough_every .*it is now identify\.warp_every_n_queries",
        ),
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
        config.load(environ={}).config.smoothing.change_cost = 0.9


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


def test_paths_in_a_file_are_relative_to_its_folder_and_others_to_the_working_directory(
    tmp_path, monkeypatch
):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "mine.toml").write_text(
        '[identify]\ncatalogue = "shelf"\n[model]\npath = "/models/a.pt"\nvoice_path = ""\n'
        '[kafka]\ngroup = "a_file"\n'
        '[kafka.security]\nca_file = "../ca.pem"\nusername = "u"\npassword_file = "~/secret"\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/u")
    settings = ["kafka.security.key_file=key.pem", "kafka.security.certificate_file=~/c.pem"]
    environ = {"AIRSIFT_MODEL__VOICE_PATH": "voice.pt"}
    for path in (Path("etc/mine.toml"), tmp_path / "etc" / "mine.toml"):
        found = config.load(path, settings, environ).config
        assert Path(found.identify.catalogue).absolute() == tmp_path / "etc" / "shelf"
        assert Path(found.kafka.security.ca_file).resolve() == tmp_path / "ca.pem"
        assert found.model.path == "/models/a.pt"
        assert found.model.voice_path == "voice.pt"
        assert found.kafka.security.key_file == "key.pem"
        assert found.kafka.security.certificate_file == "/home/u/c.pem"
        assert found.kafka.security.password_file == "/home/u/secret"
        assert found.kafka.group == "a_file"


def test_a_key_that_is_a_table_by_mistake_is_named(tmp_path):
    path = tmp_path / "default.toml"  # as the one that is shipped is called
    path.write_text("[smoothing]\nchange_cots = 0.7\n[identify.catalogue]\nfolder = 'x'\n")
    with pytest.raises(ConfigError, match=r"change_cots .*did you mean smoothing\.change_cost"):
        config.load(path, environ={})


def test_every_key_that_names_a_file_is_known_as_one():
    values = dict(config.flatten(config.load(environ={}).config.model_dump()))
    paths = {key for key in values if config.is_path("x", key)}
    # An address may be a file.
    named = r"(path|file|catalogue|folder|^database\.url|^alarms\.stations)$"
    assert {key for key in values if re.search(named, key)} == paths


@pytest.mark.parametrize(
    ("sets", "unused"),
    [
        ([], {"label", "share", "repeat", "level", "alarm"}),
        (["model.labels_path='own.pt'"], {"share", "repeat", "level", "alarm"}),
        (["identify.catalogue='shelf'"], {"label", "repeat", "level", "alarm"}),
        (["repeats.folder='found'"], {"label", "share", "level", "alarm"}),
        (["levels.enabled=true"], {"label", "share", "repeat", "alarm"}),
        (["levels.enabled=true", "alarms.enabled=true"], {"label", "share", "repeat"}),
        (
            ["identify.catalogue='shelf'", "repeats.folder='found'", "levels.enabled=true"],
            {"label", "alarm"},
        ),
    ],
)
def test_only_topics_of_events_that_are_published_are_needed(sets, unused):
    settings = config.load(sets=sets, environ={}).config
    topics = settings.kafka.topics
    needed = topics.of_events(event_kinds(settings))
    assert topics.events.keys() - needed.keys() == unused
    assert needed.items() <= topics.events.items()
