"""A sound card's input through PortAudio.

PortAudio calls back from a thread of its own, which must not wait: `Intake` counts samples and
puts blocks into a bounded queue. What does not fit, and what PortAudio says it dropped itself,
makes the count jump, so that lost audio is a gap and never a drift.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Any

import numpy as np

from airsift.errors import SourceError
from stream.audio import AudioChunk
from stream.sources import Batch

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

IDLE_S = 0.2  # an iterating caller never waits longer
SILENT_S = 5.0  # without a single block, a device is taken for dead


class Intake:
    """Numbers blocks of samples and holds a bounded number of them.

    Parameters
    ----------
    station : str
        The station of the chunks.
    rate : int > 0
        Samples per second.
    blocks : int > 0
        Blocks held; more are lost.

    Attributes
    ----------
    overflows : int
        How often samples were lost.
    """

    def __init__(self, station: str, rate: int, blocks: int) -> None:
        self.station = station
        self.rate = rate
        self.overflows = 0
        self._queue: Queue[AudioChunk] = Queue(blocks)
        self._next = 0  # index of the next sample
        self._began: float | None = None  # Unix time of sample 0
        self._last_s = 0.0  # when the latest block ended, by the device's clock
        self._whole = True  # nothing lost since the latest block held

    def put(self, block: NDArray[np.float32], at_s: float, age_s: float, dropped: bool) -> None:
        """Take a block, or lose it. Never waits.

        Parameters
        ----------
        block : np.ndarray [shape=(n, channels), float32]
            Samples; they are copied.
        at_s : float
            When the first of them was heard, by the device's clock.
        age_s : float >= 0
            Seconds since then.
        dropped : bool
            Whether the device has dropped samples before these.
        """
        if self._began is None:
            self._began = time.time() - age_s
        elif dropped:
            # The device does not say how many: its clock does.
            self._lose(max(round((at_s - self._last_s) * self.rate), 1))
        start, self._next = self._next, self._next + len(block)
        self._last_s = at_s + len(block) / self.rate
        samples = block.mean(axis=1, dtype=np.float32)
        reason = "missing" if self._whole else "overflow"
        time_s = self._began + start / self.rate
        try:
            self._queue.put_nowait(
                AudioChunk(self.station, start, samples, self.rate, time_s, reason)
            )
        except Full:
            self._lose(0)
        else:
            self._whole = True

    def take(self, timeout_s: float) -> list[AudioChunk]:
        """Return all blocks held; wait for one if there is none, but not for ever."""
        chunks: list[AudioChunk] = []
        try:
            chunks.append(self._queue.get(timeout=timeout_s))
            while True:
                chunks.append(self._queue.get_nowait())
        except Empty:
            return chunks

    @property
    def queued(self) -> int:
        """Blocks that wait to be taken."""
        return self._queue.qsize()

    def _lose(self, samples: int) -> None:
        self._next += samples
        self._whole = False
        self.overflows += 1


class MicrophoneSource:
    """One input device, until it is closed.

    Parameters
    ----------
    device : str or int, optional
        Number or part of the name of an input; the system's default unless told.
    station : str
        The station of the chunks.
    block_ms : int > 0
        Milliseconds in a chunk.
    queue_blocks : int > 0
        Chunks that may wait to be taken; what comes on top of them is lost.

    Attributes
    ----------
    name : str
        The device's.
    rate : int
        Samples per second: what the device likes best.

    Raises
    ------
    SourceError
        PortAudio or the device is not there, or the device stops giving audio.
    """

    resumable = False

    def __init__(
        self,
        device: str | int | None = None,
        station: str = "microphone",
        *,
        block_ms: int = 100,
        queue_blocks: int = 50,
    ) -> None:
        self._closed = False
        with _without_chatter():
            sounddevice = _load()
            info = _find(sounddevice, device)
            self.name = str(info["name"])
            self.rate = round(info["default_samplerate"])
            self._intake = Intake(station, self.rate, queue_blocks)
            try:
                self._stream = sounddevice.InputStream(
                    device=info["index"],
                    samplerate=self.rate,
                    channels=min(info["max_input_channels"], 2),
                    dtype="float32",
                    blocksize=max(self.rate * block_ms // 1000, 1),
                    callback=self._hear,
                )
            except sounddevice.PortAudioError as error:
                raise SourceError(
                    f"microphone {self.name}: does not open ({error}); close what else uses it, "
                    "or name another input"
                ) from error

    @property
    def overflows(self) -> int:
        """How often samples were lost."""
        return self._intake.overflows

    @property
    def queued(self) -> int:
        """Blocks that wait to be taken."""
        return self._intake.queued

    def __iter__(self) -> Iterator[Batch]:
        self._stream.start()
        heard_at = time.monotonic()
        while not self._closed:
            chunks = self._intake.take(IDLE_S)
            if chunks:
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at > SILENT_S:
                raise SourceError(
                    f"microphone {self.name}: has given no audio for {SILENT_S:.0f} s; check that "
                    "it is plugged in, or name another input"
                )
            yield Batch(chunks)

    def settle(self, snapshots: Mapping[str, dict[str, Any]]) -> None:
        """Do nothing: what was said is gone."""

    def close(self) -> None:
        """Stop the device."""
        if not self._closed:
            self._closed = True
            self._stream.close()

    def _hear(self, block: NDArray[np.float32], frames: int, times: Any, status: Any) -> None:
        """Take a block of shape [frames, channels] from PortAudio's thread."""
        at_s = times.inputBufferAdcTime
        self._intake.put(block, at_s, max(times.currentTime - at_s, 0.0), status.input_overflow)


def _load() -> ModuleType:
    try:
        import sounddevice
    except OSError as error:
        raise SourceError(
            f"microphone: {error}; install PortAudio (on Debian: apt install libportaudio2)"
        ) from error
    module: ModuleType = sounddevice
    return module


def _find(sounddevice: ModuleType, device: str | int | None) -> dict[str, Any]:
    """Return what PortAudio knows of an input device."""
    if isinstance(device, str) and device.isdecimal():
        device = int(device)
    try:
        info: dict[str, Any] = sounddevice.query_devices(device, "input")
    except (sounddevice.PortAudioError, ValueError) as error:
        known = sounddevice.query_devices()
        inputs = [f"{d['index']} {d['name']}" for d in known if d["max_input_channels"] > 0]
        name = "default" if device is None else device
        hint = "choose from: " + "; ".join(inputs) if inputs else "this machine has no input"
        reason = " ".join(str(error).split())
        raise SourceError(f"microphone {name}: no such input ({reason}); {hint}") from error
    return info


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Keep off the terminal what ALSA and JACK print when they look for devices."""
    terminal = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(nowhere)
