"""Reads OAUTHBEARER tokens from a file that another program renews, or from a command.

Each new connection takes a token. A broker closes a connection whose token has expired, and the
clients open another one, which takes the renewed token.
"""

from __future__ import annotations

import functools
import shlex
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from airsift.errors import ConfigError

if TYPE_CHECKING:
    from stream.kafka.settings import SecuritySettings

_COMMAND_S = 10.0
_REUSE_S = 5.0  # clients open several connections at once


class Tokens:
    """Returns the valid token. Safe in any thread.

    Parameters
    ----------
    path : str
        ``kafka.security.token_file``, or "".
    command : str
        ``kafka.security.token_command``, used without a file.
    """

    def __init__(self, path: str, command: str) -> None:
        self._path = path
        self._command = command
        self._running = threading.Lock()
        self._token = ""
        self._read_at = 0.0

    def token(self) -> str:
        """Return a token.

        Raises
        ------
        ConfigError
            The file is missing, the command fails, or it holds no token.
        """
        if self._path:
            return self._checked(f"token_file={self._path!r}", self._read())
        with self._running:
            if not self._token or time.monotonic() - self._read_at > _REUSE_S:
                self._token = self._checked(f"token_command={self._command!r}", self._run())
                self._read_at = time.monotonic()
            return self._token

    def _read(self) -> str:
        try:
            return Path(self._path).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            raise ConfigError(
                f"kafka.security.token_file={self._path!r} is not a file with a token"
            ) from None

    def _run(self) -> str:
        name = f"kafka.security.token_command={self._command!r}"
        try:
            done = subprocess.run(  # noqa: S603 - the operator's own command
                shlex.split(self._command), capture_output=True, timeout=_COMMAND_S, check=False
            )
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            reason = "takes too long" if isinstance(error, subprocess.TimeoutExpired) else error
            raise ConfigError(f"{name} cannot be run: {reason}") from None
        if done.returncode:
            last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise ConfigError(f"{name} failed with exit code {done.returncode}: {' '.join(last)}")
        return done.stdout.decode("ascii", "replace").strip()

    @staticmethod
    def _checked(name: str, token: str) -> str:
        if not token or not token.isascii() or any(c.isspace() for c in token):
            raise ConfigError(f"kafka.security.{name} gives no token: it must be one word")
        return token


def shared_tokens(security: SecuritySettings) -> Tokens:
    """Return the tokens that all clients with these settings share."""
    return _shared(security.token_file, security.token_command)


@functools.cache
def _shared(path: str, command: str) -> Tokens:
    return Tokens(path, command)
