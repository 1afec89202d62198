"""`airsift doctor`: each check in its time, whatever it meets, with a line that says what to do."""

from __future__ import annotations

import json
import socket
import sys
import time
import tomllib
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift import config
from airsift.cli.exit_codes import ExitCode
from airsift.doctor import checkup, installation, machine
from airsift.doctor.finding import Finding, Status, ok, problem, warning
from airsift.errors import ConfigError
from model.weights import DEFAULT_WEIGHTS
from tests.command import airsift
from tests.terminal import AIRSIFT, Terminal, run, strange

ROOT = Path(__file__).parents[2]
PYTHON = [sys.executable, "-c"]
CHECKS = [
    "Python", "libraries", "extras", "configuration", "processor", "memory", "disk", "clock",
    "networks", "catalogue", "sound", "Kafka", "GPU", "backends", "speed",
]  # fmt: skip
texts = st.text(max_size=20)


@given(
    st.builds(
        Finding,
        texts,
        st.sampled_from(Status),
        texts,
        texts,
        st.dictionaries(texts, st.one_of(texts, st.integers(), st.lists(texts, max_size=2))),
    )
)
def test_a_finding_is_the_same_behind_a_process(finding):
    assert Finding.from_dict(json.loads(json.dumps(finding.to_dict()))) == finding


# The whole


@pytest.mark.process
@pytest.mark.slow
def test_every_check_answers_and_this_checkout_works():
    ran = run([*AIRSIFT, "doctor", "--json"], out="pipe", err="pipe", cwd=ROOT, timeout_s=280)
    assert ran.files["err"] == b""
    found = json.loads(ran.files["out"])
    assert found["schema"] == "airsift.doctor/1"
    assert list(dict.fromkeys(each["check"] for each in found["checks"])) == CHECKS
    wrong = [each for each in found["checks"] if each["status"] == "problem"]
    assert (ran.code, wrong, found["problems"]) == (0, [], 0)
    for each in found["checks"]:
        assert bool(each["way_out"]) == (each["status"] != "ok"), each
    (speed,) = (each["details"] for each in found["checks"] if each["check"] == "speed")
    assert speed["stations_per_core"] > 1
    assert speed["file_times_real_time"] > 1


LONG = "a thing with a rather long description of what it is, in words that go on and on " * 2


@pytest.fixture
def some(monkeypatch):
    """Let the checks find some things, among them a long one and one of rubbish."""
    found = [
        ok("Python", "3.11"),
        warning("disk", LONG, "free some of it, which takes more than a line to say: " + LONG),
        problem("Kafka", "no broker \x1b[2J answers\r\n", "start one", topics=["a", "b"]),
    ]
    monkeypatch.setattr(checkup, "checkup", lambda path, sets: iter(found))
    return found


def test_one_problem_is_exit_code_1(some):
    done = airsift("doctor")
    assert done.returncode == ExitCode.FAILED
    assert done.stdout.splitlines()[-1] == "1 problem, 1 warning"
    assert "\x1b" not in done.stdout
    del some[2]
    assert airsift("doctor").returncode == ExitCode.DONE


def test_in_a_pipe_a_finding_is_a_line_and_its_way_out_another(some):
    lines = airsift("doctor").stdout.splitlines()
    assert lines[1] == "ok       Python         3.11"
    assert lines[2].endswith(LONG.strip()) or lines[2].endswith(LONG)
    assert lines[3].strip().startswith("-> free some of it")
    assert len(lines) == 1 + 1 + 2 + 2 + 1
    assert any("topics a, b" in line for line in airsift("doctor", "-v").stdout.splitlines())


@pytest.mark.parametrize("size", [(80, 24), (200, 60), (40, 10)])
@pytest.mark.parametrize("environ", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_on_a_terminal_no_word_is_cut(some, monkeypatch, size, environ):
    from airsift.cli.doctor import lines_of

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with Terminal(size) as terminal:
        with terminal.file() as out:
            monkeypatch.setattr(sys, "stdout", out)
            lines = [line for each in some for line in lines_of(each)]
            print("\n".join(lines), file=out, flush=True)
            monkeypatch.undo()
        terminal.finish()
        assert strange(terminal.text) == []
        assert ("\x1b[31m" in terminal.text) == (environ == {})
        assert len(terminal.lines) == len(lines)  # none was broken by the terminal
        assert set(LONG.split()) <= {word for line in terminal.lines for word in line.split()}


# One check


def test_a_check_that_hangs_is_a_problem_and_delays_no_other():
    began = time.monotonic()
    (found,) = checkup.within("disk", lambda: time.sleep(30) or [], 0.05)
    assert time.monotonic() - began < 10
    assert (found.check, found.status) == ("disk", Status.problem)
    assert "no answer within 0.05 s" in found.text


def test_a_check_that_fails_is_a_problem():
    def fail():
        yield ok("a", "b")
        raise ZeroDivisionError("nothing")

    (found,) = checkup.within("gpu", fail, 10)
    assert found.status is Status.problem
    assert found.check == "GPU"
    assert "ZeroDivisionError: nothing" in found.text


@pytest.mark.process
@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "SIGILL"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("import time; time.sleep(60)", "no answer within 1 s"),
        ("print('no JSON')", "this check failed"),
        ("print('[{}]')", "this check failed"),
        ("print('[1]')", "this check failed"),
        ("", "this check failed"),
    ],
)
def test_what_a_process_of_its_own_can_do_is_a_problem(program, words):
    (found,) = checkup.run_apart("sound", [*PYTHON, program], 1.0, {})
    assert found.status is Status.problem
    assert words in found.text
    assert found.way_out


@contextmanager
def listening(*, answers):
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        if answers:
            door.listen()
        yield f"127.0.0.1:{door.getsockname()[1]}"


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("answers", [True, False])
def test_a_broker_that_hangs_or_is_away_is_a_problem_in_time(answers):
    with listening(answers=answers) as address:
        began = time.monotonic()
        sets = [f"kafka.bootstrap_servers={address}", "kafka.connect_timeout_s=1"]
        (found,) = checkup.apart("broker", (None, sets))
        assert time.monotonic() - began < 30
    assert (found.check, found.status) == ("Kafka", Status.problem)
    assert address in found.text


@pytest.mark.process
@pytest.mark.slow
def test_a_broker_that_answers_is_fine():
    from stream.kafka.embedded_broker import EmbeddedBroker

    with EmbeddedBroker() as broker:
        sets = [f"kafka.bootstrap_servers={broker.bootstrap_servers}"]
        (found,) = checkup.apart("broker", (None, sets))
    assert found.status is Status.ok, found
    assert broker.bootstrap_servers in found.text


# The installation


def test_a_mistake_in_the_configuration_is_a_problem_of_its_own():
    (found,) = installation.configuration(ConfigError("smoothing.x: no such key"), None)
    assert found.status is Status.problem
    assert "smoothing.x" in found.text
    (fine,) = installation.configuration(config.load(sets=["file.chunk_s=3"], environ={}), None)
    assert fine.status is Status.ok
    assert fine.details == {"keys": ["file.chunk_s"]}


def test_a_network_that_was_changed_is_a_problem(tmp_path):
    changed = tmp_path / "own.pt"
    changed.write_bytes(DEFAULT_WEIGHTS.read_bytes() + b"\0")
    chosen = config.load(sets=[f"model.path={changed}"], environ={}).config
    first, voice = installation.networks(chosen)
    assert first.status is Status.problem
    assert "its SHA-256 is not that of a file shipped with airsift" in first.text
    assert voice.status is Status.ok


def test_a_catalogue_that_is_not_there_is_a_problem(tmp_path):
    chosen = config.load(sets=[f"identify.catalogue={tmp_path / 'none'}"], environ={}).config
    (found,) = checkup.within("catalogue", lambda: installation.catalogue(chosen), 10)
    assert found.status is Status.problem
    assert str(tmp_path / "none") in found.text


def test_requirements_are_those_of_the_project(monkeypatch):
    def nothing(_):
        raise installation.metadata.PackageNotFoundError

    monkeypatch.setattr(installation.metadata, "requires", nothing)
    needed, extras = installation.requirements()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert len(needed) == len(project["dependencies"])
    assert needed["click"] == "<8.4"
    assert extras.keys() == project["optional-dependencies"].keys()
    assert all(name.split("[")[0] in line for name, line in
               zip(needed, project["dependencies"], strict=True))  # fmt: skip


@pytest.mark.parametrize(
    ("installed", "status", "words"),
    [
        ({"numpy": "2.4", "torch": "2.14"}, Status.ok, "2 of 2"),
        ({"numpy": "2.4"}, Status.ok, "without torch"),
        ({"torch": "2.14"}, Status.problem, "numpy missing"),
        ({"numpy": "1.0", "torch": "2.14"}, Status.warning, "numpy 1.0 is not >=2.0"),
    ],
)
def test_what_is_missing_is_named(monkeypatch, installed, status, words):
    monkeypatch.setattr(installation, "requirements", lambda: ({"numpy": ">=2.0", "torch": ""}, {}))
    monkeypatch.setattr(installation, "_version", installed.get)
    (found,) = installation.libraries()
    assert found.status is status
    assert words in found.text


def test_an_extra_that_is_not_whole_is_a_warning(monkeypatch):
    extras = {"web": {"starlette": "", "uvicorn": ""}, "plot": {"matplotlib": ""}, "dev": {"x": ""}}
    monkeypatch.setattr(installation, "requirements", lambda: ({}, extras))
    monkeypatch.setattr(installation, "_version", {"starlette": "1.0"}.get)
    first, second = installation.extras()
    assert (first.status, first.way_out) == (Status.warning, "pip install 'airsift[web]'")
    assert second.text.startswith("none installed; not plot")


# The machine


@pytest.mark.parametrize(
    ("state", "status"), [(0, Status.ok), (5, Status.warning), (None, Status.ok)]
)
def test_a_clock_that_nothing_keeps_right_is_a_warning(monkeypatch, state, status):
    monkeypatch.setattr(machine, "_clock_state", lambda: state)
    (found,) = machine.clock()
    assert found.status is status


def test_a_disk_that_is_nearly_full_is_a_warning(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    chosen = config.load(environ={}).config
    usage = machine.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage._replace(free=10**6))
    found = list(machine.disks(chosen))
    assert {each.status for each in found} == {Status.warning}
    assert "working folder" in " ".join(each.text for each in found)


def test_a_machine_without_proc_is_described_all_the_same(monkeypatch):
    monkeypatch.setattr(machine, "_colon_lines", lambda _: {})
    for check in (machine.python, machine.processor, machine.memory):
        for found in check():
            assert found.status is Status.ok
            assert found.text


def test_a_processor_without_avx2_is_a_warning(monkeypatch):
    monkeypatch.setattr(machine.platform, "machine", lambda: "x86_64")
    facts = {"model name": "Old", "flags": "fpu sse4_2 avx"}
    monkeypatch.setattr(machine, "_colon_lines", lambda _: facts)
    (found,) = machine.processor()
    assert found.status is Status.warning
    assert "sse4_2, avx" in found.text
