"""A file that somebody uploads, and its segments and songs: by `airsift segment` in a process."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from airsift.web.child import (
    MAX_LINE,
    Refused,
    Turns,
    as_toml,
    check_length,
    name_of,
    problems,
    receive,
    started,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from airsift.config import Config
    from airsift.json_types import JsonObject

_SECTIONS = ("model", "smoothing", "identify", "file")


class Uploads:
    """Segments files as they are uploaded, one after the other.

    Parameters
    ----------
    config : Config
        Network, smoothing and catalogue.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._max_mb = config.web.max_upload_mb
        self._turns = Turns("files")

    async def segment(
        self, body: AsyncIterator[bytes], name: str, length: int | None
    ) -> AsyncGenerator[JsonObject, None]:
        """Yield the final events of a file as they are found, then what is wrong with it.

        The last object has ``done``: whether the whole file was read; and ``problems``, texts.

        Parameters
        ----------
        body : async iterator of bytes
            The file.
        name : str
            Its name: the station of the events. It is part of no path.
        length : int, optional
            Bytes, as far as the sender said.

        Raises
        ------
        Refused
            It is too large, too many others wait, or the disk is full.
        """
        check_length(length, self._max_mb)
        shown = name_of(name, "upload")
        try:
            with (
                self._turns.place(),
                tempfile.TemporaryDirectory(prefix="airsift-upload-") as folder,
            ):
                path = Path(folder, "audio")
                await receive(body, length, path, self._max_mb)
                async with self._turns.turn:
                    async for event in self._events(path, shown):
                        yield event
        except OSError as error:
            raise Refused(f"the file cannot be stored here: {error.strerror}", 507) from None

    async def _events(self, path: Path, shown: str) -> AsyncIterator[JsonObject]:
        config = path.with_name("config.toml")
        config.write_text(as_toml(self._config, _SECTIONS), encoding="utf-8")
        async with started(["segment", "--config", str(config), str(path)]) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            errors = asyncio.ensure_future(process.stderr.read(MAX_LINE))
            try:
                async for line in process.stdout:
                    event = json.loads(line)
                    event["id"] = str(event["id"]).replace(str(event["station"]), shown, 1)
                    yield event | {"station": shown}
                code = await process.wait()
                found = [text.replace(str(path), shown) for text in problems(await errors)]
                yield {"done": code == 0, "problems": [*found]}
            finally:
                errors.cancel()
