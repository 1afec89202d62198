"""Scenes: takes mixed from samples of several classes, as on air, with known labels.

The mixer (`model.training.mixer`) adds magnitudes of columns, which is fast and never repeats, but
no compressor, codec or room has processed its mixtures as a whole, and a teacher cannot tag them.
Scenes are mixed once, as samples, so that a codec can process the whole mixture, and the teacher
can tag it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import signal

from model.corpus import augment, concatenate, recordings
from model.corpus.concatenate import TAKE_SECONDS
from model.mixing import AUDIBLE, ducking_gain, fade_in
from model.spec import HOP
from model.spec import SAMPLE_RATE as RATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.corpus.concatenate import ActiveSamples, Samples
    from model.corpus.recordings import Recording
    from model.corpus.sources import Kind

    Flags = NDArray[np.bool_]
    Make = Callable[["Library", "Scene"], None]

LENGTH = TAKE_SECONDS * RATE
COLUMNS = LENGTH // HOP
SPEECH, MUSIC = 0, 1
OUTPUTS: dict[Kind, int] = {"speech": SPEECH, "music": MUSIC, "singing": MUSIC}
FADES_S = (0.0, 0.0, 0.3, 1.0, 3.0, 8.0)
# Samples of the shortest piece of a recording.
SHORTEST = RATE // 4
# Noises that an audience makes.
AUDIENCE = ("laugh", "clap", "applause", "crowd", "cheer", "children playing", "cough")


@dataclass(slots=True)
class Scene:
    """A scene in the making.

    Parameters
    ----------
    random : np.random.Generator
        Draws everything.
    samples : np.ndarray [shape=(n,), float32]
        The mixture so far, mono at `SAMPLE_RATE`.
    targets : np.ndarray [shape=(n // HOP, 2), bool]
        Whether speech and music are active, for each column.
    """

    random: np.random.Generator
    samples: Samples = field(default_factory=lambda: np.zeros(LENGTH, np.float32))
    targets: Flags = field(default_factory=lambda: np.zeros((COLUMNS, 2), np.bool_))

    def add(
        self,
        clip: ActiveSamples,
        kind: Kind,
        *,
        start_s: float = 0.0,
        level_db: float = 0.0,
        fades_s: tuple[float, float] = (0.0, 0.0),
        gain: Samples | None = None,
    ) -> float:
        """Mix a clip in; return where it ends, in seconds.

        Parameters
        ----------
        clip : (np.ndarray [shape=(n,), float32], np.ndarray [shape=(n,), bool])
            Samples at `concatenate.TAKE_LEVEL`, and where its class is active.
        kind : Kind
            Its class.
        start_s : float >= 0
            Where it begins.
        level_db : float
            Its level.
        fades_s : (float, float)
            Lengths of the fades at its ends.
        gain : np.ndarray [shape=(n,), float32], optional
            A gain that changes over the clip, at most 1. Ducked music is still music: only the
            fades decide whether the clip is active.
        """
        samples, active = clip
        start = int(start_s * RATE) // HOP * HOP
        count = min(len(samples), LENGTH - start) // HOP * HOP
        if count <= 0:
            return start_s
        curve = np.ones(count, np.float32)
        for seconds, ends in zip(fades_s, (curve, curve[::-1]), strict=True):
            fade = min(int(seconds * RATE), count // 2)
            if fade:
                ends[:fade] *= fade_in(fade)
        ducked = samples[:count] if gain is None else samples[:count] * gain[:count]
        scaled = concatenate.fade_edges(ducked * curve)
        self.samples[start : start + count] += scaled * np.float32(10.0 ** (level_db / 20.0))
        if kind in OUTPUTS:
            sounding = active[:count].reshape(-1, HOP).mean(axis=1) >= 0.5
            sounding &= curve.reshape(-1, HOP).mean(axis=1) > AUDIBLE
            here = slice(start // HOP, (start + count) // HOP)
            self.targets[here, OUTPUTS[kind]] |= sounding
        return (start + count) / RATE

    def fade(self) -> float:
        """Draw the length of a fade, in seconds."""
        return float(self.random.choice(FADES_S)) * float(self.random.uniform(0.5, 1.0))


class Library:
    """Draws excerpts of recordings: a source, then a group, then recordings of it.

    Parameters
    ----------
    folder : Path
        The corpus.
    found : sequence of Recording
        The recordings.
    """

    def __init__(self, folder: Path, found: Sequence[Recording]) -> None:
        self._folder = folder
        self._groups: dict[Kind, dict[str, dict[str, list[Recording]]]] = {}
        for each in found:
            if each.end - each.start >= SHORTEST:
                sources = self._groups.setdefault(each.kind, {})
                sources.setdefault(each.source, defaultdict(list))[each.group].append(each)
        # Between equal shares for each source and shares by the number of groups.
        self._odds: dict[Kind, NDArray[np.float64]] = {}
        for kind, sources in self._groups.items():
            odds = np.sqrt([len(groups) for groups in sources.values()])
            self._odds[kind] = odds / odds.sum()

    def __contains__(self, kind: Kind) -> bool:
        return kind in self._groups

    def audience(self) -> Library:
        """Return the noises that an audience makes; all noises if there are none."""
        of_people = Library(self._folder, [
            each for sources in self._groups.get("noise", {}).values()
            for group in sources.values() for each in group
            if any(word in each.category for word in AUDIENCE)
        ])  # fmt: skip
        return of_people if "noise" in of_people else self

    def draw(self, kind: Kind, seconds: float, random: np.random.Generator) -> ActiveSamples:
        """Return up to `seconds` of one group, and where its class is active.

        Short recordings are joined, with pauses of up to 0.7 s between them, and none in music. The
        pauses are active; nothing follows the last recording.
        """
        sources = list(self._groups[kind].values())
        groups = list(sources[int(random.choice(len(sources), p=self._odds[kind]))].values())
        members = groups[int(random.integers(len(groups)))]
        wanted, length = int(seconds * RATE), 0
        parts: list[Samples] = [np.zeros(0, np.float32)]
        activity: list[Flags] = [np.zeros(0, np.bool_)]
        for _ in range(40):
            pause = int(random.uniform(0.0, 0.7) * RATE) // HOP * HOP
            if kind == "music" or not length:
                pause = 0
            left = wanted - length - pause
            if left < SHORTEST:
                break
            each = members[int(random.integers(len(members)))]
            stored = recordings.samples_of(self._folder, each)
            first = int(random.integers(max(1, len(stored) - left)))
            piece = stored[first : first + left].astype(np.float32) / 32768.0
            clip, active = concatenate.normalise(piece, kind)
            if len(clip):
                parts += [np.zeros(pause, np.float32), concatenate.fade_edges(clip)]
                activity += [np.full(pause, True), active]
                length += pause + len(clip)
        return np.concatenate(parts), np.concatenate(activity)


def bed(library: Library, scene: Scene) -> None:
    """Talk over music that starts or ends now and then, ducked or not."""
    random = scene.random
    voice = library.draw("speech", random.uniform(20.0, TAKE_SECONDS), random)
    start = random.uniform(0.0, 12.0)
    ends = min(float(TAKE_SECONDS), scene.add(voice, "speech", start_s=start))
    kind = "music" if random.random() < 0.8 else "singing"
    begin = max(0.0, start + random.uniform(-10.0, 10.0))
    music = library.draw(kind, random.uniform(12.0, TAKE_SECONDS), random)
    spans = [(int((start - begin) * RATE), int((ends - begin) * RATE))]
    depth = random.uniform(0.0, 14.0)
    ramp = max(1, int(random.uniform(0.1, 1.5) * RATE))
    scene.add(
        music, kind, start_s=begin, level_db=random.uniform(-16.0, 2.0),
        fades_s=(scene.fade(), scene.fade()),
        gain=ducking_gain(0, len(music[0]), spans, ramp, depth),
    )  # fmt: skip


def handover(library: Library, scene: Scene) -> None:
    """Hand over from a song to talk over its end, and often back to a song under the talk."""
    random = scene.random
    kind = "singing" if random.random() < 0.5 else "music"
    song = library.draw(kind, random.uniform(8.0, 22.0), random)
    fade = scene.fade()
    end = scene.add(song, kind, level_db=random.uniform(-4.0, 4.0), fades_s=(0.0, fade))
    start = max(0.0, end - fade - random.uniform(-1.0, 5.0))
    talk = library.draw("speech", random.uniform(6.0, 18.0), random)
    end = scene.add(talk, "speech", start_s=start)
    if end < TAKE_SECONDS and random.random() < 0.7:
        again = "singing" if random.random() < 0.5 else "music"
        scene.add(
            library.draw(again, TAKE_SECONDS, random), again,
            start_s=max(0.0, end - random.uniform(-1.0, 5.0)),
            level_db=random.uniform(-4.0, 4.0), fades_s=(scene.fade(), 0.0),
        )  # fmt: skip


def sequence(library: Library, scene: Scene) -> None:
    """Short items one after another: adverts, jingles, effects, silence."""
    random, at = scene.random, 0.0
    while at < TAKE_SECONDS:
        kind = str(random.choice(
            ["speech", "music", "singing", "noise", "silence"], p=[0.34, 0.26, 0.18, 0.14, 0.08]
        ))  # fmt: skip
        seconds = float(np.exp(random.uniform(np.log(1.0), np.log(15.0))))
        if kind == "silence":
            at += min(seconds, 4.0)
            continue
        fade = scene.fade()
        start = max(0.0, at - fade)
        at = scene.add(
            library.draw(kind, seconds, random), kind, start_s=start,
            level_db=random.uniform(-8.0, 4.0), fades_s=(fade, fade),
        )  # fmt: skip
        if at < start + 0.1:
            at = start + 0.5


def noisy(library: Library, scene: Scene) -> None:
    """Talk with noise throughout, or an audience that laughs and claps over it."""
    random = scene.random
    at = random.uniform(0.0, 3.0)
    while at < TAKE_SECONDS:
        talk = library.draw("speech", random.uniform(4.0, 16.0), random)
        level = random.uniform(-10.0, 0.0)
        at = scene.add(talk, "speech", start_s=at, level_db=level) + random.uniform(0.0, 3.5)
    if random.random() < 0.35:
        audience = library.audience()
        for _ in range(int(random.integers(2, 7))):
            scene.add(
                audience.draw("noise", random.uniform(1.0, 5.0), random), "noise",
                start_s=random.uniform(0.0, TAKE_SECONDS - 1.0),
                level_db=random.uniform(-15.0, 4.0), fades_s=(0.2, 0.5),
            )  # fmt: skip
    else:
        scene.add(
            library.draw("noise", TAKE_SECONDS, random), "noise",
            level_db=random.uniform(-25.0, 3.0), fades_s=(scene.fade(), scene.fade()),
        )  # fmt: skip


def live(library: Library, scene: Scene) -> None:
    """Music or singing in the noise of a hall, a street or a machine."""
    random = scene.random
    kind = "singing" if random.random() < 0.6 else "music"
    clip = library.draw(kind, random.uniform(15.0, TAKE_SECONDS), random)
    scene.add(clip, kind, start_s=random.uniform(0.0, 8.0), fades_s=(scene.fade(), scene.fade()))
    noise = library.audience() if random.random() < 0.5 else library
    scene.add(
        noise.draw("noise", TAKE_SECONDS, random), "noise", level_db=random.uniform(-25.0, 0.0)
    )
    scene.samples = augment.room(scene.samples, random)


def song(library: Library, scene: Scene) -> None:
    """Sing over instrumental music."""
    random = scene.random
    at = random.uniform(0.0, 8.0)
    while at < TAKE_SECONDS:
        line = library.draw("singing", random.uniform(4.0, 20.0), random)
        at = scene.add(line, "singing", start_s=at, level_db=random.uniform(-6.0, 6.0))
        at += random.uniform(0.5, 8.0)
    scene.add(library.draw("music", TAKE_SECONDS, random), "music", fades_s=(scene.fade(), 0.0))


def phone_in(library: Library, scene: Scene) -> None:
    """Let voices in a studio and on the telephone talk, in turn and over each other.

    Each turn draws a new voice.
    """
    random, at, caller = scene.random, 0.0, False
    while at < TAKE_SECONDS:
        talk, active = library.draw("speech", random.uniform(1.5, 9.0), random)
        if caller and len(talk):
            talk = augment.telephone(talk, random)
        level = random.uniform(-10.0, 0.0)
        at = scene.add((talk, active), "speech", start_s=at, level_db=level)
        at = max(0.5, at + random.uniform(-0.8, 1.8))
        caller = not caller
    if random.random() < 0.3:
        scene.add(
            library.draw("noise", TAKE_SECONDS, random), "noise",
            level_db=random.uniform(-30.0, -8.0),
        )  # fmt: skip


SCENES: tuple[tuple[float, Make], ...] = (
    (0.21, bed), (0.14, handover), (0.16, sequence), (0.16, noisy), (0.13, live), (0.10, song),
    (0.10, phone_in),
)  # fmt: skip


def make(library: Library, random: np.random.Generator) -> tuple[str, Samples, Flags]:
    """Draw a scene.

    Parameters
    ----------
    library : Library
        With speech, music, singing and noise.
    random : np.random.Generator
        The same state gives the same scene.

    Returns
    -------
    name : str
        Name of its kind.
    samples : np.ndarray [shape=(TAKE_SECONDS * RATE,), float32]
        Processed as a whole, by one more equipment and codec.
    targets : np.ndarray [shape=(COLUMNS, 2), bool]
        Whether speech and music are active, for each column.
    """
    odds = np.array([weight for weight, _ in SCENES])
    chosen = SCENES[int(random.choice(len(SCENES), p=odds / odds.sum()))][1]
    scene = Scene(random)
    chosen(library, scene)
    samples, _ = concatenate.add_noise_floor(scene.samples, np.ones(LENGTH, np.bool_), random)
    if random.random() < 0.15:
        samples = hum(samples, random)
    if random.random() < 0.25:
        samples = automatic_gain(samples, random)
    return chosen.__name__, augment.random_augmentation(samples, random), scene.targets


def scenes(
    folder: Path, found: Sequence[Recording], numbers: Sequence[int], seed: int
) -> Iterator[tuple[str, Samples, Flags]]:
    """Yield the scenes of some numbers; the same seed and number give the same scene."""
    library = Library(folder, found)
    if all(kind in library for kind in ("speech", "music", "singing", "noise")):
        for number in numbers:
            yield make(library, np.random.default_rng([seed, 3, number]))


def hum(samples: Samples, random: np.random.Generator) -> Samples:
    """Add mains hum with harmonics, or low rumble, 8 to 40 dB below the level."""
    level = float(np.sqrt(np.mean(samples**2))) * 10.0 ** (random.uniform(-40.0, -8.0) / 20.0)
    if random.random() < 0.5:
        times = np.arange(len(samples)) / RATE
        base = float(random.choice([50.0, 60.0]))
        added = np.zeros(len(samples))
        for harmonic in range(1, int(random.integers(2, 12))):
            phase = random.uniform(0.0, 2.0 * np.pi)
            added += random.exponential() * np.sin(2 * np.pi * base * harmonic * times + phase)
    else:
        cut = signal.butter(2, random.uniform(60.0, 250.0), fs=RATE, output="sos")
        added = signal.sosfilt(cut, random.standard_normal(len(samples)))
    scaled: Samples = (added * (level / max(float(added.std()), 1e-9))).astype(np.float32)
    return samples + scaled


def automatic_gain(samples: Samples, random: np.random.Generator) -> Samples:
    """Level by up to 20 dB, as recorders, telephones and broadcast processors do."""
    step = RATE // 100
    count = -(-len(samples) // step)
    padded = np.pad(samples, (0, count * step - len(samples)))
    power = np.square(padded).reshape(count, step).mean(axis=1)
    pole = float(np.exp(-0.01 / random.uniform(0.05, 1.5)))
    slow = signal.lfilter([1.0 - pole], [1.0, -pole], power, zi=[power[:50].mean() * pole])[0]
    target = float(np.mean(power)) + 1e-12
    strength = random.uniform(0.3, 0.9)
    gain_db = np.clip(-10.0 * strength * np.log10((slow + 1e-3 * target) / target), -10.0, 20.0)
    places = np.arange(len(samples)) / step
    gain = 10.0 ** (np.interp(places, np.arange(count) + 0.5, gain_db) / 20.0)
    levelled: Samples = (samples * gain).astype(np.float32)
    return levelled
