"""Send a WAV file to airsift as a station, in real time: producer.py FILE STATION."""

import os
import sys
import time
import wave

from kafka import KafkaProducer
from kafka.errors import InvalidTimestampError

path, station = sys.argv[1:3]
servers = os.environ.get("KAFKA", "127.0.0.1:9092")
pace = float(os.environ.get("PACE", "1"))  # times real time
producer = KafkaProducer(bootstrap_servers=servers, acks="all")
with wave.open(path) as audio:  # 16 bit samples
    rate = audio.getframerate()
    # Counted from 1970: events get the time of day, and a second run continues after the first.
    start = int(time.time() * rate)
    while value := audio.readframes(rate // 2):
        headers = {"content-type": "audio/x-s16le", "rate": rate, "start_sample": start}
        headers["channels"] = audio.getnchannels()
        encoded = [(name, str(text).encode()) for name, text in headers.items()]
        sent = producer.send("airsift.audio", key=station.encode(), value=value, headers=encoded)
        try:
            sent.get(timeout=60)
        except InvalidTimestampError:
            sys.exit("the broker refuses the message's time: set this machine's clock, it is wrong")
        start += len(value) // (2 * audio.getnchannels())
        time.sleep(0.5 / pace)
# Faster than real time, the count is ahead of the clock: the next run must not begin before it.
time.sleep(max(start / rate - time.time(), 0))
