"""Completion as a person sees it who presses Tab, in real shells."""

from __future__ import annotations

import shlex
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from airsift.cli.completion import Shell, command_being_typed, complete_keys, script_of
from tests.terminal import Terminal, run

pytestmark = pytest.mark.process
INTERACTIVE = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
}
SET_UP = {
    "bash": "source <(airsift completion bash)\n",
    "zsh": "autoload -U compinit; compinit -u -D; source <(airsift completion zsh)\n",
}


@pytest.fixture
def environ(tmp_path):
    """Return an environment in which `airsift` is this checkout's command."""
    command = tmp_path / "bin" / "airsift"
    command.parent.mkdir()
    root = Path(__file__).parents[2]
    command.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(root)!r})\n"
        "from airsift.__main__ import main\nmain()\n"
    )
    command.chmod(0o755)
    return {"PATH": f"{command.parent}:/usr/bin:/bin", "HOME": str(tmp_path), "TERM": "xterm"}


def need(shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")


@pytest.mark.slow
@pytest.mark.parametrize("shell", INTERACTIVE)
def test_tab_completes_a_command_and_an_option(shell, environ):
    need(shell)

    def type_it(terminal: Terminal, _: object) -> None:
        terminal.type(f"{SET_UP[shell]}echo ready | tr a-z A-Z\n")
        terminal.wait_for(lambda: any(line == "READY" for line in terminal.shown))
        terminal.type("airsift segm\t")
        terminal.wait_for(lambda: "airsift segment" in "".join(terminal.shown))
        terminal.type("--form\t")
        terminal.wait_for(lambda: "airsift segment --format" in "".join(terminal.shown))
        terminal.type("\x15exit\n")

    ran = run(INTERACTIVE[shell], typing=True, while_running=type_it, environ=environ)
    assert ran.code == 0


ASK_BASH = """
_ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_airsift_completion airsift; printf '%s|' "${COMPREPLY[@]}"; echo; }
"""


@pytest.mark.slow
def test_bash_completes_names_choices_keys_and_stations(environ, tmp_path):
    need("bash")
    with closing(sqlite3.connect(tmp_path / "airsift.db")) as database, database:
        database.execute("CREATE TABLE airsift_series (station TEXT)")
        database.executemany("INSERT INTO airsift_series VALUES (?)", [("north",), ("two words",)])
    asked = {
        "segm": "segment|",
        "-q catalogue ad": "add|",
        "segment --format ''": "table|",
        "segment --format = jsonl": "jsonl|",
        "segment --set smoothing.ch": "smoothing.change_cost=|",
        "history --station no": "north|",
        "history --station tw": r"two\ words|",
        "history --set database.url = none.db --station no": "|",
        "segment talk.w": "|",  # a file, which bash knows
    }
    lines = "\n".join(
        f"_ask airsift {words}" + ("''" if words[-1] == " " else "") for words in asked
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", f"{script_of(Shell.bash)}{ASK_BASH}{lines}"],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    found = dict(zip(asked, done.stdout.splitlines(), strict=True))
    for words, wanted in asked.items():
        assert found[words].startswith(wanted), (words, found[words])


@pytest.mark.slow
def test_fish_completes_a_command_and_an_option(environ):
    need("fish")
    program = (
        'airsift completion fish | source; complete -C "airsift segm"; '
        'complete -C "airsift segment --form"'
    )
    done = subprocess.run(
        ["fish", "--no-config", "-c", program],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split("\t")[0] for line in done.stdout.splitlines()]
    assert lines == ["segment", "--format"]


@pytest.mark.parametrize("shell", Shell)
def test_a_shell_accepts_its_script(shell, environ):
    need(shell)
    subprocess.run([shell, "-n"], input=script_of(shell), text=True, check=True, env=environ)


@pytest.mark.parametrize(
    ("variables", "command"),
    [
        ({"COMP_WORDS": "airsift\nse", "COMP_CWORD": "1"}, ""),
        ({"COMP_WORDS": "airsift\n-q\nhistory\n--st", "COMP_CWORD": "3"}, "history"),
        ({"COMP_WORDS": "airsift\nsegment\n'it is", "COMP_CWORD": "2"}, "segment"),
        ({"_TYPER_COMPLETE_ARGS": "airsift se"}, ""),
        ({"_TYPER_COMPLETE_ARGS": "airsift segment "}, "segment"),
        ({"_TYPER_COMPLETE_ARGS": 'airsift segment "a b'}, "segment"),
        ({}, ""),
    ],
)
def test_the_command_that_is_being_typed(monkeypatch, variables, command):
    for name in ("COMP_WORDS", "COMP_CWORD", "_TYPER_COMPLETE_ARGS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert command_being_typed() == command


def test_keys_are_those_of_the_configuration():
    from airsift.config import load

    keys = complete_keys("")
    assert {key.rstrip("=") for key in keys} == set(load(environ={}).origins)
    assert complete_keys("smoothing.change_cost=") == []
    assert shlex.split(" ".join(keys)) == keys
