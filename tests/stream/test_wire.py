from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airsift.errors import DecodeError
from stream.audio import AudioChunk
from stream.kafka.codec.message import CODECS, ChunkDecoder, Message, encode
from stream.kafka.settings import WireSettings
from stream.testing import tone
from tests.examples import examples

RATES = (8000, 16000, 44100, 48000)


def decode(
    message: Message, limits: WireSettings | None = None, arrived_ms: int | None = None
) -> AudioChunk:
    return ChunkDecoder(limits or WireSettings.default()).decode(*message, arrived_ms).chunk


def with_headers(message: Message, **changes: str | None) -> Message:
    headers = {name: value.decode() for name, value in message.headers}
    headers |= {name.replace("_", "-", name == "content_type"): v for name, v in changes.items()}
    encoded = [(name, text.encode()) for name, text in headers.items() if text is not None]
    return message._replace(headers=encoded)


@pytest.fixture
def message() -> Message:
    return encode(AudioChunk("news", 32000, tone(0.1, 16000), 16000, 1_700_000_000.25), "pcm")


@examples(40)
@given(
    codec=st.sampled_from(CODECS),
    rate=st.sampled_from(RATES),
    n=st.integers(1, 6000),
    start=st.integers(0, 2**40),
)
def test_every_codec_keeps_place_and_length(codec: str, rate: int, n: int, start: int) -> None:
    if codec == "opus" and rate == 44100:
        with pytest.raises(DecodeError, match="rate=44100: opus"):
            encode(AudioChunk("news", start, tone(n / rate, rate), rate), codec)
        return
    chunk = decode(encode(AudioChunk("news", start, tone(n / rate, rate), rate), codec))
    # Opus always comes back at 48 kHz.
    assert chunk.rate == (48000 if codec == "opus" else rate)
    assert chunk.start * rate == start * chunk.rate
    assert len(chunk.samples) * rate == n * chunk.rate


@examples(30)
@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=50))
def test_f32_is_lossless(values: list[float]) -> None:
    samples = np.array(values, np.float32)
    assert np.array_equal(
        decode(encode(AudioChunk("a", 0, samples, 16000), "f32")).samples, samples
    )


@pytest.mark.parametrize("codec", ["pcm", "flac"])
@examples(30)
@given(values=st.lists(st.integers(-32768, 32767), min_size=1, max_size=50))
def test_16_bit_audio_survives_pcm_and_flac(codec: str, values: list[int]) -> None:
    samples = (np.array(values) / 32768).astype(np.float32)
    assert np.array_equal(
        decode(encode(AudioChunk("a", 0, samples, 16000), codec)).samples, samples
    )


@pytest.mark.parametrize(("codec", "rate"), [("opus", 16000), ("opus", 48000), ("mp3", 44100)])
def test_messages_of_lossy_codecs_join_without_a_click(codec: str, rate: int) -> None:
    n = rate // 2
    sent = tone(4 * n / rate, rate)
    decoder = ChunkDecoder(WireSettings.default())
    decoded = np.concatenate(
        [
            decoder.decode(*encode(AudioChunk("a", i, sent[i : i + n], rate), codec)).chunk.samples
            for i in range(0, len(sent), n)
        ]
    )
    decoded = decoded[:: len(decoded) // len(sent)]
    error = np.abs(decoded - sent).reshape(4, n)
    assert np.sqrt(np.mean(error**2)) < 0.02
    assert error[:, : rate // 100].max() < 0.1
    assert error[:, -rate // 100 :].max() < 0.1


def test_a_chunk_that_is_not_finite_is_sent_as_silence() -> None:
    samples = np.array([np.nan, 0.5, np.inf, -np.inf], np.float32)
    assert decode(encode(AudioChunk("a", 0, samples, 8000), "f32")).samples.tolist() == [
        0,
        0.5,
        1,
        -1,
    ]


def test_the_time_of_the_first_sample_is_carried(message: Message) -> None:
    assert decode(message).time == 1_700_000_000.25


def test_channels_are_not_mixed_by_the_decoder(message: Message) -> None:
    stereo = np.array([[0, 16384], [8192, 8192]], "<i2").tobytes()
    chunk = decode(with_headers(message._replace(value=stereo), channels="2"))
    assert chunk.samples.tolist() == [[0.0, 0.5], [0.25, 0.25]]


@pytest.mark.parametrize(
    ("changes", "pattern"),
    [
        ({"content_type": None}, "header content-type is missing.*kafka.wire.default_content_type"),
        ({"content_type": "video/mp4"}, "header content-type='video/mp4' must be one of audio/"),
        ({"content_type": "audio/flac"}, "3200 bytes do not decode as flac"),
        ({"content_type": "audio/ogg"}, "3200 bytes do not decode as ogg"),
        ({"content_type": "audio/mpeg"}, "3200 bytes are not a stream of mp3 frames"),
        ({"rate": None}, "header rate is missing.*kafka.wire.default_rate"),
        ({"rate": "fast"}, "header rate='fast' must be a whole number"),
        ({"rate": "٤٨"}, "must be a whole number"),
        ({"rate": "500000"}, "rate=500000 must be 1000 to kafka.wire.max_rate=192000"),
        ({"rate": "9" * 5000}, "must be a whole number"),
        ({"rate": "0"}, "header rate='0' must be a whole number from 1"),
        ({"channels": "0"}, "header channels='0' must be a whole number from 1"),
        ({"content_type": "audio/x-s16le;rate=8000"}, "rate is sent as '16000' and as '8000'"),
        ({"channels": "9"}, "channels=9 is more than kafka.wire.max_channels=8"),
        ({"channels": "3"}, "3200 bytes are no multiple of 6"),
        ({"start_sample": "-1"}, "header start_sample='-1'"),
        ({"time_ms": "yesterday"}, "header time_ms='yesterday'"),
        ({"schema": "airsift.audio/2"}, "schema='airsift.audio/2': this version reads"),
    ],
)
def test_a_wrong_header_is_named(
    message: Message, changes: dict[str, str | None], pattern: str
) -> None:
    with pytest.raises(DecodeError, match=pattern):
        decode(with_headers(message, **changes))


@pytest.mark.parametrize("name", ["rate", "Start_Sample", "content-type", "channels", "end"])
def test_a_header_that_contradicts_itself_is_named(message: Message, name: str) -> None:
    changed = with_headers(message, channels="1", end="false")
    other = {"content-type": b"audio/wav", "end": b"true"}.get(name, b"2")
    with pytest.raises(DecodeError, match=f"header {name.lower()} is sent as '.*' and as '"):
        decode(changed._replace(headers=[*changed.headers, (name, other)]))
    known = dict(changed.headers)[name.lower()]
    for again in ((name, known), (name, b""), ("x-trace", b"1"), ("x-trace", b"2")):
        decode(changed._replace(headers=[*changed.headers, again]))


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("audio/x-s16le; rate=44100; channels=2", (44_100, 800)),
        ('AUDIO/X-S16LE;channels="2"; charset=binary; rate=8000', (8_000, 800)),
        ("audio/x-s16le; rate=48000", (48_000, 1600)),
    ],
)
def test_raw_samples_are_decoded_by_their_content_type(
    message: Message, kind: str, shape: tuple[int, int]
) -> None:
    chunk = decode(with_headers(message, rate=None, channels=None, content_type=kind))
    assert (chunk.rate, len(chunk.samples)) == shape


@pytest.mark.parametrize(
    ("value", "pattern"),
    [
        (b"", "the message has no value"),
        (b"\0" * 9_000_000, "9000000 bytes are more than kafka.wire.max_bytes=8388608"),
        (b"\0" * 2_000_000, "more than kafka.wire.max_s=60 s"),
    ],
)
def test_a_value_beyond_the_limits_is_refused(message: Message, value: bytes, pattern: str) -> None:
    with pytest.raises(DecodeError, match=pattern):
        decode(message._replace(value=value))


@pytest.mark.parametrize(
    ("key", "pattern"),
    [(None, "no key"), (b"\xff\xfe", "not UTF-8"), (b"a\nb", "printable"), (b"x" * 300, "200")],
)
def test_a_key_that_is_no_station_is_refused(
    message: Message, key: bytes | None, pattern: str
) -> None:
    with pytest.raises(DecodeError, match=pattern):
        ChunkDecoder(WireSettings.default()).decode(key, message.value, message.headers)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_samples_that_are_no_audio_are_refused(message: Message, bad: float) -> None:
    value = np.array([0.1, bad], "<f4").tobytes()
    with pytest.raises(DecodeError, match="full scale is 1"):
        decode(with_headers(message._replace(value=value), content_type="audio/x-f32le"))


def test_a_bomb_is_stopped_at_the_limit() -> None:
    silence = encode(AudioChunk("a", 0, np.zeros(8000 * 120, np.float32), 8000), "flac")
    assert len(silence.value) < 40_000
    with pytest.raises(DecodeError, match="max_s=60 s of audio"):
        decode(silence)


def test_a_configured_format_stands_in_for_headers(message: Message) -> None:
    limits = WireSettings.default(default_content_type="audio/x-s16le", default_rate=16000)
    chunk = decode(message._replace(headers=[]), limits, arrived_ms=1_000)
    assert np.array_equal(chunk.samples, decode(message).samples)
    assert (chunk.start, chunk.time) == (16000, 1.0)


def test_a_true_rate_is_needed_where_the_audio_knows_its_own() -> None:
    message = encode(AudioChunk("a", 0, tone(1, 8000), 8000), "flac")
    with pytest.raises(DecodeError, match="header rate=16000, but the audio/flac inside says 8000"):
        decode(with_headers(message, rate="16000"))
    assert decode(with_headers(message, rate=None)).rate == 8000
    for wrong in ("1", "1000", "4000"):  # its samples are counted at one rate
        with pytest.raises(DecodeError, match="the audio/flac inside says 8000"):
            decode(with_headers(message, rate=wrong))


KINDS = [
    b"audio/x-s16le",
    b"audio/x-f32le",
    b"audio/flac",
    b"audio/ogg",
    b"audio/mpeg",
    b"audio/aac",
    b"audio/wav",
]
NAMES = ["schema", "content-type", "rate", "channels", "start_sample", "time_ms", "x"]
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from([*KINDS, b"1", b"16000", b"44100", b"0"]) | st.binary(max_size=20),
    ),
    max_size=7,
)


def is_sound_or_refused(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
) -> bool:
    try:
        chunk = ChunkDecoder(WireSettings.default(max_s=1)).decode(key, value, headers).chunk
    except DecodeError as error:
        return len(str(error).splitlines()) == 1
    return bool(np.isfinite(chunk.samples).all()) and chunk.start >= 0


@examples(150)
@given(st.none() | st.binary(max_size=8), st.none() | st.binary(max_size=3000), HEADERS)
def test_rubbish_is_refused_in_one_line(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    assert is_sound_or_refused(key, value, headers)


@pytest.mark.parametrize("kind", KINDS)
@examples(20)
@given(value=st.binary(min_size=1, max_size=4000))
def test_rubbish_of_every_type_is_refused_in_one_line(kind: bytes, value: bytes) -> None:
    assert is_sound_or_refused(b"a", value, [("content-type", kind), ("rate", b"16000")])


@pytest.mark.parametrize("codec", CODECS)
@examples(20)
@given(
    damage=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=20),
    cut=st.integers(0, 10**6),
)
def test_damaged_messages_are_refused_or_sound(
    codec: str, damage: list[tuple[int, int]], cut: int
) -> None:
    message = encode(AudioChunk("a", 0, tone(3000 / 16000, 16000), 16000), codec)
    value = bytearray(message.value)
    for at, byte in damage:
        value[at % len(value)] = byte
    assert is_sound_or_refused(b"a", bytes(value[: 1 + cut % len(value)]), message.headers)
