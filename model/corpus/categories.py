"""Categories: finer than a class, to report which kinds of audio are held out and how they fare."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.corpus.sources import Kind, Reader

READ_SPEECH = "read speech"
SONG_WITH_BAND = "song with band"
RAP = "rap"

# Speech of Debian packages, by the beginning of their names; the longest that fits.
_DEBIAN_SPEECH = {
    "asterisk-": "prompts",
    "beneath-a-steel-sky": "game voices",
    "fillets-ng-data-": "game voices",
    "flight-of-the-amazon-queen": "game voices",
    "hedgewars-data": "game voices",
    "gcin-voice": "single syllables",
    "kajongg": "single words",
    "klettres-data": "single syllables",
    "ktuberling-data": "single words",
    "qabcs-data": "single words",
    "tuxpaint-stamps-default": "single words",
    "pocketsphinx-testdata": READ_SPEECH,
}
# Other Debian packages are games.
_DEBIAN: dict[tuple[str, Kind], str] = {
    ("qabcs-data", "music"): "solo instruments",
    ("qabcs-data", "noise"): "single sounds",
    ("scratch", "music"): "music loops",
    ("scratch", "noise"): "single sounds",
    ("tuxpaint-stamps-default", "noise"): "single sounds",
    ("xemacs21-basesupport", "noise"): "single sounds",
}
_GAMES: dict[Kind, str] = {"music": "game music", "noise": "game effects"}
# Songs that are not sung, by repository and artist: JamendoLyrics.csv of f90/jamendolyrics names
# the genre of each song.
_SONGS = {("f90/jamendolyrics", "saru"): RAP}
# Names in the index of a collection that are long, or that differ for one category.
_COLLECTIONS = {
    "folk song": "field song",
    "learners of English (half children)": "learners and children",
    "pop song with band": SONG_WITH_BAND,
    "solo": "solo instruments",
    "telephone": "call centre",
}


def of_debian(package: str, kind: Kind, reader: Reader) -> str:
    """Return the category of a file of a Debian package, or its class where none is known."""
    if reader == "soundfont":
        return "solo instruments from sound font"
    if kind == "speech":
        fits = [name for name in _DEBIAN_SPEECH if package.startswith(name)]
        return _DEBIAN_SPEECH[max(fits, key=len)] if fits else kind
    return _DEBIAN.get((package, kind)) or _GAMES.get(kind, kind)


def of_song(repository: str, artist: str) -> str:
    """Return the category of a song of a repository: a song with a band, or rap."""
    return _SONGS.get((repository, artist), SONG_WITH_BAND)


def of_collection(kind: str) -> str:
    """Return the category of a file of a collection.

    Parameters
    ----------
    kind : str
        The column ``kind``: the kinds in a file, separated by `` | ``. Of each the part before the
        first comma or colon is the category: 'telephone dialogue, 8 kHz', 'ambience: rain'.
    """
    found = []
    for each in kind.split("|"):
        name = each.partition(",")[0].partition(":")[0].strip()
        if name.startswith("solo "):
            name = "solo"
        found.append(_COLLECTIONS.get(name, name))
    return " | ".join(dict.fromkeys(name for name in found if name))
