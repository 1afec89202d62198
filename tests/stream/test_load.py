from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.load import CALM, CALM_S, MAX_LEVEL, Load
from stream.pipeline import Pipeline
from stream.runner import Runner, Stop
from stream.stages.identify import Identify
from stream.stages.matchers import for_all
from stream.testing import RATE, ListSink, ManualClock, chunks_of, programme
from tests.stream.doubles import SMOOTH
from tests.stream.networks import FRONT_END
from tests.stream.sample_matcher import TIMES, SampleMatcher

LIMIT_S = 10.0
STEP_S = 1.0

behind = st.lists(st.floats(0, 5 * LIMIT_S), max_size=80)


def levels(reports, limit_s=LIMIT_S):
    clock = ManualClock()
    load, out = Load(limit_s, clock), []
    for behind_s in reports:
        clock.now += STEP_S
        load.update(behind_s)
        out.append(load.level)
    return out


@given(behind, st.data())
def test_being_further_behind_never_gives_a_lower_level(reports, data):
    more = [r + data.draw(st.floats(0, 5 * LIMIT_S)) for r in reports]
    assert all(a <= b for a, b in zip(levels(reports), levels(more), strict=True))


@given(behind)
def test_the_level_falls_only_in_calm_and_one_by_one(reports):
    before, calm = 0, 0
    for behind_s, level in zip(reports, levels(reports), strict=True):
        calm = calm + 1 if behind_s < CALM * LIMIT_S else 0
        assert min(int(behind_s / LIMIT_S), MAX_LEVEL) <= level <= MAX_LEVEL
        if level < before:
            assert level == before - 1
            assert (calm - 1) * STEP_S >= CALM_S
        before = level


@given(behind)
def test_after_enough_calm_nothing_is_left_out(reports):
    calm = [0.0] * (MAX_LEVEL * round(CALM_S / STEP_S) + 1)
    assert levels([*reports, *calm])[-1] == 0


@given(behind)
def test_without_a_limit_nothing_is_ever_left_out(reports):
    assert set(levels(reports, 0.0)) <= {0}


def test_what_is_left_out_has_an_order_and_a_line(caplog):
    clock = ManualClock()
    load = Load(LIMIT_S, clock)
    with caplog.at_level(logging.INFO):
        seen = []
        for behind_s in (0, 5, 10, 19, 20, 29, 30, 300):
            load.update(behind_s)
            seen.append((load.skips_warp_search, load.skips_identify, load.checkpoint_factor))
    nothing, warp, names, all_of_it = (
        (False, False, 1),
        (True, False, 1),
        (True, True, 1),
        (True, True, 2),
    )
    assert seen == [nothing, nothing, warp, warp, names, names, all_of_it, all_of_it]
    assert [record.getMessage() for record in caplog.records] == [
        "10 s behind the newest audio: changed speed and pitch are not searched for",
        "20 s behind the newest audio: changed speed and pitch are not searched for, and music is "
        "not identified",
        "30 s behind the newest audio: changed speed and pitch are not searched for, and music is "
        "not identified, and checkpoints are twice as far apart",
    ]


@pytest.mark.parametrize("level", range(MAX_LEVEL + 1))
def test_a_level_that_is_reached_at_once_is_left_step_by_step(level):
    calm = [0.0] * (level * round(CALM_S / STEP_S) + 1)
    assert levels([level * LIMIT_S, *calm])[0] == level
    assert levels([level * LIMIT_S, *calm])[-1] == 0


@pytest.mark.slow
def test_every_second_is_decided_at_every_level(classifier):
    """What is not identified is counted, and nothing waits for the time after it."""
    samples, seconds = programme(30), 30
    outcomes = []
    for reports in ([0.0] * seconds, [(second // 5) * LIMIT_S for second in range(seconds)]):
        load = Load(LIMIT_S, ManualClock())
        identify, sink = Identify(for_all(SampleMatcher()), TIMES, load=load), ListSink()
        pipeline = Pipeline(FRONT_END, classifier, SMOOTH, identify, load=load)
        runner = Runner(pipeline, [sink], Stop())
        for chunk, behind_s in zip(chunks_of(samples, RATE), reports, strict=True):
            runner.step([chunk], behind_s)
            if load.skips_identify:
                assert pipeline.sessions[chunk.station].identify is None
        runner.end()
        outcomes.append([event for event in sink.events if event.kind != "match"])
    assert outcomes[0] == outcomes[1] != []
    assert load.skipped["identify_s"] == seconds - 10


@pytest.mark.slow
def test_a_stage_with_another_load_than_the_pipeline_is_refused(classifier):
    identify = Identify(for_all(SampleMatcher()), TIMES)
    with pytest.raises(ValueError, match="give both the same one"):
        Pipeline(FRONT_END, classifier, SMOOTH, identify, load=Load(LIMIT_S))
    assert Pipeline(FRONT_END, classifier, SMOOTH, identify).load is identify.load


@pytest.mark.slow
def test_segments_are_published_at_the_same_time_with_and_without_a_catalogue(classifier):
    """After every chunk, the same decisions and segments are out, in the same order."""
    published = []
    for identify in (None, Identify(for_all(SampleMatcher()), TIMES)):
        pipeline, sink = Pipeline(FRONT_END, classifier, SMOOTH, identify), ListSink()
        runner, after_each = Runner(pipeline, [sink], Stop()), []
        for chunk in chunks_of(programme(30), RATE // 2):
            runner.step([chunk], 0.0)
            after_each.append([event for event in sink.events if event.kind != "match"])
        runner.end()
        published.append(after_each)
        assert any(event.kind == "match" for event in sink.events) == (identify is not None)
    assert published[0] == published[1]
    assert any(event.kind == "segment" for event in published[0][-1])
