"""What computes: both backends beside each other, GPUs, and how fast it is."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from airsift.doctor.finding import Finding, ok, problem, warning

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from airsift.config import Config
    from stream.pipeline import Pipeline

_BACKENDS = {"onnx": "onnxruntime", "torch": "torch"}
# The distances between backends that tests/model/test_backends.py holds, on any processor.
_COLUMNS, _PROBABILITIES = 1e-4, 0.002
_COMPARED_S = 6  # a second of it, and the window around that
_MEASURED_S = 0.5  # of CPU time: some hundred steps
_STATIONS, _FILE_S = 8, 10


def backends(config: Config) -> Iterator[Finding]:
    """Compare what onnxruntime and torch make of the same audio, on the CPU."""
    from airsift.networks import model_file
    from model.backend import columns_of, open_backend

    installed = [name for name, package in _BACKENDS.items() if find_spec(package)]
    if not installed:
        yield problem("backends", "neither is installed", "pip install onnxruntime")
        return
    file = model_file(config)
    samples = _audio(_COMPARED_S, 1)
    columns, probabilities = [], []
    for name in installed:
        opened = open_backend(name, device="cpu")
        network = opened.classifier(file)
        columns.append(columns_of(samples, opened.front_end(file)))
        frames = network.embed(columns[-1])
        window = frames[:, : network.spec.window_frames]
        probabilities.append(network.decide(window))
    names = " and ".join(_BACKENDS[name] for name in installed)
    if len(installed) == 1:
        yield ok("backends", f"{names} alone computes, on the CPU")
        return
    apart = float(abs(columns[0] - columns[1]).max()) / float(abs(columns[1]).max())
    decided = float(abs(probabilities[0] - probabilities[1]).max())
    text = f"{names} agree: columns within {apart:.1e}, probabilities within {decided:.1e}"
    if apart < _COLUMNS and decided < _PROBABILITIES:
        yield ok("backends", text, columns=apart, probabilities=decided)
    else:
        yield problem(
            "backends",
            f"{names} differ: columns by {apart:.1e} of the largest (at most {_COLUMNS:g}), "
            f"probabilities by {decided:.1e} (at most {_PROBABILITIES:g})",
            "install the versions of requirements.lock, and export networks of your own again",
        )


def gpu(config: Config) -> Iterator[Finding]:
    """Tell which GPU torch can use."""
    wants = config.model.device not in ("auto", "cpu")
    if not find_spec("torch"):
        if wants:
            way = "pip install torch, or set model.device=cpu"
            yield problem("GPU", f"model.device={config.model.device} needs torch", way)
        else:
            yield ok("GPU", "not used: torch is not installed")
        return
    from model.backend import has_driver
    from model.gpus import find_gpus

    if not has_driver() and not wants:  # torch takes seconds to load
        yield ok("GPU", "none: there is no driver, and the CPU computes")
        return
    found = find_gpus()
    if found.names:
        text = f"{'; '.join(found.names)}, CUDA {found.cuda}, torch {found.version}"
        yield ok("GPU", text, gpus=list(found.names))
    elif wants:
        text = f"model.device={config.model.device}, and torch {found.version} finds no GPU"
        yield problem("GPU", text, "set model.device=auto, or install the GPU's driver")
    elif has_driver():
        built = f"for CUDA {found.cuda}" if found.cuda else "without CUDA"
        text = f"there is a driver, and torch {found.version}, built {built}, finds no GPU"
        yield warning(
            "GPU", text, "install a torch that fits the driver; until then the CPU computes"
        )
    else:
        yield ok("GPU", "none: the CPU computes")


def speed(config: Config) -> Iterator[Finding]:
    """Measure what a core of this machine computes in a second, of a file and of live stations."""
    from airsift.build import build_pipeline

    pipeline = build_pipeline(config, ready=True)
    file = _times_real(pipeline, 1, _FILE_S)
    stations = _times_real(pipeline, _STATIONS, 1)
    busy = os.getloadavg()[0] / (os.cpu_count() or 1)
    text = (
        f"on a core, a file {file:.0f} times as fast as it plays, or about {stations:.0f} live "
        "stations; decoding is not in it"
    )
    if busy > 1:
        text += f" (measured beside other work: a load of {busy:.1f} for each core)"
    values = {"file_times_real_time": round(file, 1), "stations_per_core": round(stations)}
    if stations < 1:
        way = "live audio needs a faster machine"
        yield warning("speed", text, way, **values)
    else:
        yield ok("speed", text, **values)


def _times_real(pipeline: Pipeline, stations: int, push_s: int) -> float:
    """Return seconds of audio for each second of CPU; the first pushes are not counted."""
    from stream.audio import AudioChunk

    rate = pipeline.rate
    n = push_s * rate
    samples = _audio(_FILE_S, stations, rate)
    names = [f"station {number}" for number in range(stations)]
    pushes, began, warm = 0, 0.0, max(_FILE_S // push_s, 1)
    while (spent := time.process_time() - began) < _MEASURED_S or pushes <= warm:
        if pushes == warm:
            began = time.process_time()
        at = pushes * n
        audio = samples[:, at % samples.shape[1] :][:, :n]
        pipeline.push([AudioChunk(name, at, audio[i], rate) for i, name in enumerate(names)])
        pushes += 1
    pipeline.push([], last=True)
    return stations * (pushes - warm) * push_s / spent


def _audio(seconds: int, rows: int, rate: int = 16_000) -> NDArray[np.float32]:
    """Return noise and tones in turns, of shape [rows, n]."""
    import numpy as np

    rng = np.random.default_rng(0)
    t = np.arange(seconds * rate) / rate
    tones = 0.2 * np.sin(2 * np.pi * 440 * t) * (t % 8 < 5)
    noise = 0.05 * rng.standard_normal((rows, len(t)))
    return (tones + noise).astype(np.float32)
