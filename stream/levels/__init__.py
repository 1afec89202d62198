"""Measurements of a second of audio: loudness, peaks, channels, and what is wrong with it."""
