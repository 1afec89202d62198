"""The short lists (.m3u, .pls) that web radios give out instead of their streams' addresses."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from urllib.parse import urljoin, urlsplit

from airsift import __version__
from airsift.errors import SourceError

MAX_BYTES = 65_536
_ENTRY = re.compile(r"^\s*(?:file\d+\s*=)?\s*(https?://\S+)", re.IGNORECASE | re.MULTILINE)
_LINE = re.compile(r"^[ \t]*([^#\s].*?)\s*$", re.MULTILINE)


def is_playlist(url: str) -> bool:
    """Return whether an address looks like that of a list."""
    return urlsplit(url).path.lower().endswith((".m3u", ".m3u8", ".pls"))


def playlist_entry(url: str, timeout_s: float) -> str | None:
    """Return the address a list names first.

    Parameters
    ----------
    url : str
        Where the list may be.
    timeout_s : float > 0
        Seconds that connecting, and the first bytes, may take.

    Returns
    -------
    str or None
        None if there is no list of addresses: HLS, which FFmpeg follows by itself, or
        something else altogether.

    Raises
    ------
    SourceError
        There is no answer.
    """
    agent = {"User-Agent": f"airsift/{__version__}"}
    try:
        request = urllib.request.Request(url, headers=agent)  # noqa: S310
        with urllib.request.urlopen(request, timeout=timeout_s) as response:  # noqa: S310
            text = response.read1(MAX_BYTES).decode("utf-8", "replace")
            base = response.url
    except urllib.error.HTTPError as error:
        error.close()
        raise _unreachable(url, f"HTTP {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise _unreachable(url, str(error.reason)) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _unreachable(url, str(error) or type(error).__name__) from error
    if "#EXT-X-" in text:
        return None
    # In a list that says it is one, any line without # is an entry, also a relative one.
    found = _ENTRY.search(text) or (_LINE.search(text) if text.startswith("#EXTM3U") else None)
    return urljoin(base, found[1]) if found else None


def _unreachable(url: str, reason: str) -> SourceError:
    return SourceError(f"{url}: cannot be opened ({reason}); check the address and the network")
