"""The page to listen and decide: one file of HTML, which needs no network and no server."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import quote

from airsift.files import write_whole
from airsift.tags.mapping import Claim
from stream.lines import to_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from airsift.json_types import JsonObject
    from airsift.tags.judging import Verdict


def write_page(path: Path, catalogue: Path, verdicts: Sequence[Verdict]) -> None:
    """Write the page.

    Parameters
    ----------
    path : Path
        Its file. Audio below its folder is linked relative to it, so that both can be moved.
    catalogue : Path
        What was checked: the browser keeps the decisions about each catalogue apart.
    verdicts : sequence of Verdict
        The rows, in their order.

    Raises
    ------
    ConfigError
        It cannot be written.
    """
    identity = hashlib.sha256(str(catalogue.absolute()).encode("utf-8", "surrogateescape"))
    rows = [_row(verdict, path.absolute().parent) for verdict in verdicts]
    # "<" would end the script that the data is in.
    data = to_json({"id": identity.hexdigest()[:16], "rows": [*rows]}).replace("<", "\\u003c")
    template = (files("airsift") / "tags" / "page.html").read_text(encoding="utf-8")
    write_whole(path, template.replace("__DATA__", data, 1).encode())


def _row(verdict: Verdict, folder: Path) -> JsonObject:
    content = verdict.content
    places = content.music_at if verdict.claim is Claim.speech else content.speech_at
    return {
        **verdict.to_dict(),
        "url": _url(verdict.entry.path.absolute(), folder),
        "places": [*(places or (0.0,))],
    }


def _url(audio: Path, folder: Path) -> str:
    """Return a link to a file: relative below the folder of the page, else absolute."""
    if audio.is_relative_to(folder):
        # "./" in front: a name with a colon would be a protocol.
        return "./" + quote(str(audio.relative_to(folder)).encode("utf-8", "surrogateescape"))
    return "file://" + quote(str(audio).encode("utf-8", "surrogateescape"))
