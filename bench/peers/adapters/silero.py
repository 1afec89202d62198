"""silero-vad: speech only."""

import warnings

from bench.peers.runner import run


def timestamps(onnx=False):
    import numpy as np
    import torch

    warnings.simplefilter("ignore")
    from silero_vad import get_speech_timestamps, load_silero_vad

    torch.set_num_threads(1)
    model = load_silero_vad(onnx=onnx)

    def process(path):
        import wave

        with wave.open(path) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / np.float32(32768)
        found = get_speech_timestamps(
            torch.from_numpy(samples.astype(np.float32)), model, return_seconds=True
        )
        return {"speech": [(each["start"], each["end"]) for each in found]}

    return process, process


if __name__ == "__main__":
    run(timestamps, labels=["speech"], how="get_speech_timestamps, its thresholds")
