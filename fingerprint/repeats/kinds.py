"""What a repeat may be: a guess from its length, its label and its schedule.

The rules, in this order; the first one that holds decides:

1. Three occurrences or more within a minute and a half of the same minute of the hour, and up to
   two minutes long: the open of a programme. Only for stations whose samples count from 1970.
2. 90 s or more, and music: a song.
3. Speech over music of which less than half is the same each time: a bed under other voices.
4. Music of up to 15 s: a jingle.
5. Up to 90 s: an advert, which has speech, or a song of which only a part is played.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fingerprint.settings import HOP, SAMPLE_RATE

if TYPE_CHECKING:
    from fingerprint.repeats.clusters import Cluster

Kind = Literal["advert", "jingle", "song", "bed", "programme open", "other"]

LIVE_S = 946_684_800  # 2000-01-01; positions in files are smaller
_HOUR_S = 3600
_ON_TIME_S = 90
_MAX_OPEN_S = 120
_SONG_S = 90
_JINGLE_S = 15
_BED_SHARE = 0.5


def guess(cluster: Cluster) -> Kind:
    """Return what a cluster may be."""
    seconds = cluster.length * HOP / SAMPLE_RATE
    if seconds <= _MAX_OPEN_S and _is_scheduled(cluster):
        return "programme open"
    if seconds >= _SONG_S:
        return "song" if cluster.label in ("music", "") else "other"
    if cluster.label == "speech_over_music" and cluster.share < _BED_SHARE:
        return "bed"
    if cluster.label == "music":
        return "jingle" if seconds <= _JINGLE_S else "song"
    return "other" if cluster.label == "other" else "advert"


def _is_scheduled(cluster: Cluster) -> bool:
    """Return whether all occurrences come at one minute of the hour, and in different hours."""
    starts = [each.start * HOP / SAMPLE_RATE for each in cluster.occurrences]
    if len(starts) < 3 or starts[0] < LIVE_S:
        return False
    hours = {round((start - starts[0]) / _HOUR_S) for start in starts}
    late = [(start - starts[0] + _HOUR_S / 2) % _HOUR_S - _HOUR_S / 2 for start in starts]
    return len(hours) == len(starts) and max(late) - min(late) <= _ON_TIME_S
