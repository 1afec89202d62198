"""The short lists (.m3u, .pls) that web radios give out instead of their streams' addresses."""

from __future__ import annotations

import base64
import http.client
import re
import urllib.error
import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from airsift import __version__
from airsift.errors import SourceError
from stream.sources.address import SCHEMES, check_scheme, public_name

if TYPE_CHECKING:
    from http.client import HTTPMessage
    from typing import IO

MAX_BYTES = 65_536
_ENTRY = re.compile(r"^\s*(?:file\d+\s*=)?\s*(https?://\S+)", re.IGNORECASE | re.MULTILINE)
_LINE = re.compile(r"^[ \t]*([^#\s].*?)\s*$", re.MULTILINE)


def is_playlist(url: str) -> bool:
    """Return whether an address looks like that of a list."""
    return urlsplit(url).path.lower().endswith((".m3u", ".m3u8", ".pls"))


def playlist_entry(url: str, timeout_s: float, proxy: str | None = None) -> str | None:
    """Return the address a list names first.

    Parameters
    ----------
    url : str
        Where the list may be; http or https, with a login if the server asks for one.
    timeout_s : float > 0
        Seconds that connecting, and the first bytes, may take.
    proxy : str, optional
        HTTP proxy to go through; those of the environment without.

    Returns
    -------
    str or None
        None if there is no list of addresses: HLS, which FFmpeg follows by itself, or
        something else altogether. An entry on the list's own server has the list's login.

    Raises
    ------
    SourceError
        There is no answer, or the list names something else than http and https.
    """
    name = public_name(url)
    try:
        with _opener(proxy, name).open(_request(url), timeout=timeout_s) as response:
            text = response.read1(MAX_BYTES).decode("utf-8", "replace")
            base = response.url
    except urllib.error.HTTPError as error:
        error.close()
        raise _unreachable(name, f"HTTP {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise _unreachable(name, str(error.reason)) from error
    except (ValueError, http.client.InvalidURL) as error:  # whose text holds the address
        raise _unreachable(name, "it is no valid address") from error
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(name, str(error) or type(error).__name__) from error
    if "#EXT-X-" in text:
        return None
    # In a list that says it is one, any line without # is an entry, also a relative one.
    found = _ENTRY.search(text) or (_LINE.search(text) if text.startswith("#EXTM3U") else None)
    if found is None:
        return None
    entry = urljoin(base, found[1])
    check_scheme(entry, f"{name}: the list names an entry of which")
    return _with_login_of(url, entry)


class _Redirections(urllib.request.HTTPRedirectHandler):
    """Follows redirections to http and https alone; urllib would follow ftp too."""

    def __init__(self, name: str) -> None:
        self._name = name

    def redirect_request(
        self,
        request: urllib.request.Request,
        file: IO[bytes],
        code: int,
        message: str,
        headers: HTTPMessage,
        url: str,
    ) -> urllib.request.Request | None:
        check_scheme(url, f"{self._name}: leads to an address of which")
        return super().redirect_request(request, file, code, message, headers, url)


def _opener(proxy: str | None, name: str) -> urllib.request.OpenerDirector:
    """Return what opens http and https, and no files, ftp or data as urllib's own does."""
    opener = urllib.request.OpenerDirector()
    proxies = None if proxy is None else dict.fromkeys(SCHEMES, proxy)
    for handler in (
        urllib.request.ProxyHandler(proxies),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirections(name),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _request(url: str) -> urllib.request.Request:
    """Return a request with the address's login as a header, which no redirection takes along."""
    parts = urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(  # noqa: S310 - http or https, see `check_scheme`
        urlunsplit(parts._replace(netloc=host)), headers={"User-Agent": f"airsift/{__version__}"}
    )
    if login:
        token = base64.b64encode(unquote(login).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {token}")
    return request


def _with_login_of(url: str, entry: str) -> str:
    """Return `entry` with the login of `url` if it is on the same server and has none."""
    ours, its = urlsplit(url), urlsplit(entry)
    login, _, host = ours.netloc.rpartition("@")
    if not login or (ours.scheme, host) != (its.scheme, its.netloc):
        return entry
    return urlunsplit(its._replace(netloc=f"{login}@{its.netloc}"))


def _unreachable(name: str, reason: str) -> SourceError:
    return SourceError(f"{name}: cannot be opened ({reason}); check the address and the network")
