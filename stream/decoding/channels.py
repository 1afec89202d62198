"""Which weights bring the channels of audio to mono, so that no channel cancels another.

The mean over channels is right for nearly all audio, and loses what lies in opposite phase: music
that is audible from both loudspeakers is absent from the mean. So audio is divided into tiles of
0.1 s and a third of an octave. A mixture loses a tile if the mixture's power in it is less than an
eighth of the power of all channels together; panning, reverberation and microphone distance do not
explain such a difference. In ordinary stereo music the mean loses 0 to 2.5 % of the tiles of 4 s
(21 songs), at some moments 6 %; with music in opposite phase under speech that is 10 dB louder, it
loses about a fifth of them.

If many tiles are lost, the sign of a channel is changed, or a channel is left out, until few are
lost. The choice depends only on the last 4 s of audio, so that a decoder that starts 4 s earlier
makes the same choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCKS_PER_S = 10
WINDOW = 40  # blocks that a choice depends on
MAX_CHANNELS = 8  # with more, the mean is used: their tiles would cost more than the network

# Hz, the edges of the bands by which speech, music and fingerprints are recognised. Lower bands
# hold too few independent values in 0.1 s.
_EDGES_HZ = 300 * 2 ** (np.arange(13) / 3)
_RATE = 11_025  # minimum sample rate at which tiles are computed
_EDGE = 0.85  # of a block that is transformed at least: the taper leaves little of its edges
_LOST = 8.0  # power of all channels over that of the mixture, above which a tile is lost
_RANGE = 1e-4  # power of the weakest tile that counts, relative to the strongest of the window
_FLOOR = 1e-10  # mean square of a band's samples below which nothing counts
_MIN_TILES = 4  # fewer lost tiles count as none
# Share of lost tiles from which a mixture other than the mean is searched for ...
_MAX_LOST = 0.06
_RECENT, _OF_RECENT = 5, 0.3  # latest blocks whose own share counts as well, and its factor
# ... which must lose at most half as many, each change of a channel saving a quarter of them.
_WORTH = 0.5
_CHANGE_WORTH = 0.75
# Extra costs, as shares of tiles: of leaving a channel out instead of changing its sign, and of
# changing a channel other than the last. They prevent a mixture from changing at random.
_LEAVING_OUT = 0.01
_OTHERS = 0.05
_TOGETHER = 128  # windows that are counted at a time: more would not fit the cache
_TURN = 32  # blocks whose tiles are computed at a time, for the same reason


class ChannelWeights:
    """Chooses the weights of each block of one stream.

    Parameters
    ----------
    channels : int, 2 to MAX_CHANNELS
        Channels of the stream.
    rate : int > 0
        Samples per second.

    Attributes
    ----------
    block : int
        Samples in a block.
    mean : np.ndarray [shape=(channels,), float32]
        The weights of the mean. Where the mean is chosen, it is this object.
    """

    def __init__(self, channels: int, rate: int) -> None:
        self.block = max(rate // BLOCKS_PER_S, 1)
        self._step = max(rate // _RATE, 1)
        self._n = _fast_length(max(self.block // self._step, 1))
        self._at = (self.block - self._n * self._step) // 2
        # Scaled so that squares of a spectrum add up to the mean square of the samples.
        taper = np.hanning(self._n + 2)[1:-1] * np.sqrt(2) / (self._n * self._step)
        self._taper = taper.astype(np.float32)
        bands = _bands(self._n, rate / self._step)
        self._bins = slice(int(bands[0]), int(bands[-1]))
        self._edges = 2 * (bands[:-1] - bands[0])  # real and imaginary parts in turns
        self.mean = np.full(channels, 1 / channels, np.float32)
        self._pairs = [(a, b) for a in range(channels) for b in range(a, channels)]
        # Of the latest blocks, the newest last: the power of all channels together in each tile,
        # and whether the mean loses the tile; in pieces, the power of each pair of channels.
        n_bands = len(self._edges)
        self._total = np.zeros((WINDOW, n_bands), np.float32)
        self._lost = np.zeros((WINDOW, n_bands), np.bool_)
        self._power = [np.zeros((len(self._pairs), WINDOW, n_bands), np.float32)]
        self._n_power = WINDOW  # blocks in all pieces

    def push(self, blocks: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Process the next blocks; return the weights of each.

        Parameters
        ----------
        blocks : np.ndarray [shape=(channels, k, block), float32]
            Samples; zeros fill a block that is not complete. The caller ignores numpy's warnings
            of those that are not finite.

        Returns
        -------
        list of k np.ndarray [shape=(channels,), float32]
            Their absolute values add up to 1.
        """
        new = self._tiles(blocks)
        alone = [i for i, (a, b) in enumerate(self._pairs) if a == b]
        total = new[alone].sum(axis=0)
        of_mean = 2 * new.sum(axis=0) - total  # each pair of two channels counts twice
        lost = (total > _LOST * of_mean) & (total > _FLOOR)
        total, lost = np.concatenate([self._total, total]), np.concatenate([self._lost, lost])
        self._power.append(new)
        weights = [self.mean] * blocks.shape[1]
        shares = _shares(total, lost)
        needed = np.flatnonzero(shares >= _MAX_LOST).tolist()
        if needed:
            power = self._power_of_latest(len(total))
            for k in needed:
                window = slice(k + 1, k + 1 + WINDOW)
                weights[k] = self._choose(power[window], total[window], float(shares[k]))
        self._total, self._lost = total[-WINDOW:].copy(), lost[-WINDOW:].copy()
        self._forget_power(blocks.shape[1])
        return weights

    def _tiles(self, blocks: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the power of the blocks' tiles, shape [pairs, k, bands]."""
        channels, k, _ = blocks.shape
        n, step = self._n, self._step
        power = np.empty((len(self._pairs), k, len(self._edges)), np.float32)
        turn = min(k, _TURN)
        low = np.empty((channels, turn, n), np.float32)
        spectra = np.empty((channels, turn, n // 2 + 1), np.complex64)
        parts = spectra.view(np.float32)[..., 2 * self._bins.start : 2 * self._bins.stop]
        product = np.empty(parts.shape[1:], np.float32)
        for start in range(0, k, _TURN):
            some = blocks[:, start : start + _TURN, self._at : self._at + n * step]
            m = some.shape[1]
            self._lowered(some, low[:, :m])
            # Each row is transformed alone: its bits do not depend on the other rows.
            np.fft.rfft(low[:, :m], axis=2, out=spectra[:, :m])
            for pair, (a, b) in enumerate(self._pairs):
                np.multiply(parts[a, :m], parts[b, :m], out=product[:m])
                np.add.reduceat(
                    product[:m], self._edges, axis=1, out=power[pair, start : start + m]
                )
        if not np.isfinite(power.sum()):  # audio that is not finite has no tiles
            power = np.nan_to_num(power, nan=0.0, posinf=0.0, neginf=0.0)
        return power

    def _lowered(self, blocks: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """Write the sums of each `step` samples, tapered."""
        step = self._step
        if step % 2:
            parts = [blocks[..., i::step] for i in range(step)]
        else:  # sums of neighbours, all at once: numpy adds what lies together four times as fast
            pairs = blocks[..., :-1] + blocks[..., 1:]
            parts = [pairs[..., i::step] for i in range(0, step, 2)]
        if len(parts) == 1:
            np.multiply(parts[0], self._taper, out=out)
            return
        np.add(parts[0], parts[1], out=out)
        for part in parts[2:]:
            out += part
        out *= self._taper

    def _power_of_latest(self, n: int) -> NDArray[np.float32]:
        """Return the power of the `n` latest blocks, shape [n, bands, channels, channels]."""
        power = np.concatenate(self._power, axis=1)[:, -n:]
        channels = len(self.mean)
        square = np.empty((*power.shape[1:], channels, channels), np.float32)
        for each, (a, b) in zip(power, self._pairs, strict=True):
            square[..., a, b] = square[..., b, a] = each
        return square

    def _forget_power(self, new: int) -> None:
        """Drop what is older than the window of the next block, after `new` blocks."""
        if new >= WINDOW:
            self._power, self._n_power = [self._power[-1][:, -WINDOW:].copy()], WINDOW
            return
        self._n_power += new
        while self._n_power - self._power[0].shape[1] >= WINDOW:
            self._n_power -= self._power.pop(0).shape[1]

    def _choose(
        self, power: NDArray[np.float32], total: NDArray[np.float32], of_mean: float
    ) -> NDArray[np.float32]:
        """Return the weights of a block, from the tiles of its window and the mean's share."""
        counts = total > max(_RANGE * total.max(), _FLOOR)
        recent = np.zeros_like(counts)
        recent[-_RECENT:] = True
        tiles = _Tiles(power[counts].astype(np.float64), total[counts], recent[counts])
        best, share = np.ones(len(self.mean)), of_mean
        while share >= _MAX_LOST:
            options = [(tiles.lost(option), cost, option) for option, cost in _changes(best)]
            options = [option for option in options if option[0] <= _CHANGE_WORTH * share]
            if not options:
                break
            share, _, best = min(options, key=lambda option: option[0] + option[1])
        if best.min() == 1 or share > _WORTH * of_mean:
            return self.mean
        weights: NDArray[np.float32] = (best / np.abs(best).sum()).astype(np.float32)
        return weights


class _Tiles(NamedTuple):
    """The tiles that count: `power` [n, channels, channels], `total` [n], `recent` [n]."""

    power: NDArray[np.float64]
    total: NDArray[np.float32]
    recent: NDArray[np.bool_]

    def lost(self, weights: NDArray[np.float64]) -> float:
        """Return the share of tiles that a mixture loses: of all or, scaled, of the latest."""
        lost = self.total > _LOST * np.einsum("c,ncd,d->n", weights, self.power, weights)
        return max(_share(lost), _OF_RECENT * _share(lost[self.recent]))


def _share(lost: NDArray[np.bool_]) -> float:
    count = int(lost.sum())
    return count / len(lost) if count >= _MIN_TILES else 0.0


def _shares(total: NDArray[np.float32], lost: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of tiles lost by each block's window, after the first `WINDOW` blocks."""
    shares = np.zeros(len(total) - WINDOW)
    counts = lost.sum(axis=1).cumsum()
    # How many tiles are lost in each window, at most: few in much of all audio.
    may_lose = np.flatnonzero(counts[WINDOW:] - counts[:-WINDOW] >= _MIN_TILES)
    for a in range(0, len(may_lose), _TOGETHER):
        some = may_lose[a : a + _TOGETHER]
        rows = some[:, None] + np.arange(1, WINDOW + 1)
        totals = total[rows]
        count = totals > np.maximum(_RANGE * totals.max(axis=(1, 2), keepdims=True), _FLOOR)
        gone = lost[rows] & count
        recent = _share_of_each(gone[:, -_RECENT:], count[:, -_RECENT:])
        shares[some] = np.maximum(_share_of_each(gone, count), _OF_RECENT * recent)
    return shares


def _share_of_each(lost: NDArray[np.bool_], count: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return `_share` of each window, of the tiles that count."""
    n, of = lost.sum(axis=(1, 2)), count.sum(axis=(1, 2))
    share: NDArray[np.float64] = np.where(n >= _MIN_TILES, n, 0) / np.maximum(of, 1)
    return share


def _changes(weights: NDArray[np.float64]) -> list[tuple[NDArray[np.float64], float]]:
    """Return mixtures that differ in one channel, and the cost of each."""
    channels = np.flatnonzero(weights == 1).tolist()
    if len(channels) == 1:
        return []
    changed = []
    for weight, of_all in ((-1.0, 0.0), (0.0, _LEAVING_OUT)):
        for channel in channels:
            option = weights.copy()
            option[channel] = weight
            changed.append((option, of_all + _OTHERS * (channel != channels[-1])))
    return changed


def _fast_length(n: int) -> int:
    """Return the length, at most `n`, that is transformed fastest and leaves out little."""
    lengths = (odd << k for odd in (1, 3, 5, 9) for k in range(20))
    fit = [length for length in lengths if length <= n]
    return next((length for length in fit if length >= _EDGE * n), max(fit))


def _bands(n: int, rate: float) -> NDArray[np.intp]:
    """Return the first bin of each band of a spectrum of `n` samples, and the end of the last."""
    edges = np.unique(np.searchsorted(np.fft.rfftfreq(n, 1 / rate), _EDGES_HZ))
    edges = edges[edges <= n // 2]
    return edges if len(edges) > 1 else np.array([0, n // 2])
