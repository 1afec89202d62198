"""What a tag claims about a file: that it is speech, that it is music, or nothing.

The terms are in `genres.toml`; a user's file adds terms and overrides them.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path

from airsift.errors import ConfigError
from airsift.toml_text import parse_toml

_LISTS = ("speech", "music")
_BETWEEN_TAGS = re.compile(r"[;,|/\\\x00\n]+")


class Claim(enum.StrEnum):
    """What the tags of a file say it is."""

    speech = "speech"
    music = "music"

    @property
    def other(self) -> Claim:
        """The opposite."""
        return Claim.music if self is Claim.speech else Claim.speech


class TagMap:
    """Terms, each with its claim.

    Parameters
    ----------
    terms : mapping of str to Claim
        In any spelling; `words` of two terms must differ.
    """

    def __init__(self, terms: Mapping[str, Claim]) -> None:
        self._terms = {words(term): claim for term, claim in terms.items()}
        self._longest = max(map(len, self._terms), default=0)

    def claim(self, tags: Iterable[str]) -> Claim | None:
        """Return what the tags of one file say; None if they say nothing, or both."""
        claims = {claim for tag in tags for claim in self._claims(words(tag))}
        return claims.pop() if len(claims) == 1 else None

    def _claims(self, tag: tuple[str, ...]) -> set[Claim]:
        """Return the claims of one tag: of terms that overlap, that of the longest."""
        claims, free = set[Claim](), [True] * len(tag)
        for length in range(min(self._longest, len(tag)), 0, -1):
            for at in range(len(tag) - length + 1):
                claim = self._terms.get(tag[at : at + length])
                if claim is not None and all(free[at : at + length]):
                    claims.add(claim)
                    free[at : at + length] = [False] * length
        return claims


def load_map(path: Path | None = None) -> TagMap:
    """Return the terms of airsift, with those of a user's file over them.

    Raises
    ------
    ConfigError
        The file is no TOML, has other keys than the two lists, or a term in both.
    """
    terms = _terms(
        (files("airsift") / "tags" / "genres.toml").read_text(encoding="utf-8"), "genres.toml"
    )
    if path is not None:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: is not in UTF-8 ({error}); save it so") from error
        terms |= _terms(text, str(path))
    return TagMap({" ".join(term): claim for term, claim in terms.items()})


def words(text: str) -> tuple[str, ...]:
    """Return the words of a tag or term: in lower case, without punctuation."""
    plain = unicodedata.normalize("NFKC", text).casefold().replace("&", " and ")
    return tuple(re.findall(r"[^\W_]+", plain))


def split_tags(text: str) -> list[str]:
    """Return the tags in a cell of a table, separated by a comma, semicolon, slash or bar."""
    return [tag for part in _BETWEEN_TAGS.split(text) if (tag := part.strip())]


def _terms(text: str, name: str) -> dict[tuple[str, ...], Claim]:
    try:
        table = parse_toml(text)
    except ValueError as error:
        raise ConfigError(f"{name}: is no TOML ({error}); mend that line") from error
    if unknown := [key for key in table if key not in _LISTS]:
        raise ConfigError(f"{name}: {unknown[0]!r} is unknown; it may have speech and music")
    terms: dict[tuple[str, ...], Claim] = {}
    for key in _LISTS:
        listed = table.get(key, [])
        if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
            raise ConfigError(f'{name}: {key} must be a list of texts, as {key} = ["soap opera"]')
        for each in listed:
            term, claim = words(each), Claim(key)
            if not term:
                raise ConfigError(f"{name}: {key} has the term {each!r}, which has no letters")
            if terms.setdefault(term, claim) is not claim:
                raise ConfigError(f"{name}: {each!r} is in both lists; leave it in one")
    return terms
