"""Which network: what each of `model.networks.presets` costs, and gets right, trained alike.

Every network learns from the same windows, in the same order, and is validated on the same ones;
the running average with the lowest cost is what counts. A training that was interrupted goes
on. The cost is CPU time of one window of 5 s on one thread, the least of several rounds, and of
a minute in one piece. Give the slow networks to a process of their own (``--only``); ``--draw``
draws what is in several JSON files.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bench.report import Report, arguments
from model import classifier
from model.corpus import cache, feature_store
from model.corpus.recordings import key_of
from model.evaluation import conditions
from model.networks import presets
from model.training import checkpoint as progress
from model.training import validation
from model.training.loop import Settings
from model.training.mixer import LABELS, Mixer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MINUTE = 3000
CHOSEN = "pooled"
WINDOWS = "validation.pt"


def cpu_s(call: Callable[[], object], rounds: int = 12, seconds: float = 0.3) -> float:
    """Return the CPU time of a call: the least of several rounds, each a mean."""
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
    """Return the milliseconds of one window, and of a second within a minute of windows."""
    module = classifier.script(network.eval())
    window, minute = torch.rand(1, 250, 144) * 8, torch.rand(1, MINUTE, 144) * 8
    per_step, in_window = 50 // network.stride, (250 - network.context) // network.stride + 1

    def whole() -> None:
        frames = module.embed(minute)[0].unfold(0, in_window, per_step)
        module.decide(frames.transpose(1, 2))

    with torch.inference_mode():
        one = cpu_s(lambda: module.decide(module.embed(window)))
        return one * 1e3, cpu_s(whole, rounds=5) * 1e3 / 60


def held_out(corpus: Path, folder: Path, most: int) -> validation.Validation:
    """Make the validation windows, or take those of an earlier run on the same recordings."""
    recordings = feature_store.checked_recordings(corpus, "validation")
    key = cache.key_of(key_of(recordings), most, cache.code_version("model.evaluation.conditions"))
    file = folder / WINDOWS
    if file.exists() and progress.load(file)[0] == key:
        return stored(folder)
    made = validation.validation_set(conditions.conditions(corpus, "validation", most=most))
    progress.save([key, made.columns, made.truth, made.names], file)
    return made


def stored(folder: Path) -> validation.Validation:
    """Return the validation windows that the networks in a folder had."""
    _, columns, truth, names = progress.load(folder / WINDOWS)
    return validation.Validation(columns, truth, names)


def learn(names: Sequence[str], corpus: Path, folder: Path, steps: int, batch: int) -> None:
    """Train several networks side by side, each batch made once."""
    windows = held_out(corpus, folder, most=40)
    keys = {
        "the training columns": feature_store.key_of(corpus, "train"),
        "the validation windows": validation.key_of(windows),
    }
    runs = {
        name: progress.Progress(
            Settings(steps=steps, batch=batch, network=name, clean_at=1.0, decay=0.99),
            LABELS, folder / name, keys,
        )
        for name in names
    }  # fmt: skip
    mixer = Mixer(feature_store.open_train(corpus))
    for step in range(min(run.step for run in runs.values()), steps):
        made = mixer.batch(batch, np.random.default_rng([1, step]))
        for name, run in runs.items():
            if run.step > step:
                continue
            run.learn(*made)
            if run.step % 100 == 0 or run.step == steps:
                scores = validation.log_odds(run.average, windows.columns)
                error = validation.condition_error(scores, windows)
                run.validated(validation.condition_cost(scores, windows), error)
                print(f"{name} {run.step}: error {error:.2%}", flush=True)


def tell(report: Report, names: Sequence[str], folder: Path) -> None:
    windows = stored(folder)
    for name in names:
        network = presets.make(name, len(LABELS))
        network.load_state_dict(progress.load(folder / name / "best.pt"))
        scores = validation.log_odds(network, windows.columns)
        one, second = cost(network)
        report.row(
            name,
            parameters=sum(values.numel() for values in network.parameters()),
            window_ms=one,
            stream_ms_per_s=second,
            validation_error=validation.condition_error(scores, windows),
            validation_cost=validation.condition_cost(scores, windows),
        )


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
    parser.add_argument("--only", nargs="*", default=list(presets.PRESETS))
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--draw", nargs="+", type=Path, help="JSON files, then the picture")
    options = parser.parse_args()
    if options.draw:
        draw(options.draw[:-1], options.draw[-1])
        return
    torch.set_num_threads(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.corpus:
        learn(options.only, options.corpus, options.folder, options.steps, options.batch)
    report = Report(f"Networks after {options.steps} steps of {options.batch} windows")
    tell(report, options.only, options.folder)
    report.finish(options.json)


if __name__ == "__main__":
    main()
