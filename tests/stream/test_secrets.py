from __future__ import annotations

import pytest

from airsift import config
from airsift.cli.config import show
from airsift.errors import ConfigError
from stream.kafka.client.security import joined, security_options, servers

SECRET = "open-sesame-81723"
LOGIN = ["kafka.security.protocol=SASL_PLAINTEXT", "kafka.security.username=bob"]


def load(*sets, **environ):
    return config.load(None, sets, environ).config.kafka


def test_config_shows_where_a_secret_is_from_and_not_what_it_is(monkeypatch, capsys):
    monkeypatch.setenv("AIRSIFT_KAFKA__SECURITY__PASSWORD", SECRET)
    show(None, [f"kafka.security.key_password={SECRET}"])
    shown = capsys.readouterr().out
    assert SECRET not in shown
    assert "AIRSIFT_KAFKA__SECURITY__PASSWORD" in shown


def test_secrets_come_from_the_environment_or_from_files(tmp_path):
    path = tmp_path / "secret"
    path.write_text(f" {SECRET}\n")
    from_file = load(*LOGIN, f"kafka.security.password_file={path}")
    assert security_options(from_file)["sasl_plain_password"] == f" {SECRET}"
    loaded = load(*LOGIN, AIRSIFT_KAFKA__SECURITY__PASSWORD=SECRET)
    assert security_options(loaded)["sasl_plain_password"] == SECRET
    assert SECRET not in repr(loaded)
    assert SECRET not in str(loaded.model_dump())


@pytest.mark.parametrize(
    ("sets", "rule"),
    [
        (LOGIN[:1], "needs a username"),
        (LOGIN, "needs a password"),
        (
            [*LOGIN, f"kafka.security.password={SECRET}", "kafka.security.password_file=x"],
            "password and password_file are both set",
        ),
        (["kafka.security.key_file=x"], "needs its certificate_file"),
        (["kafka.security.password=[1]", "kafka.security.protocol=TLS"], "protocol='TLS'"),
        ([f"kafka.security.pasword={SECRET}"], "did you mean kafka.security.password"),
    ],
)
def test_a_login_that_cannot_work_is_refused_without_the_secret(sets, rule):
    with pytest.raises(ConfigError, match=rule) as error:
        load(*sets)
    assert SECRET not in str(error.value)


def test_an_unreadable_secret_is_reported_by_its_path(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"\xff\xfe")
    settings = load(*LOGIN, f"kafka.security.password_file={path}")
    with pytest.raises(ConfigError, match=r"password_file=.*secret' is not text"):
        security_options(settings)


def test_servers_are_hosts_and_ports():
    text = "kafka-1:9092, 10.0.0.1:9093,[::1]:9094"
    named = servers(text)
    assert named == [("kafka-1", 9092), ("10.0.0.1", 9093), ("::1", 9094)]
    assert ",".join(joined(*server) for server in named) == text.replace(" ", "")
    for wrong in ("kafka", "kafka:", ":9092", "kafka:70000", "a:1,b"):
        with pytest.raises(ConfigError, match="write host:port"):
            servers(wrong)


def test_the_password_of_web_radios_is_in_a_file_and_shown_nowhere(tmp_path, capsys):
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    sets = ["http.username=bob", f"http.password_file={path}"]
    settings = config.load(None, sets, {}).config.http
    assert (settings.username, settings.password()) == ("bob", SECRET)
    assert SECRET not in repr(settings)
    show(None, sets)
    assert SECRET not in capsys.readouterr().out
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"http\.password_file=.*secret' is not text"):
        settings.password()
    for half in sets:
        with pytest.raises(ConfigError, match="belong together"):
            config.load(None, [half], {})
