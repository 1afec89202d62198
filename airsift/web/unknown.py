"""What a station played several times and no catalogue names: a list of it, its sound, its naming.

See `fingerprint.repeats`: each station has a folder of runs, which make clusters.
"""

from __future__ import annotations

import asyncio
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airsift.web.child import Refused
from airsift.web.tracks import shown
from fingerprint.settings import HOP, SAMPLE_RATE

if TYPE_CHECKING:
    from airsift.config import Config
    from airsift.json_types import JsonObject
    from airsift.web.tracks import Tracks
    from fingerprint.catalogue import Catalogue
    from fingerprint.repeats.clusters import Cluster, Occurrence
    from fingerprint.repeats.recordings import Recording
    from fingerprint.track import Track

MAX_OCCURRENCES = 50  # in an answer, the newest
_MUSIC = ("music", "speech_over_music", "")  # of recordings the labels may be unknown
# An id comes from a browser: it must not lead to another file.
_CLUSTER = re.compile(r"[0-9a-f]{1,64}")


@dataclass(frozen=True, slots=True)
class _Read:
    """The clusters of a station as they were when its file was of this state."""

    state: tuple[int, int]
    clusters: list[Cluster]
    recordings: list[Recording]


class Unknown:
    """The clusters of all stations of `repeats.folder`.

    Parameters
    ----------
    config : Config
        The folder.
    tracks : Tracks, optional
        The catalogue, which knows the names; without it nothing has one.
    """

    def __init__(self, config: Config, tracks: Tracks | None) -> None:
        self._root = Path(config.repeats.folder)
        self._tracks = tracks
        self._lock = threading.Lock()
        self._read: dict[Path, _Read] = {}

    def part(self, *, music: bool, named: bool, offset: int, limit: int) -> JsonObject:
        """Return a part of the list, those that were played most often first; for any thread.

        Parameters
        ----------
        music : bool
            Whether speech and other sounds are left out.
        named : bool
            Whether those are listed that have a name, instead of the others.
        offset, limit : int >= 0
            Clusters before the part, and the maximum number in it.
        """
        found = [
            (station, folder, each)
            for station, folder in self._stations()
            for each in self._clusters(station, folder).clusters
            if not music or each.label in _MUSIC
        ]
        ids = {each.id for _, _, each in found}
        titles = {} if self._tracks is None else self._tracks.titles(ids)
        chosen = [one for one in found if (one[2].id in titles) == named]
        chosen.sort(key=lambda one: (-len(one[2].occurrences), one[2].id, one[1]))
        return {
            "found": len(chosen),
            "total": len(found),
            "offset": offset,
            "pieces": [
                self._fields(station, folder, each, titles.get(each.id, ""))
                for station, folder, each in chosen[offset : offset + limit]
            ],
        }

    def clip(self, folder: str, cluster: str) -> Path | None:
        """Return the file with the sound of a cluster, None where there is none."""
        from fingerprint.repeats.store import CLIPS

        its = self._folder(folder)
        if its is None or not _CLUSTER.fullmatch(cluster):
            return None
        path = its / CLIPS / f"{cluster}.wav"
        return path if path.is_file() and not path.is_symlink() else None

    async def name(
        self, folder: str, cluster: str, title: str, artist: str, kind: str
    ) -> JsonObject:
        """Make a cluster a track of the catalogue; return the track.

        Raises
        ------
        Refused
            There is none, it has a name already, it is too short, or another process writes now.
        """
        from fingerprint.repeats.naming import Stored, add_to
        from fingerprint.repeats.store import Store

        if self._tracks is None:
            raise Refused("identify.catalogue is empty: there is no catalogue to name it in", 501)
        found = await asyncio.to_thread(self._find, folder, cluster)
        if found is None:
            raise Refused(f"{cluster}: there is no such piece (any more); look at the list", 404)
        station, its, known = found

        def add(opened: Catalogue) -> Track:
            return add_to(opened, Stored(station, Store(its), known), title, artist, kind)

        return shown(await self._tracks.change(add, create=True))

    def _stations(self) -> list[tuple[str, Path]]:
        from fingerprint.repeats.store import stations_in

        return stations_in(self._root) if self._root.is_dir() else []

    def _folder(self, name: str) -> Path | None:
        """Return the folder with a name, if it is that of a station: it leads nowhere else."""
        return next((path for _, path in self._stations() if path.name == name), None)

    def _find(self, folder: str, cluster: str) -> tuple[str, Path, Cluster] | None:
        for station, path in self._stations():
            if path.name == folder:
                for each in self._clusters(station, path).clusters:
                    if each.id == cluster:
                        return station, path, each
        return None

    def _clusters(self, station: str, folder: Path) -> _Read:
        from fingerprint.repeats.clusters import clusters_of
        from fingerprint.repeats.recordings import read_recordings
        from fingerprint.repeats.store import RUNS, read_runs

        with self._lock:
            try:
                about = (folder / RUNS).stat()
            except OSError:  # it was deleted meanwhile
                return _Read((0, 0), [], [])
            state = about.st_mtime_ns, about.st_size
            known = self._read.get(folder)
            if known is None or known.state != state:
                clusters = clusters_of(station, read_runs(folder)[0]).all()
                known = _Read(state, clusters, read_recordings(folder))
                self._read[folder] = known
            return known

    def _fields(self, station: str, folder: Path, cluster: Cluster, title: str) -> JsonObject:
        from fingerprint.repeats.kinds import guess

        recordings = self._read[folder].recordings if folder in self._read else []
        return {
            "cluster": cluster.id,
            "station": station,
            "folder": folder.name,
            "title": title,
            "guess": guess(cluster),
            "label": cluster.label,
            "length_s": round(cluster.length * HOP / SAMPLE_RATE, 2),
            "share": round(cluster.share, 3),
            "count": len(cluster.occurrences),
            "clip": self.clip(folder.name, cluster.id) is not None,
            "occurrences": [
                _place(each, recordings) for each in cluster.occurrences[-MAX_OCCURRENCES:]
            ],
        }


def _place(each: Occurrence, recordings: list[Recording]) -> JsonObject:
    """Return when an occurrence was, or where in which recording."""
    from fingerprint.repeats.kinds import LIVE_S
    from fingerprint.repeats.recordings import place_of

    place = place_of(recordings, each.start)
    first = each.start - (place.start if place else 0)
    last = each.end - (place.start if place else 0)
    return {
        "start_ms": round(max(first, 0) * HOP * 1000 / SAMPLE_RATE),
        "end_ms": round(max(last, 0) * HOP * 1000 / SAMPLE_RATE),
        "dated": place is None and each.start * HOP / SAMPLE_RATE >= LIVE_S,
        "file": Path(place.path).name if place else "",
        "label": each.label,
    }
