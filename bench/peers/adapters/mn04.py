"""EfficientAT mn04_as, a tagger of AudioSet: the classes Speech, and Music, Singing or Rapping."""

import os
import wave
from pathlib import Path

from bench.peers.runner import run


def load():
    import numpy as np
    import soxr
    import torch

    from model.corpus.teacher import RATE, load_teacher

    torch.set_num_threads(1)
    teacher = load_teacher(Path(os.environ["MN04_WEIGHTS"]).parent)
    speech = [teacher.names.index("Speech")]
    music = [teacher.names.index(name) for name in ("Music", "Singing", "Rapping")]

    def window(path):
        with wave.open(path) as file:
            rate = file.getframerate()
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / np.float32(32768)
        resampled = soxr.resample(samples, rate, RATE).astype(np.float32)
        with torch.inference_mode():
            probabilities = torch.sigmoid(teacher(torch.from_numpy(resampled)[None]))[0]
        return {"speech": float(probabilities[speech].max()),
                "music": float(probabilities[music].max())}  # fmt: skip

    return window, None


run(load, labels=["speech", "music"], how="Speech; the largest of Music, Singing and Rapping")
