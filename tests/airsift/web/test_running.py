"""The page of a process that listens: what it shows of the pipeline and of its source."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from airsift.web.feed import Feed
from airsift.web.running import page_of_process, problem_of
from stream.pipeline import Pipeline
from stream.runner import Stop, run_source
from stream.sources.base import SourceItem, SourceStatus
from stream.testing import ListSource, chunks_of, programme
from tests.airsift.web.serve import Client, answers, config, until
from tests.stream.doubles import SMOOTH, LoudnessClassifier
from tests.stream.networks import FRONT_END

RATE = 16_000


class UnpluggedSource(ListSource):
    """A microphone that is unplugged after some batches, until `plugged` is set."""

    def __init__(self, batches: Sequence[Sequence[SourceItem]], unplugged_at: int) -> None:
        super().__init__(batches)
        self.plugged, self.is_absent = threading.Event(), False
        self._unplugged_at = unplugged_at

    @property
    def waits_for(self) -> frozenset[str]:
        return frozenset({"microphone USB"} if self.is_absent else ())

    def __iter__(self) -> Iterator[Sequence[SourceItem]]:
        for number, batch in enumerate(super().__iter__()):
            if number == self._unplugged_at:
                self.is_absent = True
                while not self.plugged.wait(0.05):
                    yield []
                self.is_absent = False
            yield batch


def test_the_page_shows_what_is_heard_and_that_the_microphone_is_unplugged() -> None:
    batches = [[chunk] for chunk in chunks_of(programme(40.0), RATE, time=1.7e9)]
    source = UnpluggedSource(batches, len(batches) // 2)
    pipeline = Pipeline(FRONT_END, LoudnessClassifier(), SMOOTH)
    with page_of_process(config()) as page:
        client = Client(page.url, Feed())
        until(lambda: answers(client))
        page.say("loads the networks")
        with client.socket("/api/wall/ws") as wall:

            def problem() -> str:
                while "problem" not in (message := json.loads(wall.recv(timeout=20))):
                    pass
                return str(message["problem"])

            assert problem() in ("", "loads the networks")
            page.source = source
            running = threading.Thread(
                target=run_source,
                args=(source, pipeline, [page.sink]),
                kwargs={"checkpoint_s": 1.0, "stop": Stop(), "observer": page},
            )
            running.start()
            while (shown := problem()) != "no audio: waits for microphone USB":
                assert shown in ("", "loads the networks")
            source.plugged.set()
            assert problem() == ""
            running.join(30)
        stations: list[dict[str, Any]] = []

        def is_there() -> bool:
            stations[:] = client.json("/api/stations")["stations"]
            return bool(stations) and stations[0]["head_ms"] >= 1_700_000_038_000

        until(is_there)
        assert [each["name"] for each in stations] == ["a"]
        assert client.json("/api/about")["spectrum"] is True
    assert not answers(client)


class Away(SourceStatus):
    broker_error = "no broker answers"  # type: ignore[assignment]
    waits_for = frozenset({"group"})  # type: ignore[assignment]


@pytest.mark.parametrize(("source", "text"), [(SourceStatus, ""), (Away, "no broker answers")])
def test_what_is_wrong_with_a_source(source: type[SourceStatus], text: str) -> None:
    class Status(source):  # type: ignore[misc,valid-type]
        """A status alone."""

    assert problem_of(Status()) == text
