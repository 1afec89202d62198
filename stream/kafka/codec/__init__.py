"""Bytes of a message to audio and back: no broker, no client library."""
