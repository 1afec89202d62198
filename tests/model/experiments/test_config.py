from __future__ import annotations

import re
from pathlib import Path

import pytest

from airsift.errors import ConfigError
from model.experiments import config
from model.experiments.architecture import ConvolutionalNetwork, Dense
from model.experiments.features import catalogue

# F of each row, from the tables of the report; experiment 1 has an error instead.
REPORTED = {
    "2": [91.14, 87.50, 88.70],
    "3": [85.83, 82.19, 91.53],
    "4": [88.00, 86.64, 91.53, 92.95, 92.83, 94.12, 90.68],
    "5": [91.53, 91.14, 90.30, 88.52, 84.52, 81.48],
    "6": [93.62, 96.61],
    "7": [95.83],
    "8": [None, 91.77, 93.16, 90.76, 92.04, 94.37, None],
}
EPOCHS = {"1": 220, "2": 90, "6": 100, "7": 8}
OWN = """
title = "t"
question = "q"
tiny = { train = 2, validation = 2, test = 2, epochs = 1, seeds = 1 }
small = { train = 2, validation = 2, test = 2, epochs = 1, seeds = 1 }
full = { train = 2, validation = 2, test = 2, epochs = 1, seeds = 1 }
[finding]
text = "f"
[windows]
negative = ["speech"]
positive = ["music"]
[[rows]]
name = "a"
feature = "mfcc"
network = "feature"
"""


def loaded(number: str) -> config.Experiment:
    return config.load(config.find(number))


def own(folder: Path, text: str) -> Path:
    path = folder / "own.toml"
    path.write_text(text)
    return path


def test_there_are_the_eight_experiments_of_the_report_and_ours() -> None:
    *numbers, last = [name.partition("-")[0] for name in config.names()]
    assert numbers == [*"123456789", "9b", "10"]
    assert last == "invariances"
    ours = [each.name for each in map(loaded, numbers) if each.finding.expected]
    assert ours == ["9-distillation", "9b-distillation-of-voices", "10-separation"]


@pytest.mark.parametrize(
    ("ours", "reports", "row"), [("9", "7", 0), ("9b", "1", 1), ("10", "5", 2)]
)
def test_a_row_without_the_novelty_is_one_of_the_reports(ours, reports, row) -> None:
    """So it is trained once for both tables."""
    mine, theirs = loaded(ours), loaded(reports)
    assert mine.rows[0].key == theirs.rows[row].key
    assert mine.training == theirs.training
    assert mine.windows == theirs.windows
    assert mine.scales["small"] == theirs.scales["small"]


@pytest.mark.parametrize("number", REPORTED)
def test_the_figures_beside_ours_are_the_reports(number) -> None:
    assert [row.reported.f for row in loaded(number).rows] == REPORTED[number]


def test_the_full_scale_is_the_reports() -> None:
    for number, epochs in EPOCHS.items():
        assert loaded(number).scales["full"].epochs == epochs
    for number in "2345678":
        sizes = loaded(number).scales["full"]
        counts = (sizes.train, sizes.validation, sizes.test)
        assert counts == ((40_000, 980, 980) if number == "7" else (8_000, 472, 472))
        assert loaded(number).scales["small"].train == 8_000
    voice = loaded("1").scales["full"]
    assert (voice.train + voice.validation + voice.test) * 0.15 == 150 * 60
    assert loaded("1").rows[0].reported.error == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("number", "12345678")
def test_every_network_fits_its_feature_and_has_the_penalised_layers(number) -> None:
    pytest.importorskip("librosa")
    for row in loaded(number).rows:
        if row.layers is None:
            continue
        network = ConvolutionalNetwork(catalogue.make(row.feature).shape, row.layers)
        for penalty in row.penalties:
            assert all(network.weights(layer).numel() for layer in penalty.strengths)


def test_networks_have_what_the_report_states() -> None:
    networks = config.load_networks(config.folder() / config.NETWORKS)
    large = ConvolutionalNetwork((1, 216, 144), networks["large"])
    first, second = large.layers["convolution 1"], large.layers["convolution 2"]
    assert first.kernel_size == (10, 72)  # 0.23 s by 3 octaves
    assert first.out_channels == 20
    assert second.kernel_size == (22, 1)  # 0.5 s
    assert [large.layers[f"pool {n}"].kernel_size[axis] for n, axis in
            ((1, 0), (2, 1), (3, 0), (4, 1))] == [1, 1, 1, 1]  # fmt: skip
    for number in (3, 4):
        size = large.layers[f"convolution {number}"].kernel_size
        assert size[0] == size[1]
    wide = ConvolutionalNetwork((1, 216, 144), networks["wide"])
    assert wide.layers["convolution 1"].out_channels == 100
    voice = ConvolutionalNetwork((3, 15, 369), networks["voice"])
    assert all(voice.layers[f"pool {n}"].kernel_size[1] == 1 for n in (1, 2))
    assert sum(isinstance(each, Dense) for each in networks["voice"]) == 1


def test_depth_variants_have_their_number_of_layers() -> None:
    counts = {
        row.name: sum(name.startswith("convolution") for name in
                      ConvolutionalNetwork((1, 216, 144), row.layers).shapes)
        for row in loaded("4").rows if row.feature == "cqt"
    }  # fmt: skip
    assert list(counts.values()) == [1, 2, 3, 3]


def test_an_experiment_of_ones_own_is_read(tmp_path) -> None:
    read = config.load(own(tmp_path, OWN))
    assert (read.name, read.rows[0].split, read.training.batch) == ("own", "sources", 100)
    assert config.find(str(tmp_path / "own.toml")) == tmp_path / "own.toml"
    assert config.find("8") == config.find("8-penalties")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("mfcc", "mel"), "feature='mel' of the row 'a' is unknown: use one of cqt"),
        (('"feature"\n', '"deep"\n'), "network='deep' of the row 'a' is unknown: use one of"),
        (('network = "feature"', 'baseline = "knn"'), "baseline='knn' of the row 'a' is unknown"),
        (('network = "feature"', ""), "rows.0=.*a row has a network or a baseline"),
        (('network = "feature"', 'network = "feature"\nconvolutions = 9'),
         "the row 'a': 9 layers of the kind convolution"),
        (('network = "feature"', 'network = "feature"\npenalties = [{kind="L3", strengths={}}]'),
         "the row 'a': penalty='L3' is unknown"),
        (("epochs = 1", "epochs = 0"), "tiny.epochs=0: input should be greater than or equal to 1"),
        (("epochs = 1", "epoch = 1"), "tiny.epochs is missing: add it"),
        (('title = "t"', 'titel = "t"\ntitle = "t"'), "titel is unknown: remove it"),
        (('text = "f"', 'text = "f"\nbetter = [["a", "b"]]'), "finding names the row 'b'"),
        (('title = "t"', "title ="), "is no TOML file"),
        (('network = "feature"\n', 'network = "feature"\n[[rows]]\nname = "a"\nfeature = "cqt"\n'
          'network = "large"\n'), "two rows are called 'a'"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_file_is_one_line_with_the_key(tmp_path, change, message) -> None:
    text = OWN.replace(*change, 1)
    assert text != OWN
    with pytest.raises(ConfigError, match=message) as raised:
        config.load(own(tmp_path, text))
    assert "\n" not in str(raised.value)
    assert "own.toml" in str(raised.value)


def test_what_is_not_there_is_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"'11' is unknown: use all, report, .* 1-voice"):
        config.find("11")
    with pytest.raises(ConfigError, match=re.escape(f"{tmp_path / 'no.toml'} cannot be read")):
        config.load(tmp_path / "no.toml")
