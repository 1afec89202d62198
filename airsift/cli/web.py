"""How web addresses are opened, from the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from airsift.errors import ConfigError
from stream.sources.web_client import WebSettings

if TYPE_CHECKING:
    from airsift.config import HttpConfig


def web_settings(http: HttpConfig) -> WebSettings:
    """Return the settings of web sources, with the password from its file.

    Raises
    ------
    ConfigError
        The file cannot be read.
    """
    password = ""
    if http.password_file:
        try:
            password = Path(http.password_file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError):
            raise ConfigError(
                f"http.password_file={http.password_file!r} is not text that can be read; name a "
                "file with the password"
            ) from None
    return WebSettings(
        timeout_s=http.timeout_s,
        max_backoff_s=http.max_backoff_s,
        allow_private=http.allow_private,
        username=http.username,
        password=password,
    )
