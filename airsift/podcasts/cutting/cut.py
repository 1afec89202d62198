"""One cut: into a file that is joined of all that is kept, or into a file for each stretch."""

from __future__ import annotations

import errno
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airsift.errors import ConfigError, DecodeError
from airsift.files import replacing
from airsift.podcasts.cutting.packets import Piece, copy_packets
from airsift.podcasts.cutting.samples import Encoding, Treatment, encode_samples

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airsift.podcasts.cutting.spans import Span

# By the end of a name: FFmpeg's container, its encoder, and the codec.
_KINDS = {
    ".mp3": ("mp3", "libmp3lame", "mp3"),
    ".m4a": ("mp4", "aac", "aac"),
    ".m4b": ("mp4", "aac", "aac"),
    ".mp4": ("mp4", "aac", "aac"),
    ".aac": ("adts", "aac", "aac"),
    ".opus": ("ogg", "libopus", "opus"),
    ".ogg": ("ogg", "libopus", "opus"),
    ".oga": ("ogg", "libopus", "opus"),
    ".flac": ("flac", "flac", "flac"),
    ".wav": ("wav", "pcm_s16le", "pcm"),
}
_SUFFIX_OF = {"mp3": ".mp3", "aac": ".m4a", "opus": ".opus", "flac": ".flac", "pcm": ".wav"}
_COPIED = ("mp3", "aac", "opus")
_WITHOUT_LOSS = ("flac", "pcm", "alac", "wavpack", "ape", "tta", "als", "mlp", "truehd")
_WAV_FORMATS = {"s32": "pcm_s24le", "s32p": "pcm_s24le", "flt": "pcm_f32le", "fltp": "pcm_f32le"}
# The recording was read before, so these are errors of what is written.
_OF_THE_DISK = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
)


@dataclass(frozen=True, slots=True)
class Original:
    """What a recording is encoded with.

    Parameters
    ----------
    codec : str
        FFmpeg's name, "pcm" for all kinds of it.
    sample_format : str
        FFmpeg's name.
    bit_rate : int
        Bits a second; 0 where that is not known.
    """

    codec: str
    sample_format: str
    bit_rate: int

    @property
    def suffix(self) -> str:
        """How the name of a file ends into which it is cut."""
        return _SUFFIX_OF.get(self.codec, ".flac" if self.is_lossless else ".opus")

    @property
    def is_lossless(self) -> bool:
        """Whether decoding and encoding changes no sample."""
        return self.codec in _WITHOUT_LOSS


def original_of(source: Path, track: str | None) -> Original:
    """Return what a recording is encoded with.

    Raises
    ------
    AirsiftError
        It is no audio.
    """
    from stream.decoding.container import open_container
    from stream.decoding.tracks import choose_track

    with open_container(source, str(source), {}, None) as container:
        stream = choose_track(container, str(source), track)
        context = stream.codec_context
        codec = context.name.removesuffix("float")
        codec = "pcm" if codec.startswith("pcm_") else codec.removeprefix("lib")
        rate = stream.bit_rate or context.bit_rate or container.bit_rate or 0
        return Original(codec, context.format.name if context.format else "", rate)


def is_copied(original: Original, suffix: str, treatment: Treatment, *, exact: bool) -> bool:
    """Return whether packets are copied, rather than decoded and encoded.

    Raises
    ------
    ConfigError
        The audio would lose quality without having been asked for it, or nothing writes such files.
    """
    kind = _KINDS.get(suffix.lower())
    if kind is None:
        raise ConfigError(
            f"{suffix or 'a name without an end'}: is nothing that is written here; end the name "
            f"in {', '.join(_KINDS)}"
        )
    if exact or treatment != Treatment():
        return False
    if original.codec in _COPIED and original.codec == kind[2]:
        return True
    if original.is_lossless and kind[2] in ("flac", "pcm"):
        return False
    raise ConfigError(
        f"{original.codec} in {suffix}: has to be encoded again, which loses a little; give "
        f"--exact if this is meant, or end the name in {original.suffix}"
    )


def cut(
    source: Path,
    pieces: list[Piece],
    original: Original,
    treatment: Treatment,
    *,
    copied: bool,
    track: str | None = None,
    on_time: Callable[[float], object] = lambda _: None,
) -> list[str]:
    """Write the pieces of a recording: all of them, or none. Return what is to be told.

    Parameters
    ----------
    source : Path
        The recording.
    pieces : list of Piece
        In order of time, without overlap; all with one end of their names.
    original : Original
        What it is encoded with.
    treatment : Treatment
        What is done to the samples, if packets are not copied.
    copied : bool
        Whether packets are copied.
    track : str, optional
        Number, language or title of the audio track; by default the container's default.
    on_time : callable
        Is called with the position of the reading, in seconds; it may raise.

    Raises
    ------
    ConfigError
        A file is there already, or cannot be written.
    AirsiftError
        The recording cannot be read.
    """
    import av.error

    for piece in pieces:
        if piece.path.exists():
            raise ConfigError(f"{piece.path}: is there already; remove it, or give another name")
    container, encoder, codec = _KINDS[pieces[0].path.suffix.lower()]
    with ExitStack() as stack:
        partial = [
            replace(piece, path=stack.enter_context(replacing(piece.path))) for piece in pieces
        ]
        try:
            if copied:
                copy_packets(source, partial, container, track, on_time)
                notes = []
            else:
                if codec == "pcm":
                    encoder = _WAV_FORMATS.get(original.sample_format, encoder)
                rate = 0 if codec in ("flac", "pcm") or original.is_lossless else original.bit_rate
                encoding = Encoding(container, encoder, rate)
                notes = encode_samples(source, partial, encoding, treatment, track, on_time)
        except av.error.FFmpegError as error:
            if error.errno in _OF_THE_DISK:  # `replacing` says it
                raise OSError(error.errno, error.strerror) from error
            raise DecodeError(
                f"{source}: cannot be cut ({error.strerror or error}); try --exact, or convert it"
            ) from error
        for piece, final in zip(partial, pieces, strict=True):
            if not piece.path.exists():
                raise DecodeError(
                    f"{source}: has no audio at {final.spans[0][0]:.1f} s, so {final.path.name} "
                    "would be empty; check the file"
                )
    return [note.replace(".partial:", ":") for note in notes]


def joined(path: Path, spans: list[Span]) -> list[Piece]:
    """Return the one piece that has all stretches."""
    return [Piece(path, spans)]


def parts(folder: Path, stem: str, suffix: str, spans: list[Span]) -> list[Piece]:
    """Return a piece for each stretch, with a number in its name."""
    digits = max(len(str(len(spans))), 3)
    return [
        Piece(folder / f"{stem}-{number:0{digits}}{suffix}", [span])
        for number, span in enumerate(spans, 1)
    ]
