"""A matcher that knows one track: audio whose samples count up."""

from __future__ import annotations

import numpy as np

from fingerprint.analysis.landmarks import Landmarks
from fingerprint.matching.matcher import TrackMatch
from fingerprint.settings import HOP
from stream.stages.query_times import IdentifySettings

S = 16000
TIMES = IdentifySettings(
    first=6 * S, interval=5 * S, query=10 * S, shortest=3 * S, tolerance=8000,
    warp_every_n_queries=1, max_query=30 * S, other_interval=10 * S,
    short_interval=3 * S // 2, short_query=6 * S, warp_first=8 * S,
)  # fmt: skip


class SampleMatcher:
    """Knows track "t": audio whose sample values count up, one a sample."""

    def __init__(self, least=2 * S):
        self.least = least
        self.queries = []

    def extract(self, samples):
        every = np.arange(0, len(samples), HOP)
        loud = every[samples[every] > 0]
        # Hops into the track, in eighths of a bin: a snapshot keeps that, for up to 8 minutes.
        hops = (samples[loud].astype(np.int64) - 1) // HOP
        return Landmarks(
            loud, (hops / 8).astype(np.float32), np.zeros(len(loud), np.int16), 0, len(samples)
        )

    def match(self, landmarks):
        self.queries.append((landmarks.start, landmarks.end))
        if len(landmarks) < self.least // HOP:
            return []
        first, last = int(landmarks.time[0]), int(landmarks.time[-1]) + HOP
        place = round(8 * float(landmarks.bin[0])) * HOP
        return [TrackMatch("t", "Title", "Artist", first, last, place, 9.0)]
