"""What holds for every command: help, exit codes, quiet, colours, the user's file."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import typer

from airsift.cli.app import make_app
from airsift.cli.exit_codes import ExitCode, meaning_of
from stream.testing import tone, write_wav
from tests.command import airsift
from tests.terminal import AIRSIFT, run

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "conventions.md").read_text()


@cache
def commands() -> dict[tuple[str, ...], set[str]]:
    """Return every command by its words, with its options."""
    found: dict[tuple[str, ...], set[str]] = {}

    def walk(command, words):
        found[words] = {name for each in command.params for name in each.opts}
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, (*words, name))

    walk(typer.main.get_command(make_app()), ())
    return found


def test_every_command_has_the_options_of_every_command():
    for words, options in commands().items():
        assert {"-q", "--quiet", "-v", "--verbose", "--debug"} <= options, words


def test_every_command_has_a_short_form_of_output():
    for words, options in commands().items():
        assert ("--output" in options) == ("-o" in options), words


def test_a_wrong_choice_is_told_without_words_of_a_library():
    done = airsift("segment", "--format", "doc", "a.mp3")
    assert done.returncode == ExitCode.USAGE
    assert "Invalid value for '--format': 'doc' is not one of" in done.stderr


@pytest.mark.slow
def test_every_command_explains_itself():
    for words in commands():
        done = airsift(*words, "-h")
        assert (done.returncode, done.stderr) == (0, ""), words
        assert f"Usage: {' '.join(['airsift', *words])} " in done.stdout
    assert airsift("segment", "--help").stdout == airsift("segment", "-h").stdout


@pytest.mark.slow
def test_what_is_no_command_line_of_airsifts_has_exit_code_2():
    for words, options in commands().items():
        done = airsift(*words, "--no-such-option")
        assert (done.returncode, done.stdout) == (ExitCode.USAGE, ""), words
        assert "No such option: --no-such-option" in done.stderr
        if "--config" in options and words not in (("train",), ("explain",)):
            again = airsift(*words, "--config")
            assert again.returncode == ExitCode.USAGE, words


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["segmnt"], "segment"),
        (["catalogue", "ad"], "add"),
        (["segment", "--catalog", "x", "a.wav"], "--catalogue"),
        (["segment", "--verbos", "a.wav"], "--verbose"),
        (["config", "--set", "smoothing.change_cots=1"], "smoothing.change_cost"),
    ],
)
def test_the_nearest_name_is_given(words, meant):
    done = airsift(*words)
    assert done.returncode in (ExitCode.USAGE, ExitCode.FAILED)
    assert meant in done.stderr


# Exit codes


def test_the_page_has_the_exit_codes():
    rows = re.findall(r"^\| (\d+) \| (\w+) \| (.*) \|$", PAGE, re.M)
    assert [(int(code), name, text) for code, name, text in rows] == [
        (code.value, code.name.lower(), meaning_of(code)) for code in ExitCode
    ]


def test_no_command_ends_with_another_code():
    for path in (ROOT / "airsift" / "cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="Exit" | "_exit" | "exit"),
                    args=[ast.Constant(value=int(code))],
                ):
                    assert code in {*ExitCode}, f"{path}: {code}"


def test_a_bug_has_a_code_of_its_own(monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("nothing")

    monkeypatch.setattr("airsift.config.load", broken)
    done = airsift("config")
    assert done.returncode == ExitCode.BUG
    assert done.stderr == (
        "airsift: ZeroDivisionError: nothing; --debug shows where this happened\n"
    )


# Quiet and verbose


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return write_wav(tmp_path_factory.mktemp("conventions") / "tone.wav", tone(3.0))


@pytest.mark.slow
def test_quiet_prints_results_and_errors_alone(recording, tmp_path):
    plain = airsift("segment", recording)
    for words in (["-q", "segment"], ["segment", "--quiet"]):
        quiet = airsift(*words, recording)
        assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, plain.stdout, "")
    failed = airsift("-q", "segment", tmp_path / "none.wav")
    assert failed.returncode == ExitCode.FAILED
    assert len(failed.stderr.splitlines()) == 1
    wordy = airsift("plot", recording, "--output", tmp_path / "a.svg")
    silent = airsift("plot", recording, "--output", tmp_path / "b.svg", "-q")
    assert wordy.returncode == silent.returncode == 0
    assert (tmp_path / "b.svg").exists()
    assert wordy.stderr
    assert silent.stderr == ""


@pytest.mark.process
@pytest.mark.slow
def test_verbose_says_what_is_loaded_and_what_it_took(recording):
    ran = run([*AIRSIFT, "segment", "-v", str(recording)], out="pipe", err="pipe")
    assert ran.files["out"].decode() == airsift("segment", recording).stdout
    first, last = ran.files["err"].decode().splitlines()
    assert first.startswith("airsift: computes with onnx: network the shipped one")
    assert re.fullmatch(r"airsift: took \d+\.\d s, \d+\.\d s of CPU, \d+ MB of memory", last)


def test_quiet_and_verbose_exclude_each_other():
    done = airsift("-q", "config", "-v")
    assert done.returncode == ExitCode.USAGE
    assert "exclude each other" in re.sub(r"[│\s]+", " ", done.stderr)


def test_what_follows_two_dashes_is_no_option(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = airsift("segment", "--", "-q")
    assert done.returncode == ExitCode.FAILED
    assert "-q" in done.stderr


@pytest.mark.parametrize(("option", "level"), [("-q", "error"), ("-v", "debug")])
def test_a_service_logs_as_it_is_told_unless_its_configuration_says(option, level):
    from airsift.cli.common import load_config, verbosity

    try:
        verbosity.set(quiet=option == "-q", verbose=option == "-v")
        assert load_config(None, None).watch.level == level
        assert load_config(None, ["watch.level=warning"]).watch.level == "warning"
    finally:
        verbosity.set()


# Colours


@pytest.mark.process
@pytest.mark.parametrize(
    ("environ", "out", "coloured"),
    [
        ({}, "terminal", True),
        ({}, "pipe", False),
        ({"NO_COLOR": "1"}, "terminal", False),
        ({"FORCE_COLOR": "1"}, "pipe", True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, "pipe", False),
        ({"TERM": "dumb"}, "terminal", False),
    ],
    ids=str,
)
def test_colours(environ, out, coloured):
    ran = run([*AIRSIFT, "config", "-h"], out=out, environ=environ)
    text = ran.out.text if ran.out else ran.files["out"].decode()
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-9]", text)) == coloured
    if "TERM" in environ:
        assert "\x1b" not in text


# The user's file


def test_the_users_file_is_read_without_another(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    own = tmp_path / "airsift" / "airsift.toml"
    own.parent.mkdir()
    own.write_text("[smoothing]\nchange_cost = 7.5\n[identify]\ncatalogue = 'shelf'\n")
    lines = airsift("config").stdout.splitlines()
    assert any(line.endswith(f"7.5                          # {own}") for line in lines)
    assert any(f'"{own.parent / "shelf"}"' in line for line in lines)  # relative to the file
    other = tmp_path / "other.toml"
    other.write_text("[smoothing]\nupdate_s = 2.0\n")
    for file in (other, os.devnull):
        text = airsift("config", "--config", file).stdout
        assert str(own) not in text
        assert "7.5" not in text
    assert "7.5" not in airsift("config", "--set", "smoothing.change_cost=3").stdout


def test_a_mistake_in_the_users_file_names_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    own = tmp_path / "airsift" / "airsift.toml"
    own.parent.mkdir()
    own.write_text("[smothing]\nchange_cost = 7.5\n")
    done = airsift("config")
    assert done.returncode == ExitCode.FAILED
    assert str(own) in done.stderr


def test_python_reads_no_file_of_the_user(tmp_path, monkeypatch):
    from airsift import config

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "airsift").mkdir()
    (tmp_path / "airsift" / "airsift.toml").write_text("[smoothing]\nchange_cost = 7.5\n")
    assert config.load().config.smoothing.change_cost != 7.5


# Version


@pytest.mark.process
def test_the_version_names_backends_and_networks_without_importing_them():
    program = (
        "import sys; from airsift.cli.version import version_lines; "
        "print(*version_lines(), sep='\\n'); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"torch", "onnxruntime", "numpy"} & set(done.stderr.split())
    first, second, third = done.stdout.splitlines()
    assert re.fullmatch(r"airsift \d+\.\d+\.\d+", first)
    assert re.fullmatch(r"Python [\d.]+, onnxruntime [\d.]+, torch (not installed|[\d.+a-z]+)",
                        second)  # fmt: skip
    sums = (ROOT / "model" / "weights" / "SHA256SUMS").read_text()
    for name, short in re.findall(r"(\w+) ([0-9a-f]{12})", third):
        assert re.search(rf"^{short}[0-9a-f]+ .*{name}\.pt$", sums, re.M)
    assert third.startswith("networks airsift ")
