from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.decoding.file_parts import SplicedFile
from stream.decoding.pcm_files import read_sampled
from stream.decoding.reader import AudioReader
from tests.examples import examples
from tests.stream.media import encode, runs
from tests.stream.wave_files import INFO, PCM, RATE, SIGNAL, WHOLE, form, wav, wide


def check(path: Path, expected: np.ndarray | None = None, *, short: bool = False) -> AudioReader:
    """Check that all of a file's samples are read, and whether an early end is reported."""
    reader = AudioReader(path)
    ((start, samples),) = runs(reader)
    expected = SIGNAL.mean(0) if expected is None else expected
    assert start == 0
    np.testing.assert_allclose(samples, expected[: len(samples)], atol=1e-3)
    if short:
        (problem,) = reader.problems
        assert "ends early" in problem
    else:
        assert reader.problems == []
        assert len(samples) == len(expected)
    return reader


@pytest.mark.parametrize("kind", WHOLE)
def test_a_wav_file_is_read_to_its_end_with_any_header(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.wav").write_bytes(WHOLE[kind])
    check(tmp_path / "a.wav")


@pytest.mark.parametrize(
    "kind", ["sound", "RF64", "BW64", "byte rate too small", "byte rate too large", "block align 3"]
)
def test_a_wav_file_that_is_cut_is_reported(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.wav").write_bytes(WHOLE[kind][: len(PCM) // 2])
    reader = check(tmp_path / "a.wav", short=True)
    assert "promises 4.00 s" in reader.problems[0]


@examples(30)
@given(
    stated=st.integers(0, 2 * len(PCM)), align=st.integers(0, 70), byte_rate=st.integers(0, 10**9)
)
def test_any_length_align_and_byte_rate_give_all_samples(
    tmp_path_factory: pytest.TempPathFactory, stated: int, align: int, byte_rate: int
) -> None:
    if byte_rate == RATE * align and align != 4:
        byte_rate += 1  # which would be samples of another width
    path = tmp_path_factory.getbasetemp() / "any.wav"
    path.write_bytes(wav(form(align=align, byte_rate=byte_rate), PCM, stated=stated))
    check(path, short=stated > len(PCM) + RATE)


def test_samples_of_24_bits_in_4_bytes(tmp_path: Path) -> None:
    data = (SIGNAL.T * 2**31).astype("<i4").tobytes()
    (tmp_path / "a.wav").write_bytes(wav(form(bits=24, align=8, byte_rate=RATE * 8), data))
    check(tmp_path / "a.wav")


class Sparse(io.RawIOBase):
    """A file of many zeros with some bytes here and there."""

    def __init__(self, size: int, parts: dict[int, bytes]) -> None:
        self.size = size
        self.parts = parts
        self.at = 0

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self.at = (0, self.at, self.size)[whence] + offset
        return self.at

    def tell(self) -> int:
        return self.at

    def read(self, size: int = -1, /) -> bytes:
        n = min(size, max(self.size - self.at, 0))
        out = bytearray(n)
        for place, data in self.parts.items():
            for i, byte in enumerate(data):
                if self.at <= place + i < self.at + n:
                    out[place + i - self.at] = byte
        self.at += n
        return bytes(out)


@pytest.mark.parametrize("length", [(1 << 32) + 1_000, (1 << 32) + 4, 3 * (1 << 32) + 4_000])
@pytest.mark.parametrize("after", [b"", INFO])
def test_a_length_beyond_4_gb_has_wrapped(length: int, after: bytes) -> None:
    head = wav(form(), b"", stated=length)
    file = Sparse(len(head) + length + len(after), {0: head, len(head) + length: after})
    found = read_sampled(file, 0, file.size)  # type: ignore[arg-type]
    assert found is not None
    assert (found.stated, found.there) == (length, length)
    assert found.pieces[1] == (len(head), len(head) + length)


def test_a_length_between_2_and_4_gb_is_believed_where_it_fits() -> None:
    for length in (1 << 31, (1 << 32) - 2, 3_000_000_000):
        head = wav(form(), b"", stated=length)
        file = Sparse(len(head) + length, {0: head})
        found = read_sampled(file, 0, file.size)  # type: ignore[arg-type]
        assert found is not None
        assert (found.there, found.pieces) == (length, [])


@pytest.mark.parametrize(
    "codec", ["adpcm_ms", "adpcm_ima_wav", "pcm_alaw", "pcm_mulaw", "pcm_f32le"]
)
@pytest.mark.parametrize("byte_rate", [None, 1, 10**8])
def test_other_codecs_in_wav_are_whole_at_any_byte_rate(
    tmp_path: Path, codec: str, byte_rate: int | None
) -> None:
    path = tmp_path / "a.wav"
    encode(path, SIGNAL, RATE, codec)
    data = bytearray(path.read_bytes())
    if byte_rate is not None:
        place = data.index(b"fmt ") + 16
        data[place : place + 4] = byte_rate.to_bytes(4, "little")
    path.write_bytes(data)
    reader = AudioReader(path)
    ((_, samples),) = runs(reader)
    assert reader.problems == []
    assert len(samples) == pytest.approx(4 * RATE, abs=2_100)
    path.write_bytes(data[: len(data) // 2])
    reader = AudioReader(path)
    runs(reader)
    assert "ends early at 2.0" in reader.problems[0]


def test_gsm_in_wav_is_whole(tmp_path: Path) -> None:
    # Of Microsoft's GSM there is no encoder here; frames of zeros decode to something.
    fmt = struct.pack("<HHIIHHHH", 0x31, 1, 8_000, 1_625, 65, 0, 2, 320)
    data = (bytes([0xD0]) + bytes(64)) * 200
    for cut in (0, 65 * 100):
        (tmp_path / "a.wav").write_bytes(wav(fmt, data)[: len(data) + 48 - cut])
        reader = AudioReader(tmp_path / "a.wav")
        decoded = sum(len(samples) for _, samples in runs(reader))
        assert decoded == pytest.approx(320 * (len(data) - cut) / 65, abs=640)
        assert bool(reader.problems) == bool(cut)


LIST = b"LIST" + struct.pack("<I", 12) + b"INFO" + b"ISFT" + struct.pack("<I", 0)
BEHIND = {
    "one": INFO,
    "two": INFO + b"id3 " + struct.pack("<I", 2_000) + np.random.default_rng(0).bytes(2_000),
    "odd": b"cue " + struct.pack("<I", 4) + bytes(4) + b"LIST\3\0\0\0abc\0",
    "a tag as well": LIST + b"TAG" + bytes(125),
}


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("stated", [0, -1, 0x7FFFF000, 1_000, len(PCM) // 3])
@pytest.mark.parametrize("kind", ["s16", "f32", "u8"])
def test_chunks_behind_audio_of_unknown_length_are_no_audio(
    tmp_path: Path, kind: str, stated: int, behind: str
) -> None:
    formats = {
        "s16": (form(), PCM),
        "f32": (form(bits=32, tag=3), SIGNAL.T.astype("<f4").tobytes()),
        "u8": (form(bits=8), (SIGNAL.T * 127 + 128).round().astype("u1").tobytes()),
    }
    fmt, data = formats[kind]
    path = tmp_path / "a.wav"
    path.write_bytes(wav(fmt, data, stated=stated, after=BEHIND[behind]))
    reader = AudioReader(path)
    ((_, samples),) = runs(reader)
    assert (reader.problems, len(samples)) == ([], len(SIGNAL[0]))
    np.testing.assert_allclose(samples, SIGNAL.mean(0), atol=0.02)


@pytest.mark.parametrize(
    ("stored", "valid"), [(16, 12), (24, 16), (24, 20), (32, 16), (32, 20), (32, 24)]
)
def test_samples_of_fewer_valid_bits_than_are_stored(
    tmp_path: Path, stored: int, valid: int
) -> None:
    """Recorders write such files: 24 bits, stored as 32."""
    high = (SIGNAL.T * (2**31 - 1)).astype("<i4") >> (32 - valid) << (32 - valid)
    data = high.reshape(-1, 1).view("u1")[:, -(stored // 8) :].tobytes()
    guid = bytes.fromhex("000000001000800000aa00389b71")
    more = struct.pack("<HHIH", 22, valid, 3, 1) + guid
    path = tmp_path / "a.wav"
    path.write_bytes(wav(form(bits=stored, tag=0xFFFE) + more, data))
    check(path)
    for align in (0, 1):
        path.write_bytes(wav(form(bits=stored, tag=0xFFFE, align=align) + more, data))
        check(path)


@pytest.mark.parametrize("length", [0, -1, 1_000, len(PCM) // 8 * 4])
@pytest.mark.parametrize("codec", ["pcm_f32be", "pcm_f64be", "pcm_alaw", "pcm_u8", "pcm_s16le"])
def test_aiff_c_is_read_to_its_end_with_any_header(tmp_path: Path, codec: str, length: int) -> None:
    path = tmp_path / "a.aiff"
    encode(path, SIGNAL, RATE, codec)
    data = with_length(path.read_bytes(), "aiff", length)
    for behind in (b"", b"NAME\0\0\0\4song", b"ANNO\0\0\0\3abc\0AUTH\0\0\0\4some"):
        path.write_bytes(data + behind)
        reader = AudioReader(path)
        ((_, samples),) = runs(reader)
        assert (reader.problems, len(samples)) == ([], len(SIGNAL[0]))
        np.testing.assert_allclose(samples, SIGNAL.mean(0), atol=0.02)


def test_joined_wav_files(tmp_path: Path) -> None:
    second = wav(form(1, 8_000), PCM[:32_000], after=INFO)
    third = wide(len(PCM))
    (tmp_path / "a.wav").write_bytes(wav(form(), PCM, after=INFO) + second + third)
    reader = AudioReader(tmp_path / "a.wav")
    ((_, samples),) = runs(reader)
    assert reader.problems == []
    assert len(samples) == pytest.approx((4 + 2 + 4) * RATE, abs=4)
    np.testing.assert_allclose(samples[-4 * RATE :], SIGNAL.mean(0), atol=1e-3)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return sound files of the other formats that are a header and samples."""
    folder = tmp_path_factory.mktemp("sampled")
    kinds = {"w64": "pcm_s16le", "aiff": "pcm_s16be", "au": "pcm_s16be", "caf": "pcm_s16be"}
    for name, codec in kinds.items():
        encode(folder / f"a.{name}", SIGNAL, RATE, codec)
    return {name: (folder / f"a.{name}").read_bytes() for name in kinds}


def with_length(data: bytes, name: str, length: int) -> bytes:
    """Return a file whose header states another length of the audio."""
    at, size, more, order = {
        "w64": (data.find(b"data") + 16, 8, 24, "little"),
        "aiff": (data.find(b"SSND") + 4, 4, 8, "big"),
        "au": (8, 4, 0, "big"),
        "caf": (data.find(b"data") + 4, 8, 4, "big"),
    }[name]
    number = (length + more if length > 0 else length) % (1 << 8 * size)
    return data[:at] + number.to_bytes(size, order) + data[at + size :]  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [0, -1, 1_000, len(PCM) // 3, len(PCM)])
@pytest.mark.parametrize("name", ["w64", "aiff", "au", "caf"])
def test_other_files_are_read_to_their_end_with_any_header(
    tmp_path: Path, others: dict[str, bytes], name: str, length: int
) -> None:
    path = tmp_path / f"a.{name}"
    path.write_bytes(with_length(others[name], name, length))
    check(path)


@pytest.mark.parametrize("name", ["w64", "aiff", "au", "caf"])
def test_other_files_that_are_cut_are_reported(
    tmp_path: Path, others: dict[str, bytes], name: str
) -> None:
    data = others[name]
    (tmp_path / f"a.{name}").write_bytes(data[: len(data) // 2])
    reader = check(tmp_path / f"a.{name}", short=True)
    assert "promises 4.0" in reader.problems[0]


def test_an_aiff_file_that_nobody_has_finished(tmp_path: Path, others: dict[str, bytes]) -> None:
    data = bytearray(others["aiff"])
    data[4:8] = bytes(4)
    frames = data.index(b"COMM") + 10
    data[frames : frames + 4] = bytes(4)
    (tmp_path / "a.aiff").write_bytes(with_length(bytes(data), "aiff", 0))
    check(tmp_path / "a.aiff")


@given(
    data=st.binary(max_size=400),
    magic=st.sampled_from(
        [
            b"RIFF\0\0\0\0WAVEfmt ",
            b"RF64\0\0\0\0WAVE",
            b"FORM\0\0\0\0AIFF",
            b".snd",
            b"caff\0\0\0\0",
        ]
    ),
)
def test_any_bytes_are_a_file_within_their_bounds_or_none(data: bytes, magic: bytes) -> None:
    file = io.BytesIO(magic + data)
    size = len(magic) + len(data)
    found = read_sampled(file, 0, size)
    if found is not None:
        assert 0 < found.end <= size
        assert found.there >= 0
        assert found.stated >= 0


@examples(60)
@given(
    pieces=st.lists(st.binary(max_size=9) | st.tuples(st.integers(0, 99), st.integers(0, 99))),
    moves=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 50)), max_size=20),
)
def test_pieces_read_like_the_bytes_they_stand_for(
    pieces: list[bytes | tuple[int, int]], moves: list[tuple[int, int]]
) -> None:
    data = bytes(range(100))
    whole = b"".join(
        p if isinstance(p, bytes) else data[p[0] : max(p)] if p[1] > p[0] else b"" for p in pieces
    )
    made = SplicedFile(io.BytesIO(data), pieces)
    assert made.size == len(whole)
    for at, n in moves:
        made.seek(at)
        out = b""
        while len(out) < n and (more := made.read(n - len(out))):
            out += more
        assert out == whole[at : at + n]
