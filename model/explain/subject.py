"""The network that is explained: its layers, what its input means, and its outputs.

Three kinds of files are read: the states of an experiment (``best.pt`` and those beside it), the
``network.pt`` of `airsift train`, and a file that `airsift export` wrote, such as the shipped one.
An exported file is TorchScript, whose layers are merged into one program; so the weights are read
from the file for onnxruntime beside it, which keeps their names.
"""

from __future__ import annotations

import zipfile
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from airsift.errors import ConfigError, SpecMismatch
from model import weights
from model.backend import columns_of
from model.experiments.config import SCALES
from model.experiments.runner import row_folder, training_folder
from model.explain.chain import Chain, Layer, named
from model.explain.pictures import structure
from model.frontend.kernels import bin_frequencies
from model.frontend.rolling_cqt import make_front_end
from model.networks.onnx_form import OnnxForm, onnx_form
from model.networks.pooled import COLUMN_SPREAD, TYPICAL_COLUMN, Network
from model.networks.presets import Assembled, Report2015, Slim
from model.spec import BINS_PER_OCTAVE, HOP, N_BINS, SAMPLE_RATE, WINDOW_COLUMNS
from model.torch_backend import TorchFrontEnd

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from model.experiments.config import Experiment, Row
    from model.experiments.features.base import Feature

SHIPPED = "shipped"
STATES = ("best.pt", "initial.pt", "last.pt")


@dataclass(frozen=True, slots=True)
class Subject:
    """A network to explain.

    Parameters
    ----------
    name : str
        For titles.
    chain : Chain
        Its layers.
    labels : tuple of str
        Its outputs.
    samples : int > 0
        Samples of its window at 16 kHz.
    features : callable
        From windows [shape=(batch, samples)] to inputs of the chain.
    log_odds : callable
        From inputs to the log odds of the labels [shape=(batch, labels)].
    compression : float >= 0
        C in ``log2(1 + C * magnitude)`` of the inputs.
    cqt_hop : int
        Samples between two columns, if the input is a constant-Q transform; else 0.
    hertz : np.ndarray [shape=(bins,)], optional
        Frequencies of the bins, if they have one.
    """

    name: str
    chain: Chain
    labels: tuple[str, ...]
    samples: int
    features: Callable[[Tensor], Tensor]
    log_odds: Callable[[Tensor], Tensor]
    compression: float
    cqt_hop: int
    hertz: NDArray[np.float64] | None

    @property
    def seconds(self) -> float:
        """Length of the window."""
        return self.samples / SAMPLE_RATE

    @property
    def sizes(self) -> dict[str, tuple[int, ...]]:
        """Shape of the maps of each layer."""
        with torch.no_grad():
            maps = self.chain.trace(self.chain.mean.expand(1, *self.chain.shape)).maps
        return {name: tuple(each.shape[1:]) for name, each in maps.items()}

    @property
    def filters(self) -> tuple[str, NDArray[np.float32]] | None:
        """Filters of the first layer, if it has some, and a title that says what they span."""
        if self.chain.filters is None:
            return None
        frames, bins = self.chain.filters.shape[2:]
        span = f"{bins} bins"
        if self.cqt_hop:
            span = f"{bins / BINS_PER_OCTAVE:.1f} octaves"
        elif self.hertz is not None:
            span = f"{bins * (self.hertz[1] - self.hertz[0]):.0f} Hz"
        seconds = frames * self.seconds / self.chain.shape[1]
        filters = self.chain.filters.cpu().numpy()
        title = (
            f"{self.name}: {len(filters)} filters of {seconds:.2f} s by {span}, structure "
            f"{structure(filters):.2f}"
        )
        return title, filters


def read(path: Path, experiment: Path | None = None, device: str = "cpu") -> Subject:
    """Read a network.

    Parameters
    ----------
    path : Path
        A file, or the folder of a row of an experiment or of one of its seeds.
    experiment : Path, optional
        TOML file of the experiment, if it is none of the project's.
    device : str
        'cpu' or 'cuda'.

    Raises
    ------
    ConfigError, SpecMismatch
        There is no such file, it is no network, or the device is not there.
    """
    check_device(device)
    file = find(path)
    if file.name in STATES:
        return _of_experiment(file, experiment, device)
    if zipfile.is_zipfile(file) and _is_training(file):
        # Slow to import.
        from model.export.torchscript import trained_network

        trained = trained_network(file)
        assert isinstance(trained.network, nn.Module)
        return _of_windows(file.parent.name, trained.network, trained.labels, device)
    return _exported(file, device)


def find(path: Path) -> Path:
    """Return the file of a network: of a folder, the best state of its first seed.

    A row of an experiment may be trained in the folder of an equal row, see
    `model.experiments.runner.training_folder`.

    Raises
    ------
    ConfigError
        There is none.
    """
    if str(path) == SHIPPED:
        return weights.DEFAULT_WEIGHTS
    if path.is_dir():
        there = (path / "network.pt", path / "best.pt", path / "seed-1" / "best.pt")
        found = next((each for each in there if each.is_file()), _equal_row(path))
        if found is None:
            raise ConfigError(
                f"{path} holds no network: name the folder of a row of an experiment, a best.pt, "
                f"an exported model, or `{SHIPPED}`"
            )
        return found
    if not path.is_file():
        if (elsewhere := _equal_row(path)) is not None:
            return elsewhere
        raise ConfigError(
            f"{path} is not there: name a best.pt of `airsift experiment`, an exported model, or "
            f"`{SHIPPED}`"
        )
    return path


def rows_of(folder: Path, experiment: Path | None = None) -> list[Path]:
    """Return the best state of the first seed of each row in the folder of an experiment.

    Parameters
    ----------
    folder : Path
        Any folder.
    experiment : Path, optional
        As for `read`.

    Returns
    -------
    list of Path
        In the order of the experiment's table; empty if this is another folder.
    """
    described = _experiment_of(folder, experiment)
    if described is None:
        return []
    rows = (row for row in described.rows if row.layers is not None)
    return [state for row in rows for state in _states(described, row, folder.resolve())]


def _states(described: Experiment, row: Row, home: Path) -> list[Path]:
    """Return the best state of a row's first seed, of the experiment with this folder."""
    results = home.parent
    own = home / row_folder(described, row, Path()).name / "seed-1" / STATES[0]
    if own.is_file():
        return [own]
    scale = next((each for each in SCALES if each == results.name), None)
    folder = None if scale is None else training_folder(described, row, 1, results, scale)
    return [] if folder is None else [folder / STATES[0]]


def _experiment_of(folder: Path, toml: Path | None) -> Experiment | None:
    """Return the experiment whose results are in a folder, or None if it is another folder."""
    from model.experiments import config

    if toml is not None:
        return config.load(toml) if any(folder.glob("*/seed-1/*.pt")) else None
    name = folder.resolve().name
    if name not in config.names() or "rows" not in config.raw(config.find(name)):
        return None
    return config.load(config.find(name))


def _equal_row(path: Path) -> Path | None:
    """Return the state of the row whose folder this is, which is trained in another one."""
    home = path.resolve().parent
    described = _experiment_of(home, None)
    if described is None:
        return None
    for row in described.rows:
        if row_folder(described, row, Path()).name == path.name and row.layers is not None:
            return next(iter(_states(described, row, home)), None)
    return None


def check_device(device: str) -> None:
    """Refuse a device that is unknown, or not there.

    Raises
    ------
    ConfigError
        It is.
    """
    if device not in ("cpu", "cuda"):
        raise ConfigError(f"device={device!r} is unknown: use cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device='cuda': this machine has no GPU that torch can use; use cpu")


def _is_training(file: Path) -> bool:
    """Return whether a file is one that `torch.save` wrote, and no TorchScript."""
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
    return not any("/code/" in name for name in names)


def _of_experiment(file: Path, toml: Path | None, device: str) -> Subject:
    """Read a state of a row: its layers are those that the experiment's file describes."""
    from model.experiments.architecture import ConvolutionalNetwork
    from model.experiments.features import catalogue

    described, row = _row_of(file, toml)
    assert row.layers is not None
    feature = catalogue.make(row.feature)
    network = ConvolutionalNetwork(feature.shape, row.layers)
    try:
        network.load_state_dict(_state(file))
    except RuntimeError as error:
        raise ConfigError(
            f"{file} holds other layers than the row {row.name!r} of {described.name} has: name "
            "the file of its experiment with --experiment"
        ) from error
    network = network.to(device).eval()
    layers = tuple(
        Layer(name, operation, name != "output" and not isinstance(operation, nn.MaxPool2d))
        for name, operation in network.layers.items()
        if isinstance(operation, nn.Conv2d | nn.MaxPool2d | nn.Linear)
    )
    chain = Chain(feature.shape, network.mean, network.deviation, layers)

    def log_odds(inputs: Tensor) -> Tensor:
        scores: Tensor = network(inputs)
        return scores[:, 1:2] - scores[:, 0:1]

    state = "" if file.name == STATES[0] else f", {file.stem}"
    return Subject(
        f"{described.name}, {row.name}{state}", chain, (" or ".join(described.windows.positive),),
        feature.samples, lambda windows: feature(windows).to(device), log_odds,
        *_meaning(row.feature, feature),
    )  # fmt: skip


def _row_of(file: Path, toml: Path | None) -> tuple[Experiment, Row]:
    """Return the experiment and the row whose folder a state lies in."""
    from model.experiments import config

    folders = file.resolve().parents
    row_name, name = folders[1].name, folders[2].name
    if toml is None and name not in config.names():
        raise ConfigError(
            f"{file} does not lie in EXPERIMENT/ROW/seed-N, with EXPERIMENT one of "
            f"{', '.join(config.names())}: name its TOML file with --experiment"
        )
    described = config.load(toml or config.find(name))
    for row in described.rows:
        if row_folder(described, row, Path()).name == row_name and row.layers is not None:
            return described, row
    raise ConfigError(
        f"{file}: the folder {row_name} is no row of {described.name} with a network: name the "
        "file of its experiment with --experiment"
    )


def _state(file: Path) -> Mapping[str, Tensor]:
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's errors of damaged files have no common base
        raise ConfigError(
            f"{file} is no state of a network ({type(error).__name__}): name a best.pt that "
            "`airsift experiment` wrote"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ConfigError(
            f"{file} holds no weights: name a best.pt that `airsift experiment` wrote"
        )
    return state


def _meaning(name: str, feature: Feature) -> tuple[float, int, NDArray[np.float64] | None]:
    """Return the compression of a feature, the hop if it is a CQT, and the bins' frequencies."""
    from model.experiments.features.cqt import CQT, CQT_HOP
    from model.experiments.features.stft import N_FFT, STFT, VOICE_N_FFT, Resolutions
    from model.spec import COMPRESSION

    if isinstance(feature, CQT):
        return COMPRESSION, CQT_HOP, bin_frequencies()
    if isinstance(feature, STFT | Resolutions):
        n_fft = N_FFT if isinstance(feature, STFT) else VOICE_N_FFT
        return COMPRESSION, 0, np.arange(feature.shape[2], dtype=np.float64) * (SAMPLE_RATE / n_fft)
    return 0.0, 0, None


def _exported(file: Path, device: str) -> Subject:
    """Read a file of `airsift export` by the file for onnxruntime beside it."""
    spec = weights.read_spec(file)
    graphs = ("embed", "predict" if spec.moments else "decide")
    found = _initial_values(weights.onnx_file(file), graphs)
    network = OnnxForm(Network(labels=len(spec.labels)))
    own = network.state_dict()
    if not own.keys() <= found.keys() or any(own[k].shape != found[k].shape for k in own):
        raise SpecMismatch(
            f"{file} is exported from another network than `pooled`, whose layers do not keep "
            "their names: name the network.pt of its training"
        )
    network.load_state_dict({name: found[name] for name in own})
    if spec.n_bins != N_BINS or spec.window_columns != WINDOW_COLUMNS or spec.hop != HOP:
        raise SpecMismatch(f"{file} hears other columns than this version: export it again")
    return _of_windows(file.stem, network, spec.labels, device, spec.compression)


def _initial_values(path: Path, names: Sequence[str]) -> dict[str, Tensor]:
    """Return the named weights in a file for onnxruntime."""
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise ConfigError(
            "reading the layers of an exported model needs onnx: `pip install 'airsift[training]'` "
            "brings it"
        ) from error
    values: dict[str, Tensor] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in names:
                graph = onnx.load_from_string(archive.read(f"{name}.onnx")).graph
                for each in graph.initializer:
                    array = np.array(numpy_helper.to_array(each))
                    values[each.name.removeprefix("network.")] = torch.from_numpy(array)
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise SpecMismatch(
            f"{path} is needed to read the layers, and cannot be read ({error}): export the model "
            "again, without --no-onnx"
        ) from error
    return values


def _of_windows(
    name: str, network: nn.Module, labels: tuple[str, ...], device: str, compression: float = 1e4
) -> Subject:
    """Read a network of columns, frames and windows: its chain ends with the frames."""
    made: nn.Module = network
    if isinstance(network, Network):
        form = onnx_form(network)
        assert isinstance(form, nn.Module)
        made = form
    made = made.to(device).eval()
    shape = (1, WINDOW_COLUMNS, N_BINS)
    mean = torch.full((1, 1, N_BINS), TYPICAL_COLUMN)
    deviation = torch.full((1, 1, N_BINS), COLUMN_SPREAD)
    if isinstance(made, OnnxForm):
        modules = list(made.columns_to_frames)
        # It takes columns that are not standardised.
        first = modules[0]
        assert isinstance(first, nn.Conv2d)
        modules[0] = _standardised(first)
    elif isinstance(made, Assembled) and isinstance(made.columns_to_frames, Slim | Report2015):
        modules = _fused(list(made.columns_to_frames.layers))
    else:
        raise ConfigError(f"a network of the class {type(network).__name__} cannot be explained")
    chain = Chain(shape, mean.to(device), deviation.to(device), named(modules))
    front_end = TorchFrontEnd(make_front_end("rolling", compression))

    def features(windows: Tensor) -> Tensor:
        columns = columns_of(windows.numpy(), front_end)[:, :WINDOW_COLUMNS]
        return torch.from_numpy(columns).unsqueeze(1).to(device)

    def log_odds(inputs: Tensor) -> Tensor:
        columns = inputs.squeeze(1)
        frames = made.embed(columns)
        if isinstance(made, OnnxForm):
            pooled = made.pooled(made.refined(frames))
            scores: Tensor = made.hidden_to_scores(torch.relu(made.frames_to_hidden(pooled)))
            return scores
        assert isinstance(made, Assembled)
        return made.scores(frames)

    return Subject(
        name, chain, labels, WINDOW_COLUMNS * HOP, features, log_odds, compression, HOP,
        bin_frequencies(),
    )  # fmt: skip


def _fused(modules: Sequence[nn.Module]) -> list[nn.Module]:
    """Return modules with each normalisation as part of the convolution before it."""
    found: list[nn.Module] = []
    for module in modules:
        if isinstance(module, nn.BatchNorm2d):
            convolution = found.pop()
            assert isinstance(convolution, nn.Conv2d)
            found.append(fuse_conv_bn_eval(convolution, module))
        else:
            found.append(module)
    return found


def _standardised(first: nn.Conv2d) -> nn.Conv2d:
    """Return a convolution of columns as one of standardised columns."""
    made = deepcopy(first)
    assert made.bias is not None
    made.bias.data += first.weight.detach().sum((1, 2, 3)) * TYPICAL_COLUMN
    made.weight.data *= COLUMN_SPREAD
    return made
