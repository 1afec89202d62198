"""Feeds of podcasts: an address in, episodes as files on this machine out.

Feeds are RSS or Atom, as they are found in the wild. They come from strangers: their size, their
entities and the addresses of their episodes are limited. An episode may lie in a private network
only if the feed does, by the address that the user gave.

::

    $XDG_CACHE_HOME/airsift/feeds/HOST-DIGEST/
      feed.xml        the feed as it came
      feed.json       where it came from, and what to ask with for a newer one
      names.json      the file of each episode, by its id in the feed
      episodes/       the episodes; NAME.part is one that is not whole
"""

from __future__ import annotations

import hashlib
import html
import ipaddress
import json
import mimetypes
import re
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urljoin, urlsplit

from airsift.errors import AirsiftError, ConfigError, SourceError
from airsift.files import write_whole
from airsift.podcasts.download import Downloads, Limits, Stopped, Text
from airsift.xdg import cache_folder
from stream.sources.web_address import check_scheme, is_public, public_name
from stream.sources.web_client import WebClient
from stream.sources.web_errors import WebError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airsift.config import Config
    from stream.runner import Stop

LATEST = 10  # episodes of a feed, where nobody says how many
_MAX_NAME = 120  # bytes of an episode's name
_MAX_ITEMS = 100_000
_HEAD = re.compile(
    rb"^(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?\s*<(\?xml|rss|feed|rdf|!--)", re.IGNORECASE
)
_HTML = re.compile(rb"<(?:!doctype\s+)?html", re.IGNORECASE)
_PRIVATE_NAMES = (".local", ".localhost", ".lan", ".internal", ".home.arpa", ".intranet")
_SUFFIXES = {  # of types that `mimetypes` does not know, or names oddly
    "audio/mpeg": ".mp3", "audio/mp3": ".mp3", "audio/mp4": ".m4a", "audio/x-m4a": ".m4a",
    "audio/m4a": ".m4a", "audio/aac": ".aac", "audio/ogg": ".ogg", "audio/opus": ".opus",
    "audio/flac": ".flac", "audio/x-flac": ".flac", "video/mp4": ".mp4",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Episode:
    """An episode that a feed names.

    Parameters
    ----------
    id : str
        Its id in the feed, or its address.
    title : str
        Its title; may be empty.
    url : str
        Address of its audio.
    published : str
        Day in UTC, as 2026-11-22; empty where the feed says none.
    suffix : str
        End of its file's name, with the dot; empty where nothing says it.
    """

    id: str
    title: str
    url: str
    published: str
    suffix: str


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed: its title, and its episodes, the oldest first."""

    title: str
    episodes: list[Episode]


@dataclass(frozen=True, slots=True)
class Fetched:
    """The episodes of a feed that are on this machine.

    Parameters
    ----------
    name : str
        The feed's address, without login and query.
    title : str
        The feed's title.
    files : list of Path
        The oldest first.
    failed : int
        How many more were wanted and could not be fetched.
    """

    name: str
    title: str
    files: list[Path]
    failed: int


def local_episodes(
    address: str,
    config: Config,
    *,
    latest: int | None = None,
    stop: Stop | None = None,
    complain: Callable[[str], object] = lambda _: None,
    advance: Callable[[str], object] = lambda _: None,
) -> Fetched | None:
    """Fetch the newest episodes of a feed that are not on this machine yet.

    Parameters
    ----------
    address : str
        Address of the feed, http or https.
    config : Config
        Sections ``[http]`` and ``[podcasts]``.
    latest : int > 0, optional
        How many episodes; by default `LATEST`.
    stop : Stop, optional
        Ends it; what came so far is returned.
    complain : callable
        Takes a line for each episode that cannot be fetched.
    advance : callable
        Is called with the title of each episode before it is fetched.

    Returns
    -------
    Fetched or None
        None if the address leads to something else than XML: a file of audio, a live stream.

    Raises
    ------
    SourceError
        The feed cannot be fetched, or is none.
    ConfigError
        The library that reads feeds is not installed.
    """
    folder = _folder_of(address)
    downloads = Downloads(cache_folder("hosts"), stop)
    text = _text(address, config, downloads, folder, complain)
    if text is None:
        return None
    _need_feedparser()
    name = public_name(address)
    feed = parse(text.body, text.url, name)
    wanted = feed.episodes[-(latest or LATEST) :]
    if latest is None and len(feed.episodes) > LATEST:
        complain(
            f"{name}: has {len(feed.episodes)} episodes; the {LATEST} newest are taken, "
            "--latest N takes others"
        )
    files, failed = list[Path](), 0
    names = _Names(folder)
    http = config.http
    if not _is_private(address):  # a stranger's feed must not reach into this network
        http = http.model_copy(update={"allow_private": False})
    limits = Limits(config.podcasts.max_episode_mb * 1_000_000, config.podcasts.max_wait_s)
    for episode in wanted:
        path = folder / "episodes" / names.of(episode)
        advance(episode.title or path.name)
        try:
            if not path.exists():
                check_scheme(episode.url, f"{name}: {episode.title or 'an episode'}")
                path.parent.mkdir(parents=True, exist_ok=True)
                # A login of the settings is for the feed's server, which the client sees to.
                with closing(WebClient(address, http)) as client:
                    downloads.file(client, episode.url, path, limits)
            files.append(path)
        except Stopped:
            break
        except AirsiftError as error:
            failed += 1
            message = str(error)
            if "no public address" in message and config.http.allow_private:
                message = (
                    f"{public_name(episode.url)}: leads into a private network, and {name} does "
                    "not; fetch it yourself if this is meant"
                )
            complain(message)
    return Fetched(name, feed.title, files, failed)


def parse(body: bytes, url: str, name: str) -> Feed:
    """Return the episodes of a feed.

    Parameters
    ----------
    body : bytes
        RSS or Atom.
    url : str
        Its address, for those that are relative to it.
    name : str
        Its name in messages.

    Raises
    ------
    SourceError
        It is no feed, or declares entities.
    """
    import feedparser

    if b"<!entity" in body[:65_536].replace(b"\0", b"").lower():
        raise SourceError(
            f"{name}: declares entities of its own, which may grow without bounds; a feed needs "
            "none, so it is not read"
        )
    # Bytes alone would be taken for the name of a file.
    found = feedparser.parse(BytesIO(body), sanitize_html=False, resolve_relative_uris=False)
    if not found.get("version") and not found.entries:
        what = "a page of HTML" if _HTML.search(body[:1024]) else "no RSS and no Atom"
        raise SourceError(
            f"{name}: is {what}, so it has no episodes; give the address of the feed, which the "
            "podcast's page links"
        )
    dated: list[tuple[float, int, Episode]] = []
    for number, entry in enumerate(found.entries[:_MAX_ITEMS]):
        episode = _episode(entry, url)
        if episode is not None:
            dated.append((_time_of(entry), number, episode))
    if not dated:
        raise SourceError(f"{name}: is a feed without audio; give the feed of a podcast")
    # Feeds list the newest first; those without a date stay where they stand.
    if all(when > 0 for when, _, _ in dated):
        dated.sort(key=lambda each: (each[0], -each[1]))
    else:
        dated.reverse()
    return Feed(_plain(found.feed.get("title", "")), [episode for _, _, episode in dated])


class _Names:
    """The file of each episode, which stays the same when a feed changes its titles."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "names.json"
        try:
            found = json.loads(self._path.read_bytes())
            self._names: dict[str, str] = {
                key: name
                for key, name in found.items()
                if isinstance(name, str) and Path(name).name == name
            }
        except (OSError, ValueError, AttributeError):
            self._names = {}

    def of(self, episode: Episode) -> str:
        if episode.id not in self._names:
            taken = set(self._names.values())
            stem = _file_name(f"{episode.published} {episode.title}".strip() or "episode")
            name, number = f"{stem}{episode.suffix}", 1
            while name in taken:
                number += 1
                name = f"{stem} ({number}){episode.suffix}"
            self._names[episode.id] = name
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, json.dumps(self._names, ensure_ascii=False).encode())
        return self._names[episode.id]


def _text(
    address: str,
    config: Config,
    downloads: Downloads,
    folder: Path,
    complain: Callable[[str], object],
) -> Text | None:
    """Return the feed's text; where its server is not reached, that of the last time."""
    limits = Limits(config.podcasts.max_feed_mb * 1_000_000, config.podcasts.max_wait_s)
    before = _stored(folder)
    with closing(WebClient(address, config.http)) as client:
        try:
            text = downloads.text(client, address, limits, before, _may_be_feed)
        except WebError as error:
            passes = error.status == 0 or error.status == 429 or error.status >= 500
            if before is None or not passes:
                raise
            complain(f"{error}; the feed of the last time is used")
            return before
    if text is not None and text is not before:
        folder.mkdir(parents=True, exist_ok=True)
        fields = asdict(text)
        del fields["body"]
        (folder / "feed.json").unlink(missing_ok=True)  # it belongs to the feed before
        write_whole(folder / "feed.xml", text.body)
        write_whole(folder / "feed.json", json.dumps(fields).encode())
    return text


def _may_be_feed(head: bytes) -> bool:
    """Return whether a body begins like XML or HTML, and not like audio."""
    return bool(_HEAD.match(head.replace(b"\0", b"")) or _HTML.search(head))


def _stored(folder: Path) -> Text | None:
    try:
        fields = json.loads((folder / "feed.json").read_bytes())
        return Text((folder / "feed.xml").read_bytes(), **fields)
    except (OSError, ValueError, TypeError):
        return None


def _folder_of(address: str) -> Path:
    digest = hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    host = re.sub(r"[^A-Za-z0-9.-]", "_", urlsplit(address).hostname or "feed")[:60]
    return cache_folder("feeds") / f"{host}-{digest}"


def _is_private(address: str) -> bool:
    """Return whether an address names a host of a private network.

    By its text alone: what its name leads to is up to whoever owns the name.
    """
    host = (urlsplit(address).hostname or "").rstrip(".")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(_PRIVATE_NAMES)
    return not is_public(host)


def _episode(entry: Any, url: str) -> Episode | None:
    """Return an entry's audio; None if it has none."""
    for link in [*entry.get("enclosures", ()), *entry.get("media_content", ())]:
        href = str(link.get("href") or link.get("url") or "").strip()
        kind = str(link.get("type") or "").partition(";")[0].strip().lower()
        suffix = _suffix(href)
        if not href or not (kind.startswith(("audio/", "video/")) or suffix):
            continue
        try:
            where = urljoin(url, href)
        except ValueError:
            where = href
        known = _SUFFIXES.get(kind) or mimetypes.guess_extension(kind) or ""
        published = _time_of(entry)
        day = time.strftime("%Y-%m-%d", time.gmtime(published)) if published > 0 else ""
        title = _plain(entry.get("title", ""))
        return Episode(str(entry.get("id") or where), title, where, day, suffix or known)
    return None


def _suffix(href: str) -> str:
    from airsift.cli.folders import SUFFIXES

    try:
        suffix = Path(unquote(urlsplit(href).path)).suffix.lower()
    except ValueError:
        return ""
    return suffix if suffix in SUFFIXES else ""


def _time_of(entry: Any) -> float:
    """Return the Unix time of an entry; 0 where it says none."""
    import calendar

    parsed = entry.get("published_parsed") or entry.get("updated_parsed")
    try:
        return float(calendar.timegm(parsed)) if parsed else 0.0
    except (ValueError, OverflowError):
        return 0.0


def _plain(text: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^<>]*>", " ", str(text))).split())


def _file_name(text: str) -> str:
    """Return a text as the name of a file: printable, without slashes, and not hidden."""
    text = "".join(
        each if each.isprintable() and each not in '/\\:*?"<>|' else "_" for each in text
    )
    encoded = text.encode("utf-8", "replace")[:_MAX_NAME]
    return encoded.decode("utf-8", "ignore").strip().lstrip(".") or "episode"


def _need_feedparser() -> None:
    from importlib.util import find_spec

    if find_spec("feedparser") is None:
        raise ConfigError(
            "feeds need feedparser: install airsift[podcasts], as with pip install "
            "'airsift[podcasts]'"
        )
