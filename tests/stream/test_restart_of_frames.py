"""A decoder that begins at any message decodes the samples of one that began at the first."""

from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st

from stream.audio import AudioChunk
from stream.decoding.planes import planes_of
from stream.kafka.codec.frame_stream import NEW_STREAM, FrameStream
from stream.kafka.codec.message import CODECS, ChunkDecoder, encode
from stream.kafka.settings import WireSettings
from tests.examples import examples
from tests.stream.bare import Sent, messages, stream
from tests.stream.frame_restarts import check_restarts
from tests.stream.media import ogg_of

STREAMS = [
    ("mp3", 44_100, "stereo", 128_000),
    ("mp3", 48_000, "mono", 64_000),
    ("mp3", 32_000, "stereo", 48_000),
    ("mp3", 24_000, "stereo", 32_000),
    ("mp3", 24_000, "mono", 8_000),
    ("mp3", 16_000, "mono", 24_000),
    ("mp3", 8_000, "mono", 8_000),
    ("mp3", 11_025, "stereo", 16_000),
    ("aac", 48_000, "stereo", 96_000),
    ("aac", 44_100, "mono", 32_000),
    ("aac", 24_000, "stereo", 32_000),
    ("aac", 16_000, "mono", 16_000),
    ("aac", 48_000, "quad", 128_000),
]
VBR = (("q", "4"),)
ID3 = b"ID3\4\0\0" + bytes([0, 0, 3, 5]) + b"PRIV\xff\xfb\x90\xc0" * 48 + bytes(5)


@pytest.mark.long
@pytest.mark.parametrize("hint", ["nothing", "start_sample", "time_ms"])
@pytest.mark.parametrize("made", STREAMS, ids=lambda made: "-".join(map(str, made)))
@examples(
    3,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(data=st.data())
def test_restarts_anywhere_decode_the_same_samples(made, hint, data):
    options = VBR if made[0] == "mp3" and data.draw(st.booleans()) else ()
    frames = stream(*made, options=options)
    mean = sum(map(len, frames.frames)) // len(frames.frames)
    size = st.sampled_from([3, mean // 3, mean - 1, mean, 2 * mean + 1, 9 * mean, 60 * mean])
    sizes = data.draw(st.lists(size.map(lambda n: max(n, 1)), min_size=1, max_size=5))
    if sum(sizes) < 5 * len(sizes):
        sizes.append(mean)
    between = dict.fromkeys(data.draw(st.sets(st.integers(0, 200), max_size=3)), ID3)
    sent = messages(frames, sizes, hint, between=between)
    if data.draw(st.booleans()):  # some messages are lost, and some are damaged
        for i in data.draw(st.sets(st.integers(0, len(sent) - 1), max_size=3)):
            value = bytearray(sent[i].value)
            value[len(value) // 2 : len(value) // 2 + 9] = bytes(9)
            sent[i] = sent[i]._replace(value=bytes(value))
        lost = data.draw(st.sets(st.integers(1, len(sent) - 1), max_size=2))
        sent = [each for i, each in enumerate(sent) if i not in lost]
    ends = sorted(data.draw(st.lists(st.integers(1, len(sent)), min_size=1, max_size=3)))
    check_restarts(sent, ends, data.draw(st.sampled_from([0.0, 0.5, 5.0])))


END = Sent(b"", [("end", b"true")], -1)


@pytest.mark.long
@pytest.mark.parametrize("between", [[], [END]], ids=["", "end"])
@pytest.mark.parametrize("hint", ["nothing", "start_sample", "time_ms"])
@pytest.mark.parametrize("made", [STREAMS[3], STREAMS[8]], ids=lambda made: made[0])
def test_restarts_around_a_gap_decode_the_same_samples(made, hint, between):
    frames = stream(*made)
    mean = sum(map(len, frames.frames)) // len(frames.frames)
    sent = messages(frames, [mean + 9, 5 * mean, mean // 2], hint)
    third = len(sent) // 3
    sent = sent[:third] + between + sent[2 * third :]
    for end in range(third - 4, third + 10):
        check_restarts(sent, [end, end + 1], 0.2)


@pytest.mark.slow
@pytest.mark.parametrize("made", STREAMS, ids=lambda made: "-".join(map(str, made)))
def test_decoding_in_blocks_is_not_audible(made):
    options = () if made[0] == "mp3" else (("aac_pns", "0"),)  # noise is drawn by dice
    frames = stream(*made, options=options)
    name = "mp3float" if made[0] == "mp3" else "aac"
    context = av.CodecContext.create(name, "r")
    whole = [f for frame in frames.frames for f in context.decode(av.Packet(frame))]
    planes = planes_of(whole)
    blocks = FrameStream(name, WireSettings.default()).push(b"".join(frames.frames))
    assert np.array_equal(blocks.decoded.samples.reshape(-1, len(planes)).T, planes)
    assert len(frames.frames) > 130


@pytest.mark.parametrize("codec", [*CODECS, "vorbis"])
def test_a_file_in_a_message_decodes_the_same_after_any_message(codec):
    rng = np.random.default_rng(3)
    made = []
    for i in range(12):
        samples = rng.uniform(-0.5, 0.5, 6000 + 700 * i).astype(np.float32)
        chunk = AudioChunk("a", 10_000 * i, samples, 16_000)
        if codec == "vorbis":
            value = ogg_of("vorbis", "stereo", 4000 + 999 * i)
            made.append((b"a", value, [("content-type", b"audio/ogg")]))
        else:
            made.append(tuple(encode(chunk, codec)))
    one = ChunkDecoder(WireSettings.default())
    for i, message in enumerate(made):
        after = one.decode(*message, kafka_offset=i)
        alone = ChunkDecoder(WireSettings.default()).decode(*message)
        assert after.chunk.samples.tobytes() == alone.chunk.samples.tobytes()
        assert (after.begin.kafka_offset, after.begin.entry) == (i, NEW_STREAM)
