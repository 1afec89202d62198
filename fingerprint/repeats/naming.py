"""A cluster becomes a track of the catalogue: by its stored peaks, without the recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from airsift.errors import CatalogueError
from fingerprint.analysis.landmarks import Landmarks
from fingerprint.repeats.clusters import Cluster, clusters_of
from fingerprint.repeats.kinds import guess
from fingerprint.repeats.store import Store, stations_in
from fingerprint.settings import HOP, MIN_TRACK_S, SAMPLE_RATE
from fingerprint.track import Track

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fingerprint.catalogue import Catalogue
    from fingerprint.repeats.alignment import Peaks
    from fingerprint.repeats.clusters import Span

_MIN_PEAKS = 20


@dataclass(frozen=True, slots=True)
class Stored:
    """A cluster in the folder of its station."""

    station: str
    store: Store
    cluster: Cluster


def key_of(cluster: str) -> str:
    """Return the key in the catalogue of a cluster that was named."""
    return f"repeat-{cluster}"


def title_in(catalogue: Catalogue) -> Callable[[str], str]:
    """Return a function from a cluster to the title under which the catalogue knows it."""

    def title_of(cluster: str) -> str:
        catalogue.refresh()
        track = catalogue.named(key_of(cluster))
        return "" if track is None else track.title

    return title_of


def find_cluster(root: Path, cluster: str) -> Stored:
    """Return a stored cluster by its id.

    Raises
    ------
    CatalogueError
        There is none.
    """
    for station, folder in stations_in(root):
        store = Store(folder)
        for each in clusters_of(station, store.runs()).all():
            if each.id == cluster:
                return Stored(station, store, each)
    raise CatalogueError(
        f"{cluster}: nothing that is stored in {root} has this id; `airsift repeats`, with "
        "--series or --station, prints the ids"
    )


def add_to(catalogue: Catalogue, stored: Stored, title: str, artist: str, kind: str) -> Track:
    """Add a cluster to a catalogue; return the track.

    The track has the peaks of the occurrence that has most of them within the common borders: it is
    the least covered by voices.

    Raises
    ------
    CatalogueError
        Its peaks are older than the window, it is too short, or it was named before.
    """
    spans = [(each.start, each.end) for each in stored.cluster.occurrences]
    peaks = [stored.store.peaks(*span) for span in spans]
    best = max(range(len(spans)), key=lambda n: (_agreeing(peaks, spans, n), n))
    (start, end), (frame, bin_) = spans[best], peaks[best]
    if len(frame) < _MIN_PEAKS or (end - start) * HOP < (MIN_TRACK_S - 0.5) * SAMPLE_RATE:
        raise CatalogueError(
            f"{stored.cluster.id}: has {len(frame)} peaks in the stored days and "
            f"{(end - start) * HOP / SAMPLE_RATE:.1f} s; name a longer one, or one that was played "
            "within repeats.days"
        )
    landmarks = Landmarks(
        (frame - start) * HOP,
        bin_.astype(np.float32),
        np.zeros(len(frame), np.int16),
        0,
        (end - start) * HOP,
    )
    kind = kind or guess(stored.cluster)
    track = Track(
        key_of(stored.cluster.id), title, artist, extra={"kind": kind, "station": stored.station}
    )
    return catalogue.add_landmarks(landmarks, track)


def _agreeing(peaks: list[Peaks], spans: list[Span], number: int) -> int:
    """Return how many peaks of an occurrence the others have too, within a frame."""
    frame, bin_ = peaks[number]
    here = (frame - spans[number][0]) * 256 + bin_
    total = 0
    for other, span in zip(peaks, spans, strict=True):
        there = (other[0] - span[0]) * 256 + other[1]
        near = np.concatenate([there - 256, there, there + 256])
        total += int(np.isin(here, near).sum())
    return total
