"""``airsift evaluate``: measure a model on held-out recordings."""

from __future__ import annotations

import tempfile
import wave
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from airsift.cli.common import inform
from stream.lines import to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from model.corpus.sources import Split
    from model.evaluation.event_metrics import Timeline
    from model.evaluation.programmes import Programme
    from model.mixing import Spans


def evaluate(
    corpus: Annotated[Path, typer.Argument(help="Folder that `airsift corpus build` made.")],
    model: Annotated[Path | None, typer.Option(help="Model file; by default the shipped.")] = None,
    card: Annotated[Path | None, typer.Option(help="Model card to write the tables into.")] = None,
    split: Annotated[str, typer.Option(help="test, or validation while developing.")] = "test",
    max_windows: Annotated[
        int, typer.Option(min=1, help="Windows of a mixture or degradation.")
    ] = 400,
    max_per_source: Annotated[
        int, typer.Option(min=1, help="Clean windows of a class of one source.")
    ] = 200,
    thresholds: Annotated[
        str, typer.Option(help="Of speech and music for one label a window, from validation.")
    ] = "0.5,0.5",
    programmes: Annotated[int, typer.Option(min=0, help="Programmes of 3 minutes.")] = 20,
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file that --model was trained with, for labels of your own: their "
            "precision, recall and F, and nothing else."
        ),
    ] = None,
) -> None:
    """Measure a model on recordings it was not trained on, and print the tables."""
    from airsift.errors import ConfigError
    from model import classifier, weights
    from model.evaluation import (
        conditions,
        event_metrics,
        model_card,
        plot,
        predict,
        requirements,
        short,
        tables,
        voices,
    )
    from model.evaluation.programmes import programmes as generate

    if split not in ("test", "validation"):
        raise ConfigError(
            f"split={split!r} must be test or validation: training data proves nothing"
        )
    part: Split = "test" if split == "test" else "validation"
    if config is not None:
        print(of_own_labels(corpus, model, config, part))
        return
    levels = parse_thresholds(thresholds)
    output = model_card.ModelCard(card) if card else None
    if output:
        output.check()
    file = model or weights.DEFAULT_WEIGHTS
    loaded = classifier.load(file)
    inform(f"reading the {part} split of {corpus}")
    held_out = conditions.held_out_takes(corpus, part)
    predictions = {}
    generated = conditions.conditions_of(
        held_out, part, max_windows=max_windows, max_per_source=max_per_source
    )
    for each in predict.predict(loaded, generated):
        predictions[each.name] = each
        inform(f"{each.name}: {len(each.groups)} windows")
    whole = conditions.conditions_of(
        held_out, part, max_per_source=max_per_source, names=conditions.PURE
    )
    beginnings = list(predict.predict(loaded, short.beginnings(whole)))
    pairs = list(segment(generate(held_out, count=programmes), file)) if programmes else []
    scores = event_metrics.count_events(pairs).rows() if pairs else {}
    voice = None
    windows = voices.known_sources(voices.voice_windows(corpus, part))
    if windows:
        inform("the shipped network of voices")
        voice = voices.voice_accuracy(classifier.load(weights.VOICE_WEIGHTS), windows)
    cpu_s, size = predict.window_cpu_s(loaded), file.stat().st_size
    required = requirements.check_requirements(predictions, scores, voice, cpu_s, size, levels)
    block = tables.evaluation_block(required, predictions, scores, part, levels)
    block += f"\n\n{short.table(beginnings)}"
    print(block)
    if part == "validation":
        print(f"\n{tables.thresholds_line(predictions)}")
    if output:
        title = f"{file.name} on the {part} split"
        plotted = plot.draw(predictions, title, thresholds=levels)
        output.write(block, tables.sources_page(predictions, part, levels), plotted)


def of_own_labels(corpus: Path, model: Path | None, config: Path, split: Split) -> str:
    """Return the table of a network with labels of its own."""
    from airsift.errors import ConfigError
    from model import classifier
    from model.evaluation import own_labels
    from model.training import config as tasks
    from model.training import dataset

    if model is None:
        raise ConfigError("--config is about labels of your own: name the network with --model")
    task = tasks.load_task(tasks.find_task(config))
    dataset.decode_manifest(task, corpus, inform)
    inform(f"reading the {split} split")
    loaded = classifier.load(model)
    return own_labels.table(task.labels, own_labels.measure(task, corpus, loaded, split))


def parse_thresholds(text: str) -> tuple[float, float]:
    """Parse ``SPEECH,MUSIC``, two probabilities."""
    from airsift.errors import ConfigError

    speech, _, music = text.partition(",")
    try:
        levels = float(speech), float(music)
    except ValueError:
        levels = (0.0, 0.0)
    if not all(0.0 < level < 1.0 for level in levels):
        raise ConfigError(
            f"thresholds={text!r} must be two probabilities between 0 and 1, of speech and of "
            "music: write --thresholds 0.5,0.5"
        )
    return levels


def segment(programmes: Iterable[Programme], model: Path) -> Iterator[tuple[Timeline, Timeline]]:
    """Segment programmes as ``airsift segment`` does files; yield reference and estimate."""
    from model.evaluation.event_metrics import Timeline

    segment_file = segmenter(model)
    with tempfile.TemporaryDirectory() as folder:
        for programme in programmes:
            path = Path(folder) / f"{programme.name}.wav"
            write_wav(path, programme.samples)
            found = segment_file(path)
            path.unlink()
            truth = Timeline(programme.speech, programme.music, len(programme.samples))
            inform(
                f"{programme.name}: {len(found.speech)} spans of speech found, "
                f"{len(truth.speech)} in truth; {len(found.music)} of music, "
                f"{len(truth.music)} in truth"
            )
            yield truth, found


def segmenter(model: Path) -> Callable[[Path], Timeline]:
    """Return a function that segments a file with the whole pipeline."""
    from airsift import config
    from airsift.api.engine import Analyser
    from model.evaluation.event_metrics import Timeline
    from model.mixing import merge_spans
    from model.weights import sha256_of
    from stream.events import Segment
    from stream.sources.file import FileSource

    # A file named on the command line is trusted.
    chosen = [f"model.path={to_json(str(model.resolve()))}", f"model.sha256={sha256_of(model)}"]
    # The voice changes no label, and its network may not fit the model.
    settings = config.load(sets=[*chosen, "model.voice=false"], environ={}).config
    analyser = Analyser(settings)

    def segment_file(path: Path) -> Timeline:
        with closing(FileSource(path, settings=settings.file)) as source:
            events = [*analyser.events(source)]
            length = round(source.decoded_s * analyser.rate)

        def spans(label: str) -> Spans:
            wanted = (label, "speech_over_music")
            segments = [each for each in events if isinstance(each, Segment)]
            return merge_spans((s.start, s.end) for s in segments if s.label in wanted)

        return Timeline(spans("speech"), spans("music"), length, analyser.rate)

    return segment_file


def write_wav(path: Path, samples: NDArray[np.float32]) -> None:
    """Write mono samples at the corpus's rate as 16 bit PCM."""
    import numpy as np

    from model.spec import SAMPLE_RATE

    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        out.writeframes(np.rint(samples * 32767.0).astype("<i2").tobytes())
