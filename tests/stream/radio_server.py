"""A web radio for tests: one programme, on air in real time, served as a real station's is."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tests.stream.media import encode
from tests.stream.web_server import Request

RATE = 22_050


def programme(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """Return audio that is nowhere like itself: noise with a slow, wild loudness."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE)
    noise = np.convolve(rng.standard_normal(n), np.ones(12) / 12, "same")
    level = np.interp(np.arange(n) / RATE, np.arange(0, seconds + 1, 0.5), rng.uniform(
        0.1, 1.0, len(np.arange(0, seconds + 1, 0.5))
    ))  # fmt: skip
    return (0.5 * level * noise / np.abs(noise).max()).astype(np.float32)


def as_mp3(samples: NDArray[np.float32]) -> bytes:
    data = io.BytesIO()
    options = {"write_xing": "0", "id3v2_version": "0"}
    encode(data, samples, RATE, "libmp3lame", format="mp3", options=options)
    return data.getvalue()


class Station:
    """A programme that is on air since `began`, as constant MP3.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), float32]
        The programme.
    burst_s : float
        What a listener is sent at once.
    before_s : float
        What of the programme was on air when the station is made.
    script : callable, optional
        Serves one listener, and ends its connection by returning. Without one, a listener is
        served until the programme is over.
    headers : dict
        Of the answer.
    """

    def __init__(
        self,
        samples: NDArray[np.float32],
        burst_s: float = 0.0,
        before_s: float = 0.0,
        script: Callable[[Listener], None] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.data = self.encoded(samples)
        self.bytes_per_s = len(self.data) * RATE / len(samples)
        self.burst_s = burst_s
        self.began = time.time() - before_s
        self.script = script or (lambda listener: listener.play(1e9))
        self.headers = headers if headers is not None else {"icy_name": "Radio"}
        self.visits = 0
        self._lock = threading.Lock()

    def encoded(self, samples: NDArray[np.float32]) -> bytes:
        """Return the programme as a stream that can be met anywhere."""
        return as_mp3(samples)

    def on_air(self) -> int:
        """Return how many bytes of the programme have been on air."""
        return min(int((time.time() - self.began) * self.bytes_per_s), len(self.data))

    def __call__(self, request: Request) -> None:
        with self._lock:
            self.visits += 1
            visit = self.visits
        request.head(Content_Type="audio/mpeg", **self.headers)
        start = max(self.on_air() - int(self.burst_s * self.bytes_per_s), 0)
        self.script(Listener(self, request, visit, start))


class AacStation(Station):
    """Sends ADTS."""

    def encoded(self, samples: NDArray[np.float32]) -> bytes:
        data = io.BytesIO()
        encode(data, samples, RATE, "aac", format="adts")
        return data.getvalue()


class OggStation(Station):
    """Sends FLAC in Ogg: its headers first, and then the pages that are on air, for 3 s."""

    def encoded(self, samples: NDArray[np.float32]) -> bytes:
        data = io.BytesIO()
        encode(data, samples, RATE, "flac", format="ogg")
        pages = [b"OggS" + page for page in data.getvalue().split(b"OggS")[1:]]
        ends = [int.from_bytes(page[6:14], "little", signed=True) / RATE for page in pages]
        self.pages = list(zip(ends, pages, strict=True))
        return data.getvalue()

    def __call__(self, request: Request) -> None:
        self.visits += 1
        request.head(Content_Type="application/ogg", **self.headers)
        for end_s, page in self.pages:
            if end_s <= 0:
                request.wfile.write(page)
        sent_s, until = time.time() - self.began - self.burst_s, time.time() + 3.0
        while time.time() < until:
            now_s = time.time() - self.began
            for end_s, page in self.pages:
                if sent_s < end_s <= now_s:
                    request.wfile.write(page)
            sent_s = now_s
            time.sleep(0.1)


class Listener:
    def __init__(self, station: Station, request: Request, visit: int, at: int) -> None:
        self.station = station
        self.request = request
        self.visit = visit
        self.at = at

    def send(self) -> None:
        """Send all that has been on air."""
        end = self.station.on_air()
        self.request.wfile.write(self.station.data[self.at : end])
        self.at = end

    def play(self, seconds: float, every_s: float = 0.1) -> None:
        end = time.time() + seconds
        while time.time() < end and self.at < len(self.station.data):
            self.send()
            time.sleep(every_s)

    def stall(self, seconds: float, *, lost: bool) -> None:
        time.sleep(seconds)
        if lost:
            self.at = self.station.on_air()
