"""``airsift alarms test``, and the configuration of alarms."""

from __future__ import annotations

from pathlib import Path

import pytest

from airsift import config
from airsift.build import build_alarms
from airsift.errors import ConfigError
from tests.command import airsift
from tests.stream.alarm_hooks import hook


def test_every_target_is_told_and_what_happened_is_said(tmp_path: Path) -> None:
    with hook() as good, hook() as bad, hook() as manager:
        bad.statuses = [500]
        own = tmp_path / "own.toml"
        own.write_text(
            f'[alarms.webhook]\nurls = ["{good.url}/a", "{bad.url}/b"]\n'
            f'[alarms.alertmanager]\nurls = ["{manager.url}"]\n',
            encoding="utf-8",
        )
        done = airsift("alarms", "test", "--config", own, "--station", "a <b>")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"webhook {good.url}/a: delivered",
        f"webhook {bad.url}/b: FAILS: status 500 that is\N{REPLACEMENT CHARACTER}it",
        f"alertmanager {manager.url}: delivered",
    ]
    assert "alarms.enabled=false" in done.stderr
    first, second = good.documents()
    assert (first["final"], second["final"]) == (False, True)
    assert first["id"] == second["id"]
    assert first["station"] == "a <b>"
    assert "test" in first["text"]


def test_all_is_well() -> None:
    with hook() as good:
        sets = [f"alarms.webhook.urls=['{good.url}']", "alarms.enabled=true", "levels.enabled=true"]
        done = airsift("alarms", "test", *(word for each in sets for word in ("--set", each)))
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_target() -> None:
    done = airsift("alarms", "test")
    assert done.returncode == 1
    assert "set alarms.webhook.urls" in done.stderr


def test_alarms_need_levels() -> None:
    found = config.load(sets=["alarms.enabled=true"], environ={}).config
    with pytest.raises(ConfigError, match=r"needs levels\.enabled=true"):
        build_alarms(found, 16_000)
    assert build_alarms(config.load(environ={}).config, 16_000) is None


@pytest.mark.parametrize("key", ["alarms.webhook.urls", "alarms.alertmanager.urls"])
def test_addresses_with_passwords_are_not_printed(key: str) -> None:
    done = airsift("config", "--set", f"{key}=['https://desk:hunter2@h/']")
    assert done.returncode == 0
    assert key in done.stdout
    assert "hunter2" not in done.stdout
    with pytest.raises(ConfigError) as caught:
        config.load(sets=[f"{key}=['ftp://desk:hunter2@h/']"], environ={})
    assert "hunter2" not in str(caught.value)


def test_rules_are_set_one_by_one() -> None:
    found = config.load(sets=["alarms.rules.dead_air.delay_s=3"], environ={}).config.alarms.rules
    assert found.dead_air.delay_s == 3
    assert found.dead_air.threshold == -50
    with pytest.raises(ConfigError, match="no span of hours"):
        config.load(sets=['alarms.rules.gone.hours=["noon"]'], environ={})
    with pytest.raises(ConfigError, match=r"did you mean alarms\.rules\.dead_air\.delay_s"):
        config.load(sets=["alarms.rules.dead_air.dealy_s=3"], environ={})
