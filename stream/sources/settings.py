"""The `[file]`, `[http]` and `[microphone]` sections of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from airsift.defaults import Section
from airsift.errors import ConfigError

_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class FileSettings(Section, table="file"):
    """How files are read."""

    chunk_s: Annotated[float, Field(gt=0, le=600)]
    max_spool_bytes: Annotated[int, Field(gt=0)]


class HttpSettings(Section, table="http"):
    """How web streams and files are read."""

    timeout_s: _Seconds
    max_backoff_s: _Seconds
    allow_private: bool
    username: str
    password_file: str

    @model_validator(mode="after")
    def _check_login(self) -> HttpSettings:
        if bool(self.username) != bool(self.password_file):
            raise ValueError("username and password_file belong together: set both or none")
        return self

    def password(self) -> str:
        """Read the password from its file; "" without one.

        Raises
        ------
        ConfigError
            The file cannot be read.
        """
        if not self.password_file:
            return ""
        try:
            return Path(self.password_file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError):
            raise ConfigError(
                f"http.password_file={self.password_file!r} is not text that can be read; name a "
                "file with the password"
            ) from None


class MicrophoneSettings(Section, table="microphone"):
    """The microphone, and how it is read."""

    device: str
    block_ms: Annotated[int, Field(ge=5, le=1000)]
    queue_s: _Seconds
    absent_s: Annotated[float, Field(ge=0)]
