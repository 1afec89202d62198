"""Work of a browser in a process of its own: `airsift` itself, with a command.

A process, because a file from anywhere or a long report may take all of a processor, and a running
station must not wait; because it can be ended when the browser goes away; and because nothing that
is in a file then reaches this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import SecretStr

from airsift.config import is_path
from airsift.errors import AirsiftError
from stream.lines import one_line, to_json, utf8

if TYPE_CHECKING:
    from airsift.config import Config

MAX_WAITING = 8
MAX_LINE = 1 << 20  # bytes of an event, whose match may carry a catalogue's fields
_NICE = 10
_MAX_NAME = 200  # characters

Returned = TypeVar("Returned")


class Refused(AirsiftError):
    """What a browser asks for is not done.

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


class Turns:
    """One piece of work after the other; a few may wait.

    Parameters
    ----------
    what : str
        What waits, as in "files".
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._waiting = 0
        self.turn = asyncio.Semaphore(1)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place among those that wait.

        Raises
        ------
        Refused
            Too many do.
        """
        if self._waiting >= MAX_WAITING:
            raise Refused(f"{MAX_WAITING} other {self._what} wait; try again later", 503)
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1


def name_of(name: str, otherwise: str) -> str:
    """Return the name of a file as it is shown. It is part of no path."""
    return one_line(utf8(Path(name.replace("\\", "/")).name[:_MAX_NAME])).strip() or otherwise


async def receive(body: AsyncIterator[bytes], length: int | None, path: Path, max_mb: int) -> None:
    """Write a file that is uploaded.

    Parameters
    ----------
    body : async iterator of bytes
        The file.
    length : int, optional
        Bytes, as far as the sender said.
    path : Path
        Where to write it.
    max_mb : int
        The largest that is taken, `web.max_upload_mb`.

    Raises
    ------
    Refused
        It is too large.
    """
    limit, size = f"at most web.max_upload_mb={max_mb} MB are taken", 0
    check_length(length, max_mb)
    with path.open("wb", buffering=0) as file:
        async for piece in body:
            size += len(piece)
            if size > max_mb << 20:
                raise Refused(limit, 413)
            await asyncio.to_thread(file.write, piece)


def check_length(length: int | None, max_mb: int) -> None:
    """Refuse a file that says that it is too large, before it is sent.

    Raises
    ------
    Refused
        It does.
    """
    if length is not None and length > max_mb << 20:
        raise Refused(
            f"the file has {length} bytes; at most web.max_upload_mb={max_mb} MB are taken", 413
        )


@asynccontextmanager
async def started(arguments: Sequence[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `airsift` with arguments, at a low priority; it is killed when the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "airsift", *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=MAX_LINE,
        env={k: v for k, v in os.environ.items() if not k.startswith("AIRSIFT_")},
        preexec_fn=_yield_to_others if hasattr(os, "nice") else None,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            for pipe in (process.stdout, process.stderr):  # so that they are closed with it
                with contextlib.suppress(RuntimeError):  # who read it has not noticed yet
                    if pipe is not None:
                        await pipe.read()


async def run(arguments: Sequence[str], within_s: float) -> tuple[int, bytes, list[str]]:
    """Run `airsift` to its end; return its exit code, its output, and what it says is wrong.

    Raises
    ------
    Refused
        It takes longer than `within_s`.
    """
    async with started(arguments) as process:
        try:
            async with asyncio.timeout(within_s):
                output, errors = await process.communicate()
        except TimeoutError:
            raise Refused(f"it took longer than {within_s:g} s and was ended", 504) from None
        return process.returncode or 0, output, problems(errors)


def problems(errors: bytes) -> list[str]:
    """Return the lines of standard error, without the name of the program."""
    lines = errors.decode("utf-8", "replace").splitlines()
    return [one_line(line.removeprefix("airsift: ")) for line in lines if line.strip()]


def as_toml(config: Config, sections: Iterable[str]) -> str:
    """Return some sections of a configuration, without the tables in them.

    Those say what is kept, and nothing of what a browser sends is. JSON's texts, numbers and lists
    are TOML's too.
    """
    lines = []
    for section in sections:
        for name, value in config.model_dump()[section].items():
            plain = value.get_secret_value() if isinstance(value, SecretStr) else value
            if isinstance(plain, dict):
                continue
            key = f"{section}.{name}"
            if is_path(plain, key):
                plain = str(Path(plain).absolute())
            lines.append(f"{key} = {to_json(plain)}")
    return "\n".join(lines) + "\n"


async def unless_gone(
    receive_: Callable[[], Awaitable[object]], work: Awaitable[Returned]
) -> Returned:
    """Wait for work of a request whose body is read; end it when the browser goes away.

    Raises
    ------
    Refused
        It has gone: nobody sees this.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(receive_())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Refused("the browser went away", 499)
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


def _yield_to_others() -> None:
    os.nice(_NICE)
