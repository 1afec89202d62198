"""What the exit code of a command says; docs/conventions.md has the same table."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """Exit codes of every command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    BUG = 70
    INTERRUPTED = 130


_MEANINGS = {
    ExitCode.DONE: "All was done; a service was told to end by SIGINT or SIGTERM, and did.",
    ExitCode.FAILED: "Something was not done, and a line says what: a file, a key, a broker, "
    "a sink.",
    ExitCode.USAGE: "The command line is not one of airsift's; nothing was begun.",
    ExitCode.BUG: "An error inside airsift; `--debug` shows where.",
    ExitCode.INTERRUPTED: "Ctrl-C before the end; what was printed until then is whole.",
}


def meaning_of(code: ExitCode) -> str:
    """Return what a code says, in a sentence."""
    return _MEANINGS[code]
