"""Opening what holds audio with PyAV, and saying in one line why it does not open."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import av
import av.error

from airsift.errors import DecodeError, SourceError

if TYPE_CHECKING:
    from av.container import InputContainer

# FFmpeg reads WAV in packets of 4096 samples and looks for DTS in its first 5 MB: larger
# packets and a shorter look read PCM three times as fast, and open it eight times as fast.
_WAV_OPTIONS = {"max_size": "65536", "probesize": "100000"}
# Playlists and reference movies name other files and hosts: a file may not make us call them.
# FLAC frames of 100 kB and more (7.1 at 192 kHz) are only found in larger reads than 1 kB.
_FILE_OPTIONS = {"protocol_whitelist": "file", "raw_packet_size": "65536"}
_URL_OPTIONS = {"protocol_whitelist": "http,https,tls,tcp,crypto,httpproxy"}
EMPTY = "is empty (0 bytes), so it holds no audio; check the file"
_UNKNOWN = (
    "is no audio file, or lacks its beginning or index (FFmpeg finds none it knows); "
    "check the file, or convert it to WAV, FLAC or MP3"
)


def open_container(
    source: str | Path | BinaryIO, name: str, options: dict[str, str], timeout_s: float | None
) -> InputContainer:
    """Open a path, URL or file object.

    Parameters
    ----------
    source : path, URL or binary file object
        Only a string with ``://`` in it is a URL.
    name : str
        What messages call it.
    options : dict
        FFmpeg's options, over the ones chosen here.
    timeout_s : float, optional
        Seconds that opening, or one read, may take.

    Raises
    ------
    SourceError
        It is not there, may not be read, or does not answer.
    DecodeError
        It is empty, or no container that FFmpeg knows.
    """
    if not isinstance(source, str | Path):
        options = _FILE_OPTIONS | options
        target: str | BinaryIO = source
    elif "://" in str(source):
        options = _URL_OPTIONS | options
        target = str(source)
    else:
        path = Path(source)
        options = _FILE_OPTIONS | _options_for(path, name) | options
        # An absolute path keeps FFmpeg from reading "a:b.mp3" as protocol a.
        target = str(path.absolute())
    try:
        container = av.open(
            target, "r", options=options, timeout=timeout_s, metadata_errors="replace"
        )
    except av.error.PatchWelcomeError as error:  # such as extensible RIFX
        raise DecodeError(f"{name}: is of a kind that FFmpeg cannot read; convert it") from error
    except (av.error.InvalidDataError, av.error.DemuxerNotFoundError) as error:
        raise DecodeError(f"{name}: {_UNKNOWN}") from error
    except av.error.FFmpegError as error:
        check = "that it is there"
        if "://" in str(target):
            if error.errno == errno.EIO:  # FFmpeg's word for an answer that ends too soon
                raise DecodeError(
                    f"{name}: its answer ends before any audio; check that it is a stream"
                ) from error
            check = "the address and the network, and the certificate if it is https"
        raise SourceError(
            f"{name}: cannot be opened ({reason_of(error)}); check {check}"
        ) from error
    if container.format.name == "tty":  # text, which FFmpeg would film
        container.close()
        raise DecodeError(f"{name}: {_UNKNOWN}")
    return container


def reason_of(error: av.error.FFmpegError) -> str:
    """Return FFmpeg's words for an error, for use inside a message."""
    if isinstance(error, av.error.ExitError):
        return "no answer in time"
    return error.strerror or type(error).__name__


def _options_for(path: Path, name: str) -> dict[str, str]:
    """Look at a file before FFmpeg does, where its own message would say less."""
    try:
        if path.is_dir():
            raise SourceError(f"{name}: is a folder; name the audio files in it")
        if not path.is_file():
            return {}  # a pipe or device, which can be read only once; or nothing at all
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        raise SourceError(f"{name}: cannot be read ({error.strerror}); check the path") from error
    if not head:
        raise DecodeError(f"{name}: {EMPTY}")
    return _WAV_OPTIONS if head[8:12] == b"WAVE" else {}
