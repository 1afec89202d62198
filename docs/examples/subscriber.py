"""Print airsift's segments and matches as they are published, with kafka-python."""

import json
import os

from kafka import KafkaConsumer

consumer = KafkaConsumer(
    "airsift.segments",
    "airsift.matches",
    bootstrap_servers=os.environ.get("KAFKA", "127.0.0.1:9092"),
    auto_offset_reset="earliest",
)
known = {}  # events come at least once, and old forms may come late
for message in consumer:
    event = json.loads(message.value)
    if known.get(event["id"], ()) >= (form := (event["final"], event["end_sample"])):
        continue
    known[event["id"]] = form
    what = event.get("label") or f"{event['artist']} - {event['title']}"
    print(event["station"], event["start_s"], event["end_s"], what, flush=True)
