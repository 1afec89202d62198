"""The engine: audio from anywhere in, events out. `stream.pipeline` is the system in one screen."""
