"""silero-vad in onnxruntime, as its function `get_speech_timestamps`: for its speed alone."""

from bench.peers.adapters.silero import timestamps
from bench.peers.runner import run

run(lambda: timestamps(onnx=True), labels=["speech"], how="get_speech_timestamps, onnx=True")
