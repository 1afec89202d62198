"""EfficientAT mn04_as in onnxruntime, on spans of 10 s: for its speed alone."""

import os
import wave
from pathlib import Path

from bench.peers.runner import run


def load():
    import io

    import numpy as np
    import onnxruntime
    import soxr
    import torch

    from model.corpus.teacher import RATE, load_teacher

    torch.set_num_threads(1)
    teacher = load_teacher(Path(os.environ["MN04_WEIGHTS"]).parent)
    network = torch.nn.Sequential(
        teacher.features, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        teacher.hidden, torch.nn.Hardswish(), teacher.out, torch.nn.Sigmoid(),
    )  # fmt: skip
    file = io.BytesIO()
    example = teacher.bands(torch.zeros(1, 10 * RATE))
    torch.onnx.export(
        network, (example,), file, input_names=["bands"], dynamic_axes={"bands": {3: "frames"}},
        dynamo=False,
    )  # fmt: skip
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(file.getvalue(), options)

    def process(path):
        with wave.open(path) as audio:
            rate = audio.getframerate()
            samples = np.frombuffer(audio.readframes(audio.getnframes()), "<i2") / np.float32(32768)
        resampled = torch.from_numpy(soxr.resample(samples, rate, RATE).astype(np.float32))
        with torch.inference_mode():
            rows = [
                session.run(None, {"bands": teacher.bands(part[None]).numpy()})[0][0]
                for part in torch.split(resampled, 10 * RATE)
            ]
        return {"speech": float(np.mean(rows, axis=0)[teacher.names.index("Speech")])}

    return process, process


run(load, labels=["speech"], how="a score every 10 s")
