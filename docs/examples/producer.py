"""Send a WAV file to airsift as a station, at the pace of air: producer.py FILE STATION."""

import os
import sys
import time
import wave

from kafka import KafkaProducer

path, station = sys.argv[1:3]
servers = os.environ.get("KAFKA", "127.0.0.1:9092")
pace = float(os.environ.get("PACE", "1"))  # times real time
producer = KafkaProducer(bootstrap_servers=servers, acks="all")
with wave.open(path) as audio:  # 16 bit samples
    rate, start = audio.getframerate(), 0
    while value := audio.readframes(rate // 2):
        headers = {"content-type": "audio/x-s16le", "rate": rate, "start_sample": start}
        headers["channels"] = audio.getnchannels()
        encoded = [(name, str(text).encode()) for name, text in headers.items()]
        producer.send("airsift.audio", key=station.encode(), value=value, headers=encoded)
        start += len(value) // (2 * audio.getnchannels())
        time.sleep(0.5 / pace)
producer.flush()
