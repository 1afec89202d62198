"""A file that somebody uploads, and its segments and songs: by `airsift segment` in a process.

A process, because a file from anywhere may take all of a processor, and a running station must not
wait; because it can be ended when the browser goes away; and because nothing that is in a file then
reaches this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from airsift.errors import AirsiftError
from stream.lines import one_line, to_json, utf8

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from airsift.config import Config
    from airsift.json_types import JsonObject

AT_ONCE = 1  # files; others wait
MAX_WAITING = 8
_NICE = 10
_MAX_LINE = 1 << 20  # bytes of an event, whose match may carry a catalogue's fields
_SECTIONS = ("model", "smoothing", "identify", "file")


class Refused(AirsiftError):
    """A file is not taken.

    Parameters
    ----------
    message : str
        Why, and what to do.
    status : int
        The status of HTTP that says so.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Uploads:
    """Segments files as they are uploaded, one after the other.

    Parameters
    ----------
    config : Config
        Network, smoothing and catalogue.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._max_bytes = config.web.max_upload_mb << 20
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

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
        limit = f"at most web.max_upload_mb={self._config.web.max_upload_mb} MB are taken"
        if length is not None and length > self._max_bytes:
            raise Refused(f"the file has {length} bytes; {limit}", 413)
        if self._waiting >= MAX_WAITING:
            raise Refused(f"{MAX_WAITING} other files wait; try again later", 503)
        shown = one_line(utf8(Path(name).name[:200])) or "upload"
        self._waiting += 1
        try:
            with tempfile.TemporaryDirectory(prefix="airsift-upload-") as folder:
                path, size = Path(folder, "audio"), 0
                with path.open("wb", buffering=0) as file:
                    async for piece in body:
                        size += len(piece)
                        if size > self._max_bytes:
                            raise Refused(limit, 413)
                        await asyncio.to_thread(file.write, piece)
                async with self._turn:
                    async for event in self._events(path, shown):
                        yield event
        except OSError as error:
            raise Refused(f"the file cannot be stored here: {error.strerror}", 507) from None
        finally:
            self._waiting -= 1

    async def _events(self, path: Path, shown: str) -> AsyncIterator[JsonObject]:
        config = path.with_name("config.toml")
        config.write_text(_as_toml(self._config), encoding="utf-8")
        command = [sys.executable, "-m", "airsift", "segment", "--config", str(config), str(path)]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_MAX_LINE,
            env={k: v for k, v in os.environ.items() if not k.startswith("AIRSIFT_")},
            preexec_fn=_yield_to_others if hasattr(os, "nice") else None,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        said = asyncio.ensure_future(process.stderr.read(_MAX_LINE))
        try:
            async for line in process.stdout:
                event = json.loads(line)
                event["id"] = str(event["id"]).replace(str(event["station"]), shown, 1)
                yield event | {"station": shown}
            code = await process.wait()
            problems = [
                one_line(text.removeprefix("airsift: ").replace(str(path), shown))
                for text in (await said).decode("utf-8", "replace").splitlines()
            ]
            yield {"done": code == 0, "problems": problems}
        finally:
            said.cancel()
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


def _yield_to_others() -> None:
    os.nice(_NICE)


def _as_toml(config: Config) -> str:
    """Return what a file needs of a configuration. JSON's texts, numbers and lists are TOML's."""
    values = config.model_dump(include=set(_SECTIONS), mode="json")
    lines = []
    for section, keys in values.items():
        lines.append(f"[{section}]")
        lines += [
            f"{key} = {_absolute(section, key, value)}"
            for key, value in keys.items()
            if not isinstance(value, dict)  # nothing of an upload is kept
        ]
    return "\n".join(lines) + "\n"


def _absolute(section: str, key: str, value: object) -> str:
    is_path = (section, key) in {
        ("model", "path"),
        ("model", "voice_path"),
        ("identify", "catalogue"),
    }
    if is_path and isinstance(value, str) and value:
        value = str(Path(value).absolute())
    return to_json(value)  # type: ignore[arg-type]
