"""``airsift evaluate``: what a model gets right on recordings it has never heard."""

from __future__ import annotations

import tempfile
import wave
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from airsift.cli.common import complain
from stream.lines import to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from model.corpus.sources import Split
    from model.evaluation.event_metrics import Timeline
    from model.evaluation.programmes import Programme, Spans
    from stream.events import Event


def evaluate(
    corpus: Annotated[Path, typer.Argument(help="Folder that `airsift corpus build` made.")],
    model: Annotated[Path | None, typer.Option(help="Model file; by default the shipped.")] = None,
    card: Annotated[Path | None, typer.Option(help="Model card to write the tables into.")] = None,
    split: Annotated[str, typer.Option(help="test, or validation while developing.")] = "test",
    most: Annotated[int, typer.Option(min=1, help="Windows of a condition.")] = 400,
    programmes: Annotated[int, typer.Option(min=0, help="Programmes of 3 minutes.")] = 20,
) -> None:
    """Measure a model on recordings it was not trained on, and print the tables."""
    from airsift.errors import ConfigError
    from model import classifier
    from model.evaluation import conditions, event_metrics, requirements, voices
    from model.evaluation import model_card as cards
    from model.evaluation import plot as pictures
    from model.evaluation import predict as measure
    from model.evaluation.programmes import programmes as spliced

    if split not in ("test", "validation"):
        raise ConfigError(
            f"split={split!r} must be test or validation: training data proves nothing"
        )
    part: Split = "test" if split == "test" else "validation"
    place = cards.Place(card) if card else None
    if place:
        place.check()
    file = model or classifier.DEFAULT_WEIGHTS
    loaded = classifier.load(file)
    complain(f"reading the {part} split of {corpus}")
    heard = conditions.held_out(corpus, part)
    judged = {}
    for each in measure.measure(loaded, conditions.conditions_of(heard, part, most=most)):
        judged[each.name] = each
        complain(f"{each.name}: {len(each.groups)} windows")
    pairs = list(listen(spliced(heard, count=programmes), file)) if programmes else []
    found = event_metrics.count(pairs).rows() if pairs else {}
    voice = None
    if voices.known_voices().keys() & {stream.group for stream in heard}:
        complain("the shipped network of voices")
        voice = voices.measure(classifier.load(classifier.VOICE_WEIGHTS), corpus, part)
    cost_s = measure.window_cost_s(loaded)
    asked = requirements.rows(judged, found, voice, cost_s, file.stat().st_size)
    block = cards.block(asked, judged, found, part)
    print(block)
    if place:
        title = f"{file.name} on the {part} split"
        place.write(block, cards.sources_page(judged, part), pictures.draw(judged, title))


def listen(programmes: Iterable[Programme], model: Path) -> Iterator[tuple[Timeline, Timeline]]:
    """Hear programmes as ``airsift segment`` does files; give the truth and what was heard."""
    from model.evaluation.event_metrics import Timeline

    hear = listener(model)
    with tempfile.TemporaryDirectory() as folder:
        for programme in programmes:
            path = Path(folder) / f"{programme.name}.wav"
            write_wav(path, programme.samples)
            heard = hear(path)
            path.unlink()
            truth = Timeline(programme.speech, programme.music, len(programme.samples))
            complain(f"{programme.name}: {len(heard.speech)} stretches of speech heard, "
                 f"{len(truth.speech)} in truth; {len(heard.music)} of music, "
                 f"{len(truth.music)} in truth")  # fmt: skip
            yield truth, heard


def listener(model: Path) -> Callable[[Path], Timeline]:
    """Return what says where speech and music are in a file, by the whole pipeline."""
    from airsift import config
    from airsift.build import build_pipeline
    from model.evaluation.event_metrics import Timeline
    from model.evaluation.programmes import union
    from model.weights import sha256_of
    from stream.events import Segment
    from stream.runner import Stop, drive
    from stream.sinks.final import FinalEvents
    from stream.sources.file import FileSource

    # Whoever names a file on the command line trusts it.
    chosen = [f"model.path={to_json(str(model.resolve()))}", f"model.sha256={sha256_of(model)}"]
    # Whose voice it is changes no label, and its network may fit another model.
    settings = config.load(sets=[*chosen, "model.voice=false"], environ={}).config
    pipeline = build_pipeline(settings)

    def hear(path: Path) -> Timeline:
        events: list[Event] = []
        with closing(FileSource(path, chunk_s=settings.file.chunk_s)) as source:
            drive(source, pipeline, [FinalEvents(events.append)], checkpoint_s=60.0, stop=Stop())
            length = round(source.heard_s * pipeline.rate)

        def spans(label: str) -> Spans:
            wanted = (label, "speech_over_music")
            segments = [each for each in events if isinstance(each, Segment)]
            return union([(s.start, s.end) for s in segments if s.label in wanted])

        return Timeline(spans("speech"), spans("music"), length, pipeline.rate)

    return hear


def write_wav(path: Path, samples: NDArray[np.float32], rate: int = 16_000) -> None:
    """Write mono samples as 16 bit PCM."""
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, rate, 0, "NONE", ""))
        out.writeframes(np.rint(samples * 32767.0).astype("<i2").tobytes())
