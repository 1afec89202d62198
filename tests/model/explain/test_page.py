"""The page in a real browser, from its file."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model.explain import page
from model.explain.activation import Activation
from model.explain.explanation import explain
from model.explain.subject import read
from stream.testing import music_like
from tests.browser import browser
from tests.model.explain.networks import write_rows

ARROW_RIGHT = ("ArrowRight", 39)
TAB = ("Tab", 9)
HOSTILE = "</script><script>document.title = 'broken'</script> & \"quoted\" \u2028"


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    pytest.importorskip("captum")
    file = write_rows(tmp_path_factory.mktemp("rows"), "5", "cqt")[0]
    subject = read(file)
    explanation = explain(
        subject, music_like(5.0), layers=["convolution 1", "dense 1"], number=None,
        count=2, report=lambda line: None,
    )  # fmt: skip
    return subject, explanation


def rendered(parts, limit: int = page.LIMIT) -> tuple[str, list[str]]:
    subject, explanation = parts
    one = Activation(2.5, "mine", f"a {HOSTILE}.wav", "music", 16_000, music_like(5.0, seed=2))
    lines: list[str] = []
    made = page.render(
        subject, [subject.filters], explanation, {4: [one]}, "pool 1", f"A {HOSTILE}",
        lines.append, limit,
    )  # fmt: skip
    return made, lines


@pytest.mark.slow
@pytest.mark.process
def test_it_is_seen_heard_and_used_by_keyboard(parts, tmp_path) -> None:
    file = tmp_path / "explanation.html"
    file.write_text(rendered(parts)[0], encoding="utf-8")
    backgrounds = set()
    with browser(tmp_path) as tab:
        for width, dark in ((1280, False), (390, True), (1280, True), (390, False)):
            tab.resize(width, dark=dark)
            tab.open(file)
            tab.wait_for("document.body?.dataset.ready === 'yes'")
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
            backgrounds.add((dark, tab.evaluate("getComputedStyle(document.body).backgroundColor")))
            assert tab.evaluate("document.title") == f"A {HOSTILE}"
            # Nothing is wider than the window, and every picture has pixels of several colours.
            colours = """[...document.querySelectorAll('.picture canvas')].map((canvas) => new Set(
                new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width,
                canvas.height).data.buffer)).size)"""
            assert min(tab.evaluate(colours)) > 4
            assert tab.errors == []
        assert len(backgrounds) == 2

        # By keyboard alone: the three sliders are the first three stops.
        tab.resize(1280)
        tab.open(file)
        tab.wait_for("document.body?.dataset.ready === 'yes'")
        for slider, said, value in (
            ("layer", "layer-said", "dense 1, 100"),
            ("map", "map-said", "(2 of 2)"),
            ("time", "time-said", "0.01 s"),
        ):
            tab.press(*TAB)
            assert tab.evaluate("document.activeElement.id") == slider
            before = tab.evaluate("kept.querySelector('canvas').toDataURL()")
            tab.press(*ARROW_RIGHT)
            tab.wait_for(f"at('{said}').textContent.includes('{value}')")
            if slider != "time":
                tab.wait_for(f"kept.querySelector('canvas').toDataURL() !== {before!r}")
        assert tab.evaluate("at('time').getAttribute('aria-valuetext')") == "0.01 seconds"

        # The time slider seeks the players, and a player moves it.
        tab.evaluate("at('time').value = 2; at('time').dispatchEvent(new Event('input'))")
        tab.wait_for("at('original').currentTime === 2 && at('kept-sound').currentTime === 2")
        for player in ("original", "kept-sound", "again"):
            assert tab.evaluate(f"at('{player}').duration") == 5
            tab.evaluate(f"at('{player}').play()")
            tab.wait_for("+at('time').value > 2.05")
            tab.evaluate("at('time').value = 2")
        assert tab.evaluate("at('original').paused")  # the last one plays alone
        assert tab.evaluate("document.querySelectorAll('#activation-list audio').length") == 1
        assert (
            tab.evaluate("getComputedStyle(document.querySelector('#window .cursor')).left")
            != "0px"
        )
        assert set(tab.requests) == {file.as_uri()}
        assert tab.errors == []


def test_the_page_is_no_larger_than_its_limit(parts) -> None:
    whole, lines = rendered(parts)
    assert lines == []
    sounds = whole.count("data:audio/flac")
    # The window, what it sounds like again, four maps and one window of a corpus.
    assert sounds == 7
    limit = len(whole) - 200_000
    made, lines = rendered(parts, limit)
    assert len(made) <= limit
    left = made.count("data:audio/flac")
    assert 3 <= left < sounds
    assert lines[0].startswith(f"{sounds - left} sounds are not in the page, which would be larger")


def test_sounds_and_pictures_are_those_of_the_explanation(parts) -> None:
    subject, explanation = parts
    assert list(explanation.probabilities) == list(subject.labels)
    assert explanation.convergence is not None
    assert explanation.convergence < 0.3
    for each in explanation.reconstructions:
        assert each.audio is not None
        assert each.audio.shape == explanation.audio.shape
        assert np.isfinite(each.audio).all()
        # Magnitudes: at least 0, and no louder than what is nearest to the input.
        assert each.input.min() >= 0
        rest = explanation.input - each.input
        assert abs(float((rest * each.input).sum())) < 1e-3 * float(np.square(each.input).sum())
    strengths = {}
    for each in explanation.reconstructions:
        strengths.setdefault(each.layer, []).append(each.strength)
    assert all(found == sorted(found, reverse=True) for found in strengths.values())
    [attribution] = explanation.attributions
    gradients = attribution.gradients
    with torch.no_grad():
        expected = subject.log_odds(torch.from_numpy(explanation.input)[None])
    assert gradients.output == pytest.approx(float(expected), abs=1e-4)
