"""Kafka's record batches from bytes, whatever these are: no client library."""
