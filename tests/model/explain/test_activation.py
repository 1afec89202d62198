from __future__ import annotations

import numpy as np
import pytest
import torch

from airsift.errors import ConfigError
from model.experiments import windows
from model.explain.activation import maximally_activating
from model.explain.subject import Subject
from tests.model.experiments.manifest import write_manifest


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audio")
    manifest = write_manifest(folder, {"speech": 0, "music": 440}, seconds=7)
    windows.decode_manifest(manifest, folder / "corpus", lambda line: None)
    return folder / "corpus"


def subject_of() -> Subject:
    """Return a chain whose map 0 is the energy of a window, and map 1 less energy."""
    from model.explain.chain import Chain, named

    layer = torch.nn.Conv2d(1, 2, 1, bias=False)
    layer.weight.data[:, 0, 0, 0] = torch.tensor([1.0, -1.0])
    chain = Chain((1, 1, 1), torch.zeros(1, 1, 1), torch.ones(1, 1, 1), named([layer]))
    samples = 5 * 16_000

    def features(audio: torch.Tensor) -> torch.Tensor:
        return audio.square().mean(1).view(-1, 1, 1, 1)

    return Subject("energy", chain, ("loud",), samples, features, lambda x: x[:, 0, 0], 0, 0, None)


def test_the_strongest_windows_are_found_each_of_another_recording(corpus) -> None:
    told = []
    found = maximally_activating(
        subject_of(), corpus, "convolution 1", [0, 1], windows=60, each=3,
        report=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert told[-1] == (60, 60)
    loudest, quietest = found[0], found[1]
    assert [each.kind for each in loudest] == ["music"] * 3
    assert [each.kind for each in quietest] == ["speech"] * 3
    for kept in found.values():
        assert len({each.path for each in kept}) == 3
        assert [each.strength for each in kept] == sorted((e.strength for e in kept), reverse=True)
        for each in kept:
            energy = float(np.square(each.samples).mean())
            assert abs(each.strength) == pytest.approx(energy, rel=1e-4)
    assert loudest[0].title.startswith("music: mine, music-")


def test_recordings_that_are_too_short_are_refused_in_one_line(tmp_path) -> None:
    manifest = write_manifest(tmp_path, {"speech": 0}, seconds=2)
    windows.decode_manifest(manifest, tmp_path / "corpus", lambda line: None)
    with pytest.raises(ConfigError, match="has no recording of 5 s or more"):
        maximally_activating(
            subject_of(), tmp_path / "corpus", "convolution 1", [0], windows=4, each=1,
            report=lambda done, total: None,
        )  # fmt: skip
