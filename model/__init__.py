"""Front end and network: from samples to columns to the probability of speech and of music."""

import os

# From its import on, onnxruntime 1.32 keeps an identifier of the device on disk and reports its use
# to its makers over the network. What a station hears is not theirs to know: airsift sends nothing.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
