"""`airsift.Catalogue`: the tracks that can be identified."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, SupportsIndex

from airsift.api.audio import open_recording
from airsift.api.settings import config_of
from airsift.errors import CatalogueError
from airsift.track_files import content_of, landmarks_of, tags_of
from fingerprint import catalogue as library
from fingerprint.duplicates import find_near_duplicate
from fingerprint.settings import SAMPLE_RATE
from fingerprint.track import Track as StoredTrack
from stream.audio import AudioChunk
from stream.lines import utf8
from stream.offline import mono_audio

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray

    from airsift.api.audio import Audio
    from airsift.json_types import JsonScalar
    from fingerprint.analysis.landmarks import Landmarks


@dataclass(frozen=True, slots=True)
class Track:
    """A track of a catalogue.

    Parameters
    ----------
    track : str
        Its key in the catalogue, unique: the ``track`` of a `Match`.
    title, artist, album, isrc, record_label : str, optional
        Metadata; None where unknown. The label is the company that published the record.
    duration_s : float > 0
        Seconds.
    extra : mapping of str to str, float, bool or None
        Further fields.

    Examples
    --------
    >>> import airsift
    >>> airsift.Track("abel", "Starfall", "Abel", duration_s=181.5).title
    'Starfall'
    """

    track: str
    title: str | None = None
    artist: str | None = None
    album: str | None = None
    isrc: str | None = None
    record_label: str | None = None
    duration_s: float = 0.0
    extra: Mapping[str, JsonScalar] = field(default_factory=dict)


class Catalogue:
    """A catalogue of tracks in a folder, to name music with `airsift.segment` and `airsift.Stream`.

    It is that of the command ``airsift catalogue``. Several processes may use one at the same time,
    one of them to write; an object of this class is for one thread at a time.

    Parameters
    ----------
    folder : path
        Where it is.
    create : bool
        Whether to make an empty one where there is none.

    Raises
    ------
    AirsiftError
        There is none, or it cannot be opened or made.

    Examples
    --------
    >>> import airsift, numpy, tempfile
    >>> noise = numpy.random.default_rng(0).normal(0, 0.1, 16_000 * 8)
    >>> with airsift.Catalogue(tempfile.mkdtemp(), create=True) as catalogue:
    ...     added = catalogue.add(noise, 16_000, track="hiss", title="Hiss", artist="Nobody")
    ...     len(catalogue), [track.title for track in catalogue], added.duration_s
    (1, ['Hiss'], 8.0)
    """

    def __init__(self, folder: str | os.PathLike[str], *, create: bool = False) -> None:
        self.folder = Path(folder)
        self._catalogue: library.Catalogue | None = None
        if create:
            self._catalogue = library.Catalogue.create(self.folder)
            return
        try:
            self._catalogue = library.Catalogue.open(self.folder)
        except CatalogueError as error:
            if any(self.folder.glob("*.db")):
                raise
            raise CatalogueError(f"{error}; or with airsift.Catalogue(..., create=True)") from None

    def add(
        self,
        audio: Audio,
        rate: SupportsIndex | float | None = None,
        *,
        track: str | None = None,
        title: str | None = None,
        artist: str | None = None,
        album: str | None = None,
        isrc: str | None = None,
        record_label: str | None = None,
        extra: Mapping[str, JsonScalar] | None = None,
        channels_first: bool | None = None,
    ) -> Track:
        """Add a track; on return it is on disk, and every process finds it.

        Audio that is in the catalogue already, to the last bit, is not added again: its track is
        returned as it is stored.

        Parameters
        ----------
        audio, rate, channels_first
            As for `airsift.segment`; 3 s or more. A file must be a local one.
        track : str, optional
            Its key; by default a hash of the audio.
        title, artist, album, isrc, record_label : str, optional
            Metadata. By default a file's tags say it, and its name is the title.
        extra : mapping of str to str, float, bool or None, optional
            Further fields, at most 10 000 bytes as JSON.

        Returns
        -------
        Track
            As it is stored.

        Raises
        ------
        AirsiftError
            It has less than 3 s, is silent or damaged; the key is in use; or another process is
            writing.
        """
        catalogue = self._opened()
        names = {"title": title, "artist": artist, "album": album, "isrc": isrc}
        given = {k: v for k, v in (names | {"label": record_label}).items() if v is not None}
        fields = dict(extra or {})
        if isinstance(audio, str | os.PathLike):
            path = self._local(audio, rate)
            try:
                content = content_of(path)
            except OSError as error:
                raise CatalogueError(
                    f"{path}: {error.strerror}; check the path and its permissions"
                ) from None
            if (known := self._with_content(content)) is not None:
                return known
            landmarks, warnings = landmarks_of(path)
            if warnings:
                raise CatalogueError(
                    f"{warnings[0]}; a damaged file is not added: mend it, or use `airsift "
                    "catalogue add`"
                )
            given = {"title": utf8(path.stem), **tags_of(path), **given}
            fields.setdefault("file", utf8(path.name))
        else:
            landmarks, content = _of_samples(audio, rate, track or title, channels_first)
            if (known := self._with_content(content)) is not None:
                return known
        new = StoredTrack(
            track or content,
            given.get("title", ""),
            given.get("artist", ""),
            given.get("album", ""),
            given.get("isrc", ""),
            given.get("label", ""),
            content=content,
            extra=fields,
        )
        near = find_near_duplicate(catalogue, landmarks)
        copied = catalogue.named(near.track) if near is not None and near.is_copy else None
        if copied is not None:
            new = replace(new, recording=copied.recording)
        return _shown(catalogue.add_landmarks(landmarks, new))

    def rename(
        self,
        track: str,
        *,
        title: str | None = None,
        artist: str | None = None,
        album: str | None = None,
    ) -> Track:
        """Give a track another title, artist or album; None leaves one as it is.

        Parameters
        ----------
        track : str
            Its key.
        title, artist, album : str, optional
            The new names. Matches have them from then on, in every process.

        Returns
        -------
        Track
            As it is stored.

        Raises
        ------
        AirsiftError
            The key is unknown, a text cannot be stored, or another process is writing.
        """
        return _shown(self._opened().rename(track, title=title, artist=artist, album=album))

    def remove(self, *tracks: str) -> None:
        """Remove tracks by their keys.

        Raises
        ------
        AirsiftError
            One of them is unknown, and none is removed; or another process is writing.
        """
        self._opened().remove(*tracks)

    def __len__(self) -> int:
        return len(self._opened())

    def __iter__(self) -> Iterator[Track]:
        """Yield the tracks in the order of adding."""
        return map(_shown, self._opened().tracks())

    def __contains__(self, track: object) -> bool:
        """Whether there is a track with this key."""
        return isinstance(track, str) and self._opened().named(track) is not None

    def __getitem__(self, track: str) -> Track:
        """Return the track with this key; KeyError if there is none."""
        found = self._opened().named(track)
        if found is None:
            raise KeyError(track)
        return _shown(found)

    def close(self) -> None:
        """Close its database. Safe to call twice."""
        if self._catalogue is not None:
            self._catalogue.close()
            self._catalogue = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __fspath__(self) -> str:
        """Return the folder, so that it can be given where a path can."""
        return str(self.folder)

    def __repr__(self) -> str:
        if self._catalogue is None:
            return f"Catalogue({str(self.folder)!r}), closed"
        return f"Catalogue({str(self.folder)!r}) of {len(self)} tracks"

    def __reduce__(self) -> tuple[type[Catalogue], tuple[str]]:
        return Catalogue, (str(self.folder),)

    def _opened(self) -> library.Catalogue:
        if self._catalogue is None:
            raise CatalogueError(f"{self.folder}: the catalogue is closed; open it again")
        return self._catalogue

    def _local(self, audio: str | os.PathLike[str], rate: object) -> Path:
        from airsift.inputs import is_address, label_of

        if isinstance(audio, str) and is_address(audio):
            raise CatalogueError(f"{label_of(audio)}: is an address; download it, and add the file")
        if rate is not None:
            raise CatalogueError(
                f"rate={rate!r} is given for {os.fspath(audio)}: a file says that itself; leave "
                "it out"
            )
        return Path(audio)

    def _with_content(self, content: str) -> Track | None:
        if content not in self._opened().contents():
            return None
        return next((_shown(t) for t in self._opened().tracks() if t.content == content), None)


def _of_samples(
    audio: Audio,
    rate: SupportsIndex | float | None,
    name: str | None,
    channels_first: bool | None,
) -> tuple[Landmarks, str]:
    """Return the landmarks of samples, and a hash of them."""
    from fingerprint.analysis.track_landmarks import analyse

    digest = hashlib.sha256()

    def pieces() -> Iterator[NDArray[np.float32]]:
        recording = open_recording(audio, rate, config_of(None), channels_first=channels_first)
        with closing(recording):
            for item in mono_audio(recording, SAMPLE_RATE):
                if isinstance(item, AudioChunk):
                    digest.update(item.samples.tobytes())
                    yield item.samples

    landmarks = analyse(pieces(), name or "array")
    return landmarks, digest.hexdigest()[:16]


def _shown(track: StoredTrack) -> Track:
    return Track(
        track.key,
        track.title or None,
        track.artist or None,
        track.album or None,
        track.isrc or None,
        track.label or None,
        round(track.duration / SAMPLE_RATE, 3),
        track.extra,
    )
