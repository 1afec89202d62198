"""Mix training windows of columns from the sources of a recipe.

A window has up to three sources. Magnitudes add as powers, as those of independent sounds do on
average. The targets of the sources' columns define those of the window's columns. The target of a
window is their mean, weighted by a Hann taper: 0 or 1 for pure windows, one half for a boundary at
the centre. A window of one source has the teacher's tags as well.

Sources of all classes draw equalisation, band limits, transposition, tempo and level from the same
distributions, so that none of these predicts the class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from airsift.errors import ConfigError
from model.corpus import categories
from model.corpus.takes import SCENE
from model.corpus.teacher import ROW_COLUMNS
from model.mixing import AUDIBLE
from model.spec import BINS_PER_OCTAVE
from model.spec import N_BINS as BINS
from model.training.mixture import (
    COLUMN_SECONDS,
    RECIPES,
    WINDOW,
    MixtureSource,
    Solo,
    fade_curve,
    interruptions,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray
    from torch import Tensor

    from model.corpus.feature_store import FeatureStore
    from model.training.mixture import Recipe

# Indices into `model.spec.LABELS` of the positive outputs of each class.
CLASSES: dict[str, tuple[int, ...]] = {"speech": (0,), "music": (1,), "singing": (1,), "noise": ()}
# A store may lack singing: music has the same label, and is drawn instead.
INSTEAD = {"singing": "music"}
# Maximum shift in bins: four semitones.
TRANSPOSITION = 8
SOURCE_BALANCE = 0.5
# Most singing on air is songs with a band, and most singing in the corpus is not.
CATEGORY_WEIGHTS = {categories.SONG_WITH_BAND: 2.0}
# Share of sources with a simulated room. The rooms of `model.corpus.augment`, on samples, are more
# realistic but fixed in the feature store; these are drawn for each source of each window.
REVERBERATED = 0.3
# Share of windows with one more equalisation of the whole mixture.
MIX_EQUALISED = 0.4
# Share of interrupted sources: single words, barks, chords. They count as active throughout.
INTERRUPTED = {"speech": 0.15, "music": 0.04, "singing": 0.04, "noise": 0.2}


class Batch(NamedTuple):
    """Training windows.

    Parameters
    ----------
    columns : torch.Tensor [shape=(batch, t, bins), float32]
        Compressed magnitudes.
    active : torch.Tensor [shape=(batch, t, outputs), float32]
        Target of each output at each column, 0 to 1.
    tagged : torch.Tensor [shape=(n,), int64]
        Places of the windows with tags.
    tags : torch.Tensor [shape=(n, classes), float32]
        The teacher's probabilities of these windows.
    """

    columns: Tensor
    active: Tensor
    tagged: Tensor
    tags: Tensor


class Mixer:
    """Generates training windows from a feature store.

    Parameters
    ----------
    store : FeatureStore
        Columns of the training takes.
    dropped : set of int
        Indices of takes to leave out.
    recipes : sequence of (float, Recipe)
        Weight and recipe of the windows. Without scenes in the store, the others share theirs.
    kinds : collection of str
        Classes that the recipes name.
    transposition : int >= 0
        Maximum shift of a source, in bins.
    source_balance : float in [0, 1]
        0 draws the packages or groups of a class in proportion to their duration, 1 equally.

    Raises
    ------
    ConfigError
        A class has no takes.
    """

    def __init__(
        self,
        store: FeatureStore,
        *,
        dropped: frozenset[int] = frozenset(),
        recipes: tuple[tuple[float, Recipe], ...] = RECIPES,
        kinds: Collection[str] = (*CLASSES, SCENE),
        transposition: int = TRANSPOSITION,
        source_balance: float = SOURCE_BALANCE,
    ) -> None:
        self._store = store
        self._outputs = store.targets.shape[1]
        self._transposition = transposition
        self._pools: dict[str, _Pool] = {
            kind: _pool(store, kind, dropped, source_balance) for kind in kinds
        }
        others = tuple(each for each in recipes if each[1] != Solo(SCENE))
        if SCENE in kinds and not len(self._pools[SCENE].takes) and others:
            del self._pools[SCENE]
            recipes = others
        self._recipes = [recipe for _, recipe in recipes]
        weights = np.array([weight for weight, _ in recipes])
        self._probabilities = weights / weights.sum()
        for kind, other in INSTEAD.items():
            if kind in kinds and other in kinds and not len(self._pools[kind].takes):
                self._pools[kind] = self._pools[other]
        empty = [kind for kind, pool in self._pools.items() if not len(pool.takes)]
        if empty:
            raise ConfigError(
                f"the training split has no {' and no '.join(empty)} of 2.5 s or more: add "
                "recordings of it, in groups that are not held out"
            )

    def batch(self, size: int, random: np.random.Generator) -> Batch:
        """Generate windows of 250 columns.

        Parameters
        ----------
        size : int > 0
            Number of windows.
        random : np.random.Generator
            The same state gives the same windows.
        """
        drawn = random.choice(len(self._recipes), size, p=self._probabilities)
        plans = [self._recipes[index](random) for index in drawn]
        power = torch.zeros(size, WINDOW, BINS)
        active = np.zeros((size, WINDOW, self._outputs), np.float32)
        tags: dict[int, int] = {}
        for depth in range(max(map(len, plans))):
            rows = [
                row
                for row, plan in enumerate(plans)
                if depth < len(plan) and plan[depth].kind != "silence"
            ]
            if rows:
                power[rows] += self._source_power(
                    [plans[row][depth] for row in rows], rows, active, tags, random
                )
        power += _hiss(size, random)
        whole = torch.from_numpy(random.random((size, 1, 1)) < MIX_EQUALISED)
        power = torch.where(whole, power * equalisation(size, random).square_(), power)
        level = 10.0 ** (random.uniform(-32.0, 12.0, (size, 1, 1)) / 20.0)
        # The level of the window applies to sources and hiss.
        scaled = power.sqrt_() * torch.from_numpy(level.astype(np.float32))
        known = {row: tags[row] for row, plan in enumerate(plans) if len(plan) == 1 and row in tags}
        return Batch(
            torch.log2(scaled.add_(1.0)),
            torch.from_numpy(active),
            torch.tensor(list(known), dtype=torch.int64),
            self._tags(list(known.values())),
        )

    def _tags(self, rows: list[int]) -> Tensor:
        """Return rows of the teacher's tags as probabilities."""
        if self._store.tags is None or not rows:
            return torch.zeros(0, 0)
        return torch.from_numpy(self._store.tags[rows].astype(np.float32) / 255.0)

    def _source_power(
        self,
        sources: list[MixtureSource],
        rows: list[int],
        active: NDArray[np.float32],
        tags: dict[int, int],
        random: np.random.Generator,
    ) -> Tensor:
        """Return the power of one source of several windows, in units of 1e-8.

        Update `active`, and in `tags` the row of the teacher's tags of each window's centre.
        """
        size = len(sources)
        first = np.zeros((size, WINDOW), np.int64)
        gates = np.zeros((size, WINDOW, 1), np.float32)
        for place, (row, source) in enumerate(zip(rows, sources, strict=True)):
            # Noise tolerates larger changes of speed.
            slowest, fastest = (0.6, 1.6) if source.kind == "noise" else (0.9, 1.12)
            tempo = random.uniform(slowest, fastest) if random.random() < 0.5 else 1.0
            take, start, last = self._pools[source.kind].draw(random, int(WINDOW * tempo) + 2)
            where = np.minimum(start + np.arange(WINDOW) * tempo, last - 1)
            first[place] = np.rint(where).astype(np.int64)
            gate = fade_curve(source)
            gates[place, :, 0] = gate * 10.0 ** (source.gain_db / 20.0)
            interrupted = random.random() < INTERRUPTED.get(source.kind, 0.0)
            if interrupted:
                gates[place, :, 0] *= interruptions(random)
            here = self._store.targets[first[place]] * (gate > AUDIBLE)[:, None]
            active[row] = np.maximum(active[row], here)
            if self._store.tags is not None and not interrupted and gate.min() > AUDIBLE:
                each = self._store.takes[take]
                offset = int(first[place, WINDOW // 2]) - each.start
                tags[row] = each.first_tag + offset // ROW_COLUMNS
        columns = torch.from_numpy(self._store.columns[first].astype(np.float32))
        magnitude = torch.exp2(transpose(columns, random, self._transposition)).sub_(1.0)
        magnitude.mul_(torch.from_numpy(gates)).mul_(equalisation(size, random))
        return torch.from_numpy(reverberate(magnitude.square_().numpy(), random))


@dataclass(frozen=True, slots=True)
class _Pool:
    """Takes of one class (number, start, end) and their cumulative probabilities."""

    takes: NDArray[np.int64]
    cumulative: NDArray[np.float64]

    def draw(self, random: np.random.Generator, length: int) -> tuple[int, int, int]:
        """Draw a take; return its number, the first column of a window, and the take's end."""
        place = np.searchsorted(self.cumulative, random.random() * self.cumulative[-1], "right")
        number, start, end = self.takes[min(int(place), len(self.takes) - 1)]
        return int(number), int(random.integers(start, max(start + 1, end - length))), int(end)


def _pool(store: FeatureStore, kind: str, dropped: frozenset[int], source_balance: float) -> _Pool:
    """Weight each package or group by its duration to the power `1 - source_balance`.

    Categories of `CATEGORY_WEIGHTS` count more.
    """
    chosen = [
        (each, number)
        for number, each in enumerate(store.takes)
        if each.kind == kind and number not in dropped and each.end - each.start > WINDOW // 2
    ]
    total: dict[str, int] = {}
    for each, _ in chosen:
        total[each.balance_key] = total.get(each.balance_key, 0) + each.end - each.start
    weights = np.array([
        (each.end - each.start) / total[each.balance_key] ** source_balance
        * CATEGORY_WEIGHTS.get(each.category, 1.0)
        for each, _ in chosen
    ])  # fmt: skip
    spans = np.array([(number, each.start, each.end) for each, number in chosen], np.int64).reshape(
        -1, 3
    )
    return _Pool(spans, np.cumsum(weights))


def window_targets(active: Tensor) -> Tensor:
    """Return the weighted share of active columns [shape=(batch, outputs)]."""
    return torch.einsum("btl,t->bl", active, torch.from_numpy(taper(active.shape[1])))


def moment_targets(active: Tensor, *, context: int, stride: int, moments: int) -> Tensor:
    """Return the targets of the boundary head.

    Parameters
    ----------
    active : torch.Tensor [shape=(batch, t, outputs)]
        Frame labels, one for each column.
    context, stride : int > 0
        Columns that a frame depends on, and distance between frames.
    moments : int > 0
        Frames around the centre of the window.

    Returns
    -------
    torch.Tensor [shape=(batch, moments, outputs)]
        Share of active columns, 0 to 1, among the `stride` columns in the centre of each frame.
    """
    frames = (active.shape[1] - context) // stride + 1
    first = (frames - moments) // 2 * stride + (context - stride) // 2
    cells = active[:, first : first + moments * stride]
    return cells.reshape(len(active), moments, stride, -1).mean(dim=2)


def taper(length: int) -> NDArray[np.float32]:
    """Return the weights of the columns of a window: a Hann curve that sums to 1."""
    curve: NDArray[np.float32] = np.hanning(length + 2)[1:-1].astype(np.float32)
    curve /= curve.sum()
    return curve


def transpose(
    columns: Tensor, random: np.random.Generator, max_shift: int = TRANSPOSITION
) -> Tensor:
    """Shift half of the windows by up to `max_shift` bins, padded with silence."""
    shifts = random.integers(-max_shift, max_shift + 1, len(columns)) * (
        random.random(len(columns)) < 0.5
    )
    padded = torch.nn.functional.pad(columns, (max_shift, max_shift))
    return torch.stack([
        row[:, max_shift - int(shift) : max_shift - int(shift) + BINS]
        for row, shift in zip(padded, shifts, strict=True)
    ])  # fmt: skip


def equalisation(size: int, random: np.random.Generator) -> Tensor:
    """Draw the gain of each bin [shape=(size, 1, 144)]: tilt, two bumps and a pass band."""
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


def reverberate(
    power: NDArray[np.float32], random: np.random.Generator, chance: float = REVERBERATED
) -> NDArray[np.float32]:
    """Add reverberation to some windows.

    Parameters
    ----------
    power : np.ndarray [shape=(n, t, bins), float32]
        Squared magnitudes.
    random : np.random.Generator
        Draws the windows and, for each, a reverberation time of 0.2 to 1.5 s (for treble down
        to a third) and a ratio of direct to reverberant sound of -12 to 12 dB.
    chance : float in [0, 1]
        Share of the windows.

    Returns
    -------
    np.ndarray [shape=(n, t, bins), float32]
        The same power on average. The reverberation of sound before the window is included.
    """
    rows = np.flatnonzero(random.random(len(power)) < chance)
    if not len(rows):
        return power
    n, columns, bins = len(rows), power.shape[1], power.shape[2]
    seconds = np.exp(random.uniform(np.log(0.2), np.log(1.5), (n, 1)))
    treble = random.uniform(0.33, 1.0, (n, 1)) ** np.linspace(0.0, 1.0, bins)
    keep = (10.0 ** (-6.0 * COLUMN_SECONDS / (seconds * treble))).astype(np.float32)
    dry = power[rows]
    # Echoes add with random phases: the tail fluctuates, correlated between columns.
    rough = random.standard_exponential((n, columns + 1, bins), dtype=np.float32)
    rough = 0.5 * (rough[:, 1:] + rough[:, :-1])
    tail = np.empty_like(dry)
    state = dry[:, :25].mean(axis=1)
    for column in range(columns):
        state = keep * state + (1.0 - keep) * dry[:, column]
        tail[:, column] = state
    direct = 10.0 ** (random.uniform(-12.0, 12.0, (n, 1, 1)) / 10.0)
    changed = power.copy()
    changed[rows] = ((direct * dry + tail * rough) / (1.0 + direct)).astype(np.float32)
    return changed


def _hiss(size: int, random: np.random.Generator) -> Tensor:
    """Return the power of faint stationary noise, up to 25 dB below the sources."""
    level = 10_000.0 * 0.1 * 10.0 ** (random.uniform(-90.0, -40.0, (size, 1, 1)) / 20.0)
    tilt = 10.0 ** (
        random.normal(0.0, 2.0, (size, 1, 1)) * (np.arange(BINS) / BINS_PER_OCTAVE - 3) / 20.0
    )
    # One noise for all windows, each at its own offset, because drawing noise is slow.
    long = random.standard_exponential((4 * WINDOW, BINS), dtype=np.float32)
    chi = np.stack([long[at : at + WINDOW] for at in random.integers(0, 3 * WINDOW, size)])
    shape: NDArray[np.float32] = ((level * tilt) ** 2).astype(np.float32)
    return torch.from_numpy(chi * shape)
