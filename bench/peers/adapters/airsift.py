"""airsift: windows as in ``airsift classify``, programmes as in ``airsift segment``."""

import os
from pathlib import Path

from bench.peers.runner import run


def load():
    import torch

    from airsift.cli.evaluate import segmenter
    from model import classifier, weights
    from model.frontend.rolling_cqt import RollingCQT, cqt
    from stream.sources.file import read_file

    torch.set_num_threads(1)
    file = Path(os.environ.get("AIRSIFT_MODEL") or weights.DEFAULT_WEIGHTS)
    loaded = classifier.load(file)
    front_end = RollingCQT()

    def window(path):
        samples = torch.from_numpy(read_file(path))[None]
        with torch.inference_mode():
            columns = cqt(samples, front_end)[:, : loaded.spec.window_columns]
        speech, music = loaded.decide(loaded.embed(columns))[0].tolist()
        return {"speech": speech, "music": music}

    segment = segmenter(file)

    def programme(path):
        found = segment(Path(path))
        return {label: found.spans_s(label) for label in ("speech", "music")}

    return window, programme


run(load, labels=["speech", "music"], how="the whole of `airsift segment`; windows at 0.5")
