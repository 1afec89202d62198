"""airsift itself: windows as ``airsift classify`` judges them, programmes as ``segment`` does."""

import os
from pathlib import Path

from bench.peers.runner import run


def load():
    import torch

    from airsift.cli.evaluate import segmenter
    from model import classifier
    from model.frontend.rolling_cqt import RollingCQT, cqt
    from stream.sources.file import read_file

    torch.set_num_threads(1)
    file = Path(os.environ.get("AIRSIFT_MODEL") or classifier.DEFAULT_WEIGHTS)
    loaded = classifier.load(file)
    front_end = RollingCQT()

    def window(path):
        samples = torch.from_numpy(read_file(path))[None]
        with torch.inference_mode():
            columns = cqt(samples, front_end)[:, : loaded.spec.window_columns]
        speech, music = loaded.decide(loaded.embed(columns))[0].tolist()
        return {"speech": speech, "music": music}

    hear = segmenter(file)

    def programme(path):
        heard = hear(Path(path))
        return {label: heard.spans_s(label) for label in ("speech", "music")}

    return window, programme


run(load, says=["speech", "music"], how="the whole of `airsift segment`; windows at 0.5")
