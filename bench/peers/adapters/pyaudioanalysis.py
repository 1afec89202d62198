"""pyAudioAnalysis with its support vector machine of four classes: one label at a time."""

import contextlib
import io
import warnings
from pathlib import Path

from bench.peers.runner import run


def load():
    import pyAudioAnalysis
    from pyAudioAnalysis import audioSegmentation, audioTrainTest

    warnings.simplefilter("ignore")
    models = Path(pyAudioAnalysis.__path__[0]) / "data" / "models"
    model = str(models / "svm_rbf_4class")

    def window(path):
        place, _, names = audioTrainTest.file_classification(path, model, "svm_rbf")
        name = names[int(place)]
        return {label: float(name == label) for label in ("speech", "music")}

    def programme(path):
        with contextlib.redirect_stdout(io.StringIO()):  # it prints every segment
            flags, names, _, _ = audioSegmentation.mid_term_file_classification(
                path, model, "svm_rbf"
            )
        if not len(names):
            names = audioTrainTest.load_model(model)[3]
        return {
            label: [
                (second, second + 1)
                for second, flag in enumerate(flags)
                if names[int(flag)] == label
            ]
            for label in ("speech", "music")
        }

    return window, programme


run(
    load,
    labels=["speech", "music"],
    how="svm_rbf_4class: file_classification, mid_term_file_classification",
)
