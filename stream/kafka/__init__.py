"""Audio from Kafka and events to it, with kafka-python and with Faust."""
