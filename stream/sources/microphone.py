"""A sound card's input through PortAudio.

PortAudio calls back from its own thread, which must not wait: `BlockQueue` counts samples and puts
blocks into a bounded queue. The count jumps for blocks that do not fit, for samples that PortAudio
reports as dropped, and after pauses of the device, the process or the machine. So lost audio is a
gap and never a drift.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Protocol

import numpy as np

from airsift.errors import SourceError
from stream.audio import AudioChunk, rescale
from stream.sources.base import Source
from stream.sources.devices import find_device, load_portaudio, without_chatter
from stream.sources.settings import MicrophoneSettings
from stream.timekeeping import boot_time, slewed

if TYPE_CHECKING:
    from numpy.typing import NDArray

IDLE_S = 0.2  # maximum wait for the next batch
SILENT_S = 5.0  # a device that sends no block for this long counts as gone
REOPEN_S = 1.0  # between two attempts to open a device that is gone
# Blocks arrive late by up to a few buffers of the sound server. A block that arrives at the usual
# interval, but later than this relative to the count of samples, follows a loss.
_LATE_S = 0.25


class BlockQueue:
    """Numbers blocks of samples and queues a bounded number of them.

    Samples are counted; the clock only detects losses. After a pause a device delivers its buffer
    at once, so lateness counts only for a block that arrives at the usual interval after the
    previous one: then the buffer is empty.

    Parameters
    ----------
    station : str
        The station of the chunks.
    rate : int > 0
        Samples per second.
    blocks : int > 0
        Capacity in blocks; further blocks are dropped.
    now : callable
        Seconds on a clock that continues while the process or the machine is stopped.

    Attributes
    ----------
    overflows : int
        How often samples were lost.
    """

    def __init__(
        self, station: str, rate: int, blocks: int, now: Callable[[], float] = boot_time
    ) -> None:
        self.station = station
        self.rate = rate
        self.overflows = 0
        self._queue: Queue[AudioChunk] = Queue(blocks)
        self._now = now
        self._next = 0  # index of the next sample
        self._began: float | None = None  # Unix time of sample 0
        self._zero_s = 0.0  # time of sample 0 on the clock `now`
        self._arrived_s = 0.0  # arrival of the latest block on the clock `now`
        self._recorded_s = 0.0  # end of the latest block on the device's clock
        self._drift_s = 0.0  # the system's clock minus the count of samples
        self._reopened = False
        self._reason = "missing"  # reason of a loss before the next block

    def put(self, block: NDArray[np.float32], at_s: float, age_s: float, dropped: bool) -> None:
        """Add a block, or drop it if the queue is full. Never waits.

        Parameters
        ----------
        block : np.ndarray [shape=(n, channels), float32]
            Samples; they are copied.
        at_s : float
            Time of the first sample by the device's clock.
        age_s : float >= 0
            Seconds since then.
        dropped : bool
            Whether the device has dropped samples before these.
        """
        arrived_s, length_s = self._now(), len(block) / self.rate
        interval_s, self._arrived_s = arrived_s - self._arrived_s, arrived_s
        if self._began is None:
            self._began, self._zero_s = time.time() - age_s, arrived_s - length_s
        elif dropped:
            # The number of samples is not reported; the device's clock gives it.
            self._lose(max(round((at_s - self._recorded_s) * self.rate), 1), "overflow")
        late_s = arrived_s - length_s - self._zero_s - self._next / self.rate - self._drift_s
        if self._reopened or (late_s > _LATE_S and 0.5 < interval_s / length_s < 1.5):
            self._lose(max(round(late_s * self.rate), 0), "pause")
            self._reopened = False
        elif abs(late_s) <= _LATE_S:
            self._drift_s = slewed(self._drift_s, self._drift_s + late_s, length_s)
        start, self._next = self._next, self._next + len(block)
        self._recorded_s = at_s + length_s
        time_s = self._began + start / self.rate + self._drift_s
        chunk = AudioChunk(self.station, start, block.copy(), self.rate, time_s, self._reason)
        try:
            self._queue.put_nowait(chunk)
        except Full:
            self._lose(0, "overflow")
        else:
            self._reason = "missing"

    def reopen(self, rate: int) -> None:
        """Continue with a reopened device; the time since the last block is a loss.

        Parameters
        ----------
        rate : int > 0
            Samples per second from here on.
        """
        self._next, self.rate = rescale(self._next, self.rate, rate), rate
        self._reopened = self._began is not None

    def read(self, timeout_s: float) -> list[AudioChunk]:
        """Return all queued blocks; wait at most `timeout_s` for the first."""
        chunks: list[AudioChunk] = []
        try:
            chunks.append(self._queue.get(timeout=timeout_s))
            while True:
                chunks.append(self._queue.get_nowait())
        except Empty:
            return chunks

    @property
    def queued(self) -> int:
        """Blocks in the queue."""
        return self._queue.qsize()

    def _lose(self, samples: int, reason: str) -> None:
        self._next += samples
        self._reason = reason
        self.overflows += 1


class _InputStream(Protocol):
    """What is used of sounddevice's class of this name."""

    def start(self) -> None: ...
    def close(self, ignore_errors: bool = True) -> None: ...


class _Times(Protocol):
    """PortAudio's clock in s: now, and when the block's first sample was recorded."""

    currentTime: float  # noqa: N815
    inputBufferAdcTime: float  # noqa: N815


class _Status(Protocol):
    input_overflow: bool


class MicrophoneSource(Source):
    """One input device, until it is closed.

    Parameters
    ----------
    station : str
        The station of the chunks.
    settings : MicrophoneSettings, optional
        The device, the length of a chunk and of the queue, and for how long a device that stopped
        sending audio is reopened; by default the defaults.

    Attributes
    ----------
    name : str
        Name of the device.
    rate : int
        Samples per second: the device's default.
    is_absent : bool
        Whether the device sends nothing and is opened again and again.

    Raises
    ------
    SourceError
        PortAudio or the device is missing, or the device sends no audio for
        `microphone.absent_s`.
    """

    live = True

    def __init__(
        self,
        station: str = "microphone",
        settings: MicrophoneSettings | None = None,
    ) -> None:
        self._closed = False
        self.is_absent = False
        self._settings = settings or MicrophoneSettings.default()
        with without_chatter():
            self._stream: _InputStream | None = self._open()
        queue_blocks = round(self._settings.queue_s * 1000 / self._settings.block_ms)
        self._blocks = BlockQueue(station, self.rate, max(queue_blocks, 1))

    @property
    def overflows(self) -> int:
        """How often samples were lost."""
        return self._blocks.overflows

    @property
    def queued(self) -> int:
        """Blocks in the queue."""
        return self._blocks.queued

    @property
    def waits_for(self) -> frozenset[str]:
        """The device, while it is absent."""
        return frozenset({f"microphone {self.name}"} if self.is_absent else ())

    def __iter__(self) -> Iterator[list[AudioChunk]]:
        self._start()
        silent_s = 0.0
        looked = time.monotonic()
        while not self._closed:
            chunks = self._blocks.read(IDLE_S)
            before, looked = looked, time.monotonic()
            # If the process was suspended, only the time in which it ran counts as silence.
            silent_s = 0.0 if chunks else silent_s + min(looked - before, 2 * IDLE_S)
            yield chunks
            if silent_s > SILENT_S:
                self.is_absent = True
                yield from self._wait_for_device()
                self.is_absent = False
                silent_s, looked = 0.0, time.monotonic()

    def close(self) -> None:
        """Stop the device."""
        if not self._closed:
            self._closed = True
            self._stop()

    def _open(self) -> _InputStream:
        """Return a stream of the device, not started; sets `name` and `rate`."""
        sounddevice = load_portaudio()
        info = find_device(sounddevice, self._settings.device)
        self.name = str(info["name"])
        self.rate = round(info["default_samplerate"])
        try:
            opened: _InputStream = sounddevice.InputStream(
                device=info["index"],
                samplerate=self.rate,
                channels=min(info["max_input_channels"], 2),
                dtype="float32",
                blocksize=max(self.rate * self._settings.block_ms // 1000, 1),
                callback=self._receive,
            )
        except sounddevice.PortAudioError as error:
            raise SourceError(
                f"microphone {self.name}: does not open ({error}); close what else uses it, "
                "or name another input"
            ) from error
        return opened

    def _wait_for_device(self) -> Iterator[list[AudioChunk]]:
        """Reopen the device until it sends audio; yield empty batches meanwhile."""
        absent_s, name = SILENT_S, self.name
        while absent_s < self._settings.absent_s:
            wait_s = REOPEN_S
            with suppress(SourceError), without_chatter():
                self._reopen()
                wait_s = SILENT_S  # a sound server may delay the first block
            for _ in range(round(wait_s / IDLE_S)):
                if self._closed or self._blocks.queued:
                    return
                time.sleep(IDLE_S)
                yield []
            absent_s += wait_s
        raise SourceError(
            f"microphone {name}: has given no audio for {absent_s:.0f} s; check that it is plugged "
            "in, name another input, or raise microphone.absent_s"
        )

    def _reopen(self) -> None:
        self._stop()
        sounddevice = load_portaudio()
        # PortAudio looks for devices once, when it is initialised.
        sounddevice._terminate()
        sounddevice._initialize()
        self._stream = self._open()
        self._blocks.reopen(self.rate)
        self._start()

    def _start(self) -> None:
        assert self._stream is not None
        try:
            self._stream.start()
        except load_portaudio().PortAudioError as error:
            raise SourceError(
                f"microphone {self.name}: does not start ({error}); check that it is plugged in, "
                "or name another input"
            ) from error

    def _stop(self) -> None:
        if self._stream is not None:
            self._stream.close(ignore_errors=True)
            self._stream = None

    def _receive(
        self, block: NDArray[np.float32], frames: int, times: _Times, status: _Status
    ) -> None:
        """Receive a block of shape [frames, channels] in PortAudio's thread."""
        at_s = times.inputBufferAdcTime
        self._blocks.put(block, at_s, max(times.currentTime - at_s, 0.0), status.input_overflow)
