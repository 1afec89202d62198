"""What is known of the episodes of a series: a folder that grows by each new episode.

It is the folder of `airsift repeats`, with what was found in each episode::

    STORE/SERIES/
      *.peaks, runs.jsonl, recordings.json, clips/    see `fingerprint.repeats.store`
      episodes/AUDIO.json    segments and songs of an episode, by the hash of its encoded audio
      files.json             that hash for each file, as long as its size and time stay the same

An episode is read once. It is known by its encoded audio, so it may be moved, and may get other
tags and chapters. `recordings.json` is written last: what a run that broke off has stored behind it
is cut off again. Episodes that are read one by one, in any number of runs, give the same as all at
once in the same order.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from airsift.api.results import Match, Segment, Segments, result_of
from airsift.errors import AirsiftError, CatalogueError
from airsift.files import write_whole
from airsift.podcasts.chapters import Chapter, Repeat, chapters_of
from fingerprint.repeats.clusters import clusters_of
from fingerprint.repeats.kinds import guess
from fingerprint.repeats.naming import key_of
from fingerprint.repeats.recordings import place_of, read_recordings
from fingerprint.repeats.store import Store, folder_of
from fingerprint.settings import HOP, SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from airsift.podcasts.settings import PodcastSettings
    from fingerprint.catalogue import Catalogue
    from fingerprint.repeats.clusters import Cluster
    from fingerprint.repeats.recordings import Recording
    from stream.pipeline import Pipeline
    from stream.runner import Stop

# From an episode's begin or end, within which openings and closings lie; and part of the episode.
_EDGE_S, _EDGE_SHARE = 90.0, 0.1
_MAX_OPENING_S = 120.0
_MOST = 0.8  # of the episodes have the opening of their series
_NAMED = key_of("")  # with this, the key of a repeat in the catalogue begins


@dataclass(frozen=True, slots=True)
class Returning:
    """What comes back in a series.

    Parameters
    ----------
    cluster : Cluster
        Its occurrences, on the axis of all recordings.
    kind : str
        What it is: as it was named, or a guess.
    title : str
        Its name; empty where it has none.
    episodes : int
        How many episodes have it.
    """

    cluster: Cluster
    kind: str
    title: str
    episodes: int


class Series:
    """The episodes of a series, as far as they were read.

    Parameters
    ----------
    name : str
        Name of the series: its folder's path, or its feed's address.
    root : Path
        Folder of all series.
    """

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.store = Store(folder_of(root, name))
        self.recordings = read_recordings(self.store.folder)
        self._files = _read_object(self.store.folder / "files.json")

    def add(
        self,
        paths: Sequence[Path],
        make_pipeline: Callable[[], Pipeline],
        *,
        clip_s: float = 0.0,
        stop: Stop | None = None,
        complain: Callable[[str], object] = lambda _: None,
        advance: Callable[[str], object] = lambda _: None,
    ) -> list[Path]:
        """Read the episodes that are not known yet; return those that cannot be read.

        Parameters
        ----------
        paths : sequence of Path
            Episodes, in the order in which they appeared.
        make_pipeline : callable
            Makes what labels and identifies; it is called if there is anything new.
        clip_s : float >= 0
            Maximum seconds of the clips of what comes back; 0 for none.
        stop : Stop, optional
            Ends it; an episode that is not read to its end is as if it had not been begun.
        complain : callable
            Takes a line for each episode that is damaged, or cannot be read.
        advance : callable
            Is called with the name of each episode before it is read.

        Raises
        ------
        CatalogueError
            Another airsift is reading episodes of this series.
        """
        from stream.repeats_of_files import RecordingSearch

        self.store.folder.mkdir(parents=True, exist_ok=True)
        failed: list[Path] = []
        with self._alone():
            search: RecordingSearch | None = None
            known = {each.audio for each in self.recordings}
            for path in paths:
                if stop is not None and stop.requested:
                    break
                advance(path.name)
                warnings: list[str] = []
                try:
                    audio = self._audio_of(path)
                    if audio in known:
                        continue
                    if search is None:
                        search = RecordingSearch(
                            self.name, self.store, make_pipeline(), self.recordings
                        )
                    before = len(search.recordings)
                    events = search.add(path, warnings, audio, lambda _: _check(stop))
                    if len(search.recordings) == before:
                        raise CatalogueError(f"{path}: has less than 1 s of audio; leave it out")
                    last = search.recordings[-1]
                    found = [each for event in events if (each := result_of(event)) is not None]
                    self._store(last, found, warnings)
                    search.finish(0.0)
                    self.recordings = search.recordings
                    known.add(audio)
                except _Stopped:
                    break
                except (AirsiftError, OSError) as error:
                    failed.append(path)
                    message = str(error)
                    if isinstance(error, OSError) and error.strerror:
                        message = f"cannot be read ({error.strerror}); check that it is there"
                    warnings.append(message if str(path) in message else f"{path}: {message}")
                for warning in warnings:
                    complain(warning)
            if search is not None and clip_s:
                search.finish(clip_s)
            write_whole(self.store.folder / "files.json", json.dumps(self._files).encode())
        return failed

    def returning(self, catalogue: Catalogue | None = None) -> list[Returning]:
        """Return what comes back, in order of its first occurrence.

        Parameters
        ----------
        catalogue : Catalogue, optional
            Has the names that were given.
        """
        found = []
        for cluster in clusters_of(self.name, self.store.runs()).all():
            kind, title = named_in(catalogue, key_of(cluster.id))
            episodes = {
                place.start
                for each in cluster.occurrences
                if (place := place_of(self.recordings, each.start)) is not None
            }
            kind = kind or kind_of(cluster, self.recordings)
            found.append(Returning(cluster, kind, title, len(episodes)))
        return found

    def episode(self, path: Path) -> Segments:
        """Return segments and songs of an episode that was read.

        Raises
        ------
        CatalogueError
            It was not.
        """
        audio = self._audio_of(path)
        values = _read_object(self._episode_path(audio))
        try:
            return Segments(
                [Segment(**each) for each in values["segments"]],
                name=str(path),
                duration_s=float(values["duration_s"]),
                matches=[Match(**each) for each in values["matches"]],
                warnings=[str(each) for each in values["warnings"]],
            )
        except (KeyError, TypeError, ValueError):
            raise CatalogueError(
                f"{path}: is no episode that {self.store.folder} knows; it is read with "
                "`airsift chapters --series`"
            ) from None

    def repeats(self, path: Path, returning: Sequence[Returning]) -> list[Repeat]:
        """Return what of an episode comes back elsewhere, in order of time."""
        audio = self._audio_of(path)
        number = next((n for n, each in enumerate(self.recordings) if each.audio == audio), None)
        if number is None:
            return []
        place = self.recordings[number]
        after = self.recordings[number - 1].end if number else -math.inf  # borders may lie before 0
        found = []
        for each in returning:
            for occurrence in each.cluster.occurrences:
                if not after <= occurrence.start < place.end:
                    continue
                start, end = (
                    round(max(frame - place.start, 0) * HOP / SAMPLE_RATE, 3)
                    for frame in (occurrence.start, occurrence.end)
                )
                track = key_of(each.cluster.id) if each.title else None
                found.append(Repeat(start, end, each.kind, each.title, track))
        return sorted(found, key=lambda repeat: (repeat.start_s, repeat.end_s))

    def chapters(
        self,
        path: Path,
        settings: PodcastSettings,
        catalogue: Catalogue | None = None,
        returning: Sequence[Returning] | None = None,
    ) -> list[Chapter]:
        """Return the chapters of an episode that was read.

        Parameters
        ----------
        path : Path
            The episode.
        settings : PodcastSettings
            The shortest chapter, and the shortest music.
        catalogue : Catalogue, optional
            Has the names that were given.
        returning : sequence of Returning, optional
            What `returning` returns for it, where it is known: for many episodes.

        Raises
        ------
        CatalogueError
            It was not.
        """
        known = self.episode(path)
        if returning is None:
            returning = self.returning(catalogue)
        repeats = self.repeats(path, returning)
        songs = []
        for match in known.matches:
            if not match.track.startswith(_NAMED):
                songs.append(match)
                continue
            kind, title = named_in(catalogue, match.track)
            title = title or match.title or ""
            repeats.append(Repeat(match.start_s, match.end_s, kind or "jingle", title, match.track))
        return chapters_of(
            known,
            songs,
            repeats,
            known.duration_s,
            min_s=settings.min_chapter_s,
            min_music_s=settings.min_music_s,
        )

    def _store(
        self, recording: Recording, found: list[Segment | Match], warnings: list[str]
    ) -> None:
        values = {
            "duration_s": round((recording.end - recording.start) * HOP / SAMPLE_RATE, 3),
            "segments": [asdict(each) for each in found if isinstance(each, Segment)],
            "matches": [asdict(each) for each in found if isinstance(each, Match)],
            "warnings": warnings,
        }
        path = self._episode_path(recording.audio)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(values).encode())

    def _episode_path(self, audio: str) -> Path:
        return self.store.folder / "episodes" / f"{audio}.json"

    def _audio_of(self, path: Path) -> str:
        """Return the hash of a file's audio; the file is read only if it may have changed."""
        status = path.stat()
        key, mark = str(path.absolute()), [status.st_size, status.st_mtime_ns]
        known = self._files.get(key)
        if isinstance(known, list) and known[:2] == mark and isinstance(known[2], str):
            return known[2]
        audio = audio_hash(path)
        self._files[key] = [*mark, audio]
        return audio

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.store.folder / "lock").open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CatalogueError(
                    f"{self.store.folder}: another airsift is reading episodes of {self.name}; "
                    "wait for it, or give another --store"
                ) from None
            yield  # the lock ends with the file


class _Stopped(Exception):
    """The user wants to end."""


def _check(stop: Stop | None) -> None:
    if stop is not None and stop.requested:
        raise _Stopped


def kind_of(cluster: Cluster, recordings: Sequence[Recording]) -> str:
    """Return what a cluster may be, by where it lies in the episodes.

    What most episodes have once, all at their begin or all at their end, is the series' own.
    Otherwise it is what it may be on a station.
    """
    places = [place_of(recordings, each.start) for each in cluster.occurrences]
    inside = [place for place in places if place is not None]
    episodes = {place.start for place in inside}
    seconds = cluster.length * HOP / SAMPLE_RATE
    often = len(episodes) >= max(2, _MOST * len(recordings))
    if often and len(episodes) == len(places) and seconds <= _MAX_OPENING_S:
        pairs = list(zip(cluster.occurrences, inside, strict=True))
        if all(each.start - place.start <= _edge(place) for each, place in pairs):
            return "opening"
        if all(place.end - each.end <= _edge(place) for each, place in pairs):
            return "closing"
    return guess(cluster)


def _edge(place: Recording) -> float:
    return min(_EDGE_S * SAMPLE_RATE / HOP, _EDGE_SHARE * (place.end - place.start))


def named_in(catalogue: Catalogue | None, key: str) -> tuple[str, str]:
    """Return kind and title under which a catalogue knows a repeat; empty where it does not."""
    track = catalogue.named(key) if catalogue is not None else None
    if track is None:
        return "", ""
    return str(track.extra.get("kind") or ""), track.title


def audio_hash(path: Path) -> str:
    """Return a hash of the encoded audio of a file, which tags are no part of.

    Raises
    ------
    AirsiftError
        It is no audio.
    """
    import av.error

    from stream.decoding.container import open_container

    digest = hashlib.sha256()
    with open_container(path, str(path), {}, None) as container:
        try:
            for packet in container.demux(audio=0):
                digest.update(bytes(packet))
        except (av.error.FFmpegError, IndexError):  # damaged: what can be read tells it as well
            digest.update(b"damaged")
    return digest.hexdigest()[:32]


def _read_object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
