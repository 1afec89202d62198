"""Kafka messages of coded audio: the CPU of decoding one, beside that of its bare decoding.

``message`` is `ChunkDecoder`: headers, packets, decoding, samples, their limits and the position.
``decoder`` passes the same packets, read beforehand, to one open decoder of FFmpeg and drops the
frames. Both take turns; the least of some rounds, in microseconds for a message.

::

    python -m bench.speed.messages
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

import av

from bench.report import Report, arguments
from bench.speed.latency import pieces_of
from stream.kafka.codec.message import ChunkDecoder
from stream.kafka.codec.mp3_file import read_mp3_file
from stream.kafka.codec.ogg import read_ogg
from stream.kafka.settings import WireSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from av.audio.codeccontext import AudioCodecContext

    from stream.kafka.codec.message import Message

ROUNDS = 15
CHUNKS_MS = (250, 1_000)
OPUS_HEADERS = 2  # packets before the audio


def packets_of(codec: str, value: bytes) -> list[bytes]:
    """Return the packets of audio in a message."""
    if codec == "opus":
        return [packet.data for packet in read_ogg(value)][OPUS_HEADERS:]
    file = read_mp3_file(value)
    assert file is not None
    return file.frames


def bare_decoder(codec: str, value: bytes) -> AudioCodecContext:
    """Return an open decoder for such messages."""
    name = "opus" if codec == "opus" else "mp3float"
    context = cast("AudioCodecContext", av.CodecContext.create(name, "r"))
    if codec == "opus":
        context.extradata = next(iter(read_ogg(value))).data
    context.thread_count = 1
    return context


def measure(report: Report, codec: str, chunk_ms: int) -> None:
    messages, rate = pieces_of(codec, chunk_ms)
    packets = [[av.Packet(p) for p in packets_of(codec, m.value or b"")] for m in messages]
    context = bare_decoder(codec, messages[0].value or b"")
    decoder = ChunkDecoder(WireSettings.default())
    sent = 0

    def decode_message(message: Message) -> None:
        nonlocal sent
        headers = dict(message.headers) | {"start_sample": b"%d" % (sent * rate * chunk_ms // 1000)}
        decoder.decode(b"a", message.value, list(headers.items()), 0, sent)
        sent += 1

    def decode_messages() -> None:
        for message in messages:
            decode_message(message)

    def decode_packets() -> None:
        for of_message in packets:
            for packet in of_message:
                context.decode(packet)

    calls: dict[str, Callable[[], None]] = {"message": decode_messages, "decoder": decode_packets}
    spent = dict.fromkeys(calls, float("inf"))
    for _ in range(ROUNDS):
        for name, call in calls.items():
            began = time.process_time()
            call()
            spent[name] = min(spent[name], time.process_time() - began)
    figures = {f"{name}_us": 1e6 * s / len(messages) for name, s in spent.items()}
    title = f"{codec}, {rate} Hz mono, {chunk_ms} ms"
    report.row(title, **figures, ratio=spent["message"] / spent["decoder"])


def main() -> None:
    options = arguments(__doc__).parse_args()
    report = Report("Messages of coded audio beside their bare decoding")
    for codec in ("opus", "mp3"):
        for chunk_ms in CHUNKS_MS:
            measure(report, codec, chunk_ms)
    report.finish(options.json)


if __name__ == "__main__":
    main()
