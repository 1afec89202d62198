"""Compare networks: cost and accuracy of the presets and the baselines after equal training.

All networks train on the same windows in the same order and are validated on the same windows; the
EMA state with the lowest cost counts. An interrupted training resumes. The cost is CPU time on one
thread, the minimum of several rounds, of a 5 s window and of a minute in one piece; ``--cost``
measures it alone, on networks that are not trained, for which it is the same. ``--only`` runs the
slow networks in a process of their own; ``--draw`` plots several JSON files.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bench.report import Report, arguments
from bench.speed.baselines import BASELINES
from model import classifier
from model.corpus import cache, feature_store, takes
from model.corpus.recordings import key_of
from model.networks import presets
from model.networks.inference import inference_form
from model.spec import LABELS
from model.training import checkpoint, states, validation
from model.training.loop import Settings
from model.training.mixer import Mixer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MINUTE = 3000
CHOSEN = "pooled"
WINDOWS = "validation.pt"


def cpu_s(call: Callable[[], object], rounds: int = 12, seconds: float = 0.3) -> float:
    """Return the CPU time of a call: the minimum of several rounds, each a mean."""
    for _ in range(5):
        call()
    begun = time.process_time()
    call()
    repeats = max(1, int(seconds / max(time.process_time() - begun, 1e-6)))
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(repeats):
            call()
        taken.append((time.process_time() - start) / repeats)
    return min(taken)


def cost(network: Any) -> tuple[float, float]:
    """Return the milliseconds of one window, and of a second within a minute of windows.

    With the boundary head, if there is one, and in the form that is exported.
    """
    module = classifier.script(inference_form(network.eval()))
    predict = module.predict if network.moments else module.decide
    window, minute = torch.rand(1, 250, 144) * 8, torch.rand(1, MINUTE, 144) * 8
    per_step, in_window = 50 // network.stride, (250 - network.context) // network.stride + 1

    def whole() -> None:
        frames = module.embed(minute)[0].unfold(0, in_window, per_step)
        predict(frames.transpose(1, 2))

    with torch.inference_mode():
        one = cpu_s(lambda: predict(module.embed(window)))
        return one * 1e3, cpu_s(whole, rounds=5) * 1e3 / 60


def size_and_cost(network: Any) -> dict[str, float]:
    """Return the columns of the tables that do not depend on a training."""
    one, second = cost(network)
    parameters = sum(values.numel() for values in network.parameters())
    return {"parameters": parameters, "window_ms": one, "stream_ms_per_s": second}


def validation_windows(corpus: Path, folder: Path) -> validation.Validation:
    """Return the validation windows, stored by an earlier run on the same recordings or new."""
    recordings = takes.split_recordings(corpus, "validation")
    key = cache.key_of(key_of(recordings), cache.code_version("model.training.validation"))
    file = folder / WINDOWS
    if file.exists() and states.load(file)[0] == key:
        return stored(folder)
    made = validation.of_corpus(corpus)
    states.save([key, made.columns, made.truth, made.names], file)
    return made


def stored(folder: Path) -> validation.Validation:
    """Return the validation windows of the networks in a folder."""
    _, columns, truth, names = states.load(folder / WINDOWS)
    return validation.Validation(columns, truth, names)


def train(names: Sequence[str], corpus: Path, folder: Path, steps: int, batch: int) -> None:
    """Train several networks side by side on the same batches."""
    windows = validation_windows(corpus, folder)
    keys = {
        "the training columns": feature_store.training_key(corpus),
        "the validation windows": validation.key_of(windows),
    }
    runs = {
        name: checkpoint.TrainingRun(
            Settings(steps=steps, batch=batch, network=name, filter_labels_at=1.0, decay=0.99),
            LABELS, folder / name, keys,
        )
        for name in names
    }  # fmt: skip
    mixer = Mixer(feature_store.open_training_store(corpus))
    for step in range(min(run.step for run in runs.values()), steps):
        windows_of_step = mixer.batch(batch, np.random.default_rng([1, step]))
        for name, run in runs.items():
            if run.step > step:
                continue
            run.train_step(windows_of_step)
            if run.step % 100 == 0 or run.step == steps:
                scores = validation.log_odds(run.average, windows.columns)
                error = validation.condition_error(scores, windows)
                run.log_validation(validation.condition_cost(scores, windows), error)
                print(f"{name} {run.step}: error {error:.2%}", flush=True)


def measure(report: Report, names: Sequence[str], folder: Path) -> None:
    windows = stored(folder)
    for name in names:
        network = presets.make(name, len(LABELS))
        network.load_state_dict(states.load(folder / name / "best.pt"))
        scores = validation.log_odds(network, windows.columns)
        report.row(
            name,
            **size_and_cost(network),
            validation_error=validation.condition_error(scores, windows),
            validation_cost=validation.condition_cost(scores, windows),
        )


def measure_cost(report: Report, names: Sequence[str]) -> None:
    for name in names:
        report.row(name, **size_and_cost(presets.make(name, len(LABELS))))


def draw(files: Sequence[Path], image: Path) -> None:
    """Draw accuracy against the cost of a window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = {row["name"]: row for file in files for row in json.loads(file.read_text())["rows"]}
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for name, row in rows.items():
        place = (row["window_ms"], 100 * row["validation_error"])
        colour = "#d62728" if name == CHOSEN else "#1f77b4"
        axis.plot(*place, "o", color=colour, ms=4 + 2 * np.log2(row["parameters"] / 20_000 + 1))
        # Names point inwards, and those of close neighbours away from each other.
        side = "right" if row["window_ms"] > 5 else "left"
        offset = (-7 if side == "right" else 7, -11 if name.endswith("-small") else 5)
        axis.annotate(name, place, offset, textcoords="offset points", fontsize=9, ha=side)
    axis.set_xscale("log")
    axis.set_xticks([0.5, 1, 2, 5, 10, 20], minor=False)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()
    axis.set_xlabel("CPU time of one window of 5 s on one thread, ms")
    axis.set_ylabel("wrong outputs on validation windows, %")
    axis.grid(visible=True, which="both", color="#eeeeee")
    axis.margins(x=0.15, y=0.15)
    figure.savefig(image)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--corpus", type=Path, help="folder that `airsift corpus build` made")
    parser.add_argument("--folder", type=Path, default=Path("networks"), help="of the trainings")
    parser.add_argument("--only", nargs="*", default=[*presets.PRESETS, *BASELINES])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--cost", action="store_true", help="measure no accuracy")
    parser.add_argument("--draw", nargs="+", type=Path, help="JSON files, then the picture")
    options = parser.parse_args()
    if options.draw:
        draw(options.draw[:-1], options.draw[-1])
        return
    torch.set_num_threads(1)
    presets.PRESETS.update(BASELINES)
    if options.cost:
        report = Report("Cost of networks")
        measure_cost(report, options.only)
        report.finish(options.json)
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.corpus:
        train(options.only, options.corpus, options.folder, options.steps, options.batch)
    report = Report(f"Networks after {options.steps} steps of {options.batch} windows")
    measure(report, options.only, options.folder)
    report.finish(options.json)


if __name__ == "__main__":
    main()
