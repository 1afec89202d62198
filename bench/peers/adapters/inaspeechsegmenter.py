"""inaSpeechSegmenter with its speech/music/noise engine: one label at a time."""

import os

os.environ.update(TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1", TF_CPP_MIN_LOG_LEVEL="3")

from bench.peers.runner import run


def load():
    import warnings

    import imageio_ffmpeg
    from inaSpeechSegmenter import Segmenter
    from tensorflow import keras

    warnings.simplefilter("ignore")
    keras.utils.disable_interactive_logging()
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    model = Segmenter(vad_engine="smn", detect_gender=False, ffmpeg=ffmpeg)

    def process(path):
        spans = model(path)
        return {
            wanted: [(start, end) for label, start, end in spans if label == wanted]
            for wanted in ("speech", "music")
        }

    return process, process


run(load, labels=["speech", "music"], how="Segmenter('smn', detect_gender=False)")
