"""Training windows made of columns: layers with their own level, band, pitch and place.

A window has up to three layers. Magnitudes add as powers, which is what independent sounds do
on average. Labels follow from the layers: it is known of every column what is heard in it. A
window's target is the share of it in which a label is heard, weighted by a Hann taper, so that
pure windows are 0 or 1 and the target crosses one half when a boundary passes the centre.

Every layer, of whatever class, draws equalisation, band limits, transposition, tempo and level
from the same distributions: none of them may tell the class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from airsift.errors import ConfigError
from model.training.mixture import HEARD, WAYS, WINDOW, Layer, fades, interruptions
from model.training.reverberation import reverberated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from model.corpus.feature_store import Bank
    from model.training.mixture import Draw

BINS = 144
BINS_PER_OCTAVE = 24
LABELS = ("speech", "music")
# The outputs that each class switches on, by their place in LABELS.
CLASSES: dict[str, tuple[int, ...]] = {"speech": (0,), "music": (1,), "singing": (1,), "noise": ()}
# Bins that a layer may be shifted by: four semitones.
TRANSPOSITION = 8
BALANCE = 0.5
# Share of the windows whose layers pass one more chain together, as on air.
WHOLE_CHAIN = 0.4
# How often a layer sounds only now and then: words one by one, barks, chords. It counts as
# heard in between, as long as a listener would say so.
INTERRUPTED = {"speech": 0.15, "music": 0.04, "singing": 0.04, "noise": 0.2}


class Mixer:
    """Draws training windows from a bank.

    Parameters
    ----------
    bank : Bank
        Columns of the training streams.
    dropped : set of int
        Streams to leave out, by their place in the bank.
    ways : sequence of (float, Draw)
        How windows are made, and how often.
    classes : mapping of str to tuple of int
        The classes that windows are made of, and the outputs that each switches on.
    transposition : int >= 0
        Bins that a layer is shifted by at most.
    balance : float in [0, 1]
        How far sources of a class are made equal: 0 draws them by what they hold, 1 all alike.

    Raises
    ------
    ConfigError
        There is nothing to draw from of a class.
    """

    def __init__(
        self,
        bank: Bank,
        *,
        dropped: frozenset[int] = frozenset(),
        ways: tuple[tuple[float, Draw], ...] = WAYS,
        classes: Mapping[str, tuple[int, ...]] = CLASSES,
        transposition: int = TRANSPOSITION,
        balance: float = BALANCE,
    ) -> None:
        self._bank = bank
        self._classes = classes
        self._outputs = 1 + max(output for outputs in classes.values() for output in outputs)
        self._transposition = transposition
        self._draws = [draw for _, draw in ways]
        chances = np.array([chance for chance, _ in ways])
        self._chances = chances / chances.sum()
        self._pools: dict[str, _Pool] = {
            kind: _pool(bank, kind, dropped, balance) for kind in classes
        }
        # A corpus without songs can be trained on; one without speech, music or noise cannot.
        if "singing" in classes and not len(self._pools["singing"].streams):
            self._pools["singing"] = self._pools["music"]
        empty = [kind for kind, pool in self._pools.items() if not len(pool.streams)]
        if empty:
            raise ConfigError(
                f"the training split has no {' and no '.join(empty)} of 2.5 s or more: add "
                "recordings of it, in groups that are not held out"
            )

    def batch(self, size: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Make windows.

        Parameters
        ----------
        size : int > 0
            How many.
        random : np.random.Generator
            The same state gives the same windows.

        Returns
        -------
        columns : torch.Tensor [shape=(size, 250, 144), float32]
            Compressed magnitudes.
        heard : torch.Tensor [shape=(size, 250, outputs), float32]
            For each column, 1 where one of the output's classes is heard, else 0; see `targets`.
        """
        drawn = random.choice(len(self._draws), size, p=self._chances)
        plans = [self._draws[way](random) for way in drawn]
        power = torch.zeros(size, WINDOW, BINS)
        heard = np.zeros((size, WINDOW, self._outputs), np.float32)
        for depth in range(max(map(len, plans))):
            rows = [
                row
                for row, plan in enumerate(plans)
                if depth < len(plan) and plan[depth].kind != "silence"
            ]
            if rows:
                power[rows] += self._layer([plans[row][depth] for row in rows], rows, heard, random)
        power += _hiss(size, random)
        whole = torch.from_numpy(random.random((size, 1, 1)) < WHOLE_CHAIN)
        power = torch.where(whole, power * equalisation(size, random).square_(), power)
        level = 10.0 ** (random.uniform(-32.0, 12.0, (size, 1, 1)) / 20.0)
        # The level of a whole window changes nothing else: hiss and layers move together.
        scaled = power.sqrt_() * torch.from_numpy(level.astype(np.float32))
        return torch.log2(scaled.add_(1.0)), torch.from_numpy(heard)

    def _layer(
        self,
        layers: list[Layer],
        rows: list[int],
        heard: NDArray[np.float32],
        random: np.random.Generator,
    ) -> Tensor:
        """Power of one layer of several windows, in units of 1e-8; marks what is heard."""
        size = len(layers)
        first = np.zeros((size, WINDOW), np.int64)
        gates = np.zeros((size, WINDOW, 1), np.float32)
        for place, (row, layer) in enumerate(zip(rows, layers, strict=True)):
            # A noise at half its speed is another noise.
            slowest, fastest = (0.6, 1.6) if layer.kind == "noise" else (0.9, 1.12)
            tempo = random.uniform(slowest, fastest) if random.random() < 0.5 else 1.0
            start, last = self._pools[layer.kind].draw(random, int(WINDOW * tempo) + 2)
            where = np.minimum(start + np.arange(WINDOW) * tempo, last - 1)
            first[place] = np.rint(where).astype(np.int64)
            gate = fades(layer)
            gates[place, :, 0] = gate * 10.0 ** (layer.gain_db / 20.0)
            if random.random() < INTERRUPTED.get(layer.kind, 0.0):
                gates[place, :, 0] *= interruptions(random)
            for output in self._classes[layer.kind]:
                sounding = self._bank.active[first[place]] & (gate > HEARD)
                heard[row, :, output] = np.maximum(heard[row, :, output], sounding)
        columns = torch.from_numpy(self._bank.columns[first].astype(np.float32))
        magnitude = torch.exp2(transposed(columns, random, self._transposition)).sub_(1.0)
        magnitude.mul_(torch.from_numpy(gates)).mul_(equalisation(size, random))
        return torch.from_numpy(reverberated(magnitude.square_().numpy(), random))


@dataclass(frozen=True, slots=True)
class _Pool:
    """Streams of one class, and how likely each is."""

    streams: NDArray[np.int64]
    chances: NDArray[np.float64]

    def draw(self, random: np.random.Generator, length: int) -> tuple[int, int]:
        """Draw the first column of a window and the end of its stream."""
        start, end = self.streams[random.choice(len(self.streams), p=self.chances)]
        return int(random.integers(start, max(start + 1, end - length))), int(end)


def _pool(bank: Bank, kind: str, dropped: frozenset[int], balance: float) -> _Pool:
    """Balance sources: one counts as the power `1 - balance` of how much it holds."""
    chosen = [
        (each.share, each.start, each.end)
        for number, each in enumerate(bank.streams)
        if each.kind == kind and number not in dropped and each.end - each.start > WINDOW // 2
    ]
    total: dict[str, int] = {}
    for source, start, end in chosen:
        total[source] = total.get(source, 0) + end - start
    weights = np.array([(end - start) / total[source] ** balance for source, start, end in chosen])
    spans = np.array([(start, end) for _, start, end in chosen], np.int64).reshape(-1, 2)
    return _Pool(spans, weights / max(weights.sum(), 1e-9))


def targets(heard: Tensor) -> Tensor:
    """Return the share of each window in which a label is heard [shape=(batch, outputs)]."""
    return torch.einsum("btl,t->bl", heard, torch.from_numpy(taper(heard.shape[1])))


def moment_targets(heard: Tensor, *, context: int, stride: int, moments: int) -> Tensor:
    """Return what is heard in the middle of each of a window's moments.

    Parameters
    ----------
    heard : torch.Tensor [shape=(batch, t, outputs)]
        For each column of windows, whether each output is heard.
    context, stride : int > 0
        Columns that a frame of the network sees, and between frames.
    moments : int > 0
        Frames around the window's middle that are judged.

    Returns
    -------
    torch.Tensor [shape=(batch, moments, outputs)]
        Shares, 0 to 1, of the `stride` columns in the middle of each frame.
    """
    frames = (heard.shape[1] - context) // stride + 1
    first = (frames - moments) // 2 * stride + (context - stride) // 2
    cells = heard[:, first : first + moments * stride]
    return cells.reshape(len(heard), moments, stride, -1).mean(dim=2)


def taper(length: int) -> NDArray[np.float32]:
    """Weight of each column in a window's target: a Hann curve that sums to 1."""
    curve: NDArray[np.float32] = np.hanning(length + 2)[1:-1].astype(np.float32)
    curve /= curve.sum()
    return curve


def transposed(columns: Tensor, random: np.random.Generator, most: int = TRANSPOSITION) -> Tensor:
    """Shift half of the windows by up to `most` bins either way; what moves in is silent."""
    shifts = random.integers(-most, most + 1, len(columns)) * (random.random(len(columns)) < 0.5)
    padded = torch.nn.functional.pad(columns, (most, most))
    return torch.stack([
        row[:, most - int(shift) : most - int(shift) + BINS]
        for row, shift in zip(padded, shifts, strict=True)
    ])  # fmt: skip


def equalisation(size: int, random: np.random.Generator) -> Tensor:
    """Gain of each bin [shape=(size, 1, 144)]: tilt, two broad bumps and a pass band."""
    octave = np.arange(BINS) / BINS_PER_OCTAVE
    tilt = random.normal(0.0, 1.5, (size, 1)) * (octave - 3.0)
    gain_db = tilt
    for _ in range(2):
        centre, width = random.uniform(0, 6, (size, 1)), random.uniform(0.3, 1.5, (size, 1))
        gain_db = gain_db + random.normal(0.0, 4.0, (size, 1)) * np.exp(
            -0.5 * ((octave - centre) / width) ** 2
        )
    low_edge = np.where(random.random((size, 1)) < 0.3, random.uniform(0.0, 2.2, (size, 1)), -9.0)
    high_edge = np.where(random.random((size, 1)) < 0.4, random.uniform(4.4, 6.2, (size, 1)), 99.0)
    slope = random.uniform(18.0, 90.0, (size, 1))
    gain_db = gain_db - slope * np.maximum(low_edge - octave, 0.0)
    gain_db = gain_db - slope * np.maximum(octave - high_edge, 0.0)
    gain = 10.0 ** (np.maximum(gain_db, -120.0) / 20.0)
    return torch.from_numpy(gain[:, None, :].astype(np.float32))


def _hiss(size: int, random: np.random.Generator) -> Tensor:
    """Power of a faint steady noise under everything, from none to 25 dB under the layers."""
    level = 10_000.0 * 0.1 * 10.0 ** (random.uniform(-90.0, -40.0, (size, 1, 1)) / 20.0)
    tilt = 10.0 ** (random.normal(0.0, 2.0, (size, 1, 1)) * (np.arange(BINS) / 24 - 3) / 20.0)
    # One long noise for all windows, each from its own place: drawing it is what costs.
    long = random.standard_exponential((4 * WINDOW, BINS), dtype=np.float32)
    chi = np.stack([long[at : at + WINDOW] for at in random.integers(0, 3 * WINDOW, size)])
    shape: NDArray[np.float32] = ((level * tilt) ** 2).astype(np.float32)
    return torch.from_numpy(chi * shape)
