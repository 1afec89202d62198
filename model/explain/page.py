"""The explanation as one HTML page that needs no other file and no network."""

from __future__ import annotations

import base64
import io
import json
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from model.explain import pictures
from model.spec import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from model.explain.activation import Activation
    from model.explain.explanation import Explanation
    from model.explain.subject import Subject

    Floats = NDArray[np.float32]
    Json = dict[str, object]

# Of attributions: single cells are many times stronger than all others.
_SHARE = 0.998
LIMIT = 12_000_000  # bytes of a page; what is over it loses the sounds of its weakest maps


def render(
    subject: Subject,
    filters: Sequence[tuple[str, Floats]],
    explanation: Explanation | None,
    activations: Mapping[int, Sequence[Activation]],
    activation_layer: str,
    title: str,
    report: Callable[[str], None],
    limit: int = LIMIT,
) -> str:
    """Return the page.

    Parameters
    ----------
    subject : Subject
        The network.
    filters : sequence of (str, np.ndarray)
        Title and first filters of each network.
    explanation : Explanation, optional
        Of one window.
    activations : mapping of int to sequence of Activation
        For maps of `activation_layer`, the windows that activate them most.
    activation_layer : str
        The layer.
    title : str
        What is explained.
    report : callable
        Receives a line if sounds are left out.
    limit : int > 0
        Bytes.
    """
    data: Json = {
        "seconds": subject.seconds,
        "hertz": None if subject.hertz is None else subject.hertz.round(1).tolist(),
        "sheets": [
            {"title": name, **_picture(np.nan_to_num(pictures.mosaic(each)), signed=True)}
            for name, each in filters
        ],
    }
    sounds: list[tuple[float, Json]] = []
    if explanation is not None:
        data |= _explained(subject, explanation, sounds)
    data["activationLayer"] = activation_layer
    data["activation"] = [
        {
            "map": number,
            "windows": [_activation(subject, each, sounds) for each in found],
        }
        for number, found in activations.items()
    ]
    page = _filled(title, data)
    left_out = 0
    sounds.sort(key=lambda one: one[0])
    while len(page) > limit and sounds:
        over = len(page) - limit
        while over > 0 and sounds:
            _, owner = sounds.pop(0)
            over -= len(str(owner["sound"]))
            owner["sound"] = None
            left_out += 1
        page = _filled(title, data)
    if left_out:
        report(
            f"{left_out} sounds are not in the page, which would be larger than "
            f"{limit / 1e6:g} MB; they are in its folder: use a smaller --maps, or a --layer"
        )
    return page


def _explained(
    subject: Subject, explanation: Explanation, sounds: list[tuple[float, Json]]
) -> Json:
    """Return the data of a window; add each sound that may be left out to `sounds`."""
    magnitudes = subject.compression > 0
    sizes = subject.sizes
    largest = float(explanation.input.max())
    layers: list[Json] = []
    for name in dict.fromkeys(each.layer for each in explanation.reconstructions):
        maps = []
        for each in explanation.reconstructions:
            if each.layer != name:
                continue
            values = each.values if each.values.ndim == 2 else each.values[None]
            one: Json = {
                "number": each.number,
                "strength": round(each.strength, 3),
                "values": _picture(values[None]),
                "input": _picture(each.input, largest) if magnitudes
                else _picture(each.input, signed=True),
                "sound": None if each.audio is None else _flac(each.audio),
            }  # fmt: skip
            maps.append(one)
            if one["sound"]:
                sounds.append((each.strength, one))
        shape = " by ".join(map(str, sizes[name]))
        layers.append({"name": name, "shape": shape, "maps": maps})
    return {
        "input": _picture(explanation.input, largest if magnitudes else None),
        "sound": _flac(explanation.audio),
        "resynthesis": None if explanation.resynthesis is None
        else _flac(explanation.resynthesis),
        "convergence": explanation.convergence,
        "probabilities": explanation.probabilities,
        "layers": layers,
        "attributions": [
            {
                "label": each.label,
                "output": round(each.gradients.output, 3),
                "baseline": round(each.gradients.baseline, 3),
                "gap": round(each.gradients.gap, 4),
                "gradients": _picture(
                    each.gradients.attributions.cpu().numpy(), signed=True, share=_SHARE
                ),
                "occlusion": _picture(each.occlusion[None], signed=True),
            }
            for each in explanation.attributions
        ],
    }  # fmt: skip


def _activation(subject: Subject, each: Activation, sounds: list[tuple[float, Json]]) -> Json:
    import torch

    values = subject.features(torch.from_numpy(each.samples)[None])[0].cpu().numpy()
    one: Json = {
        "title": each.title,
        "strength": round(each.strength, 3),
        "input": _picture(values),
        "sound": _flac(each.samples),
    }
    # These are kept longest: the folder does not hold them.
    sounds.append((float("inf"), one))
    return one


def _picture(
    values: Floats, largest: float | None = None, *, signed: bool = False, share: float = 1.0
) -> Json:
    """Return (channels, frames, bins), or a picture, as PNG in a data URI.

    Of a signed one, `share` of the cells have less than full colour.
    """
    flat = values if values.ndim == 2 else pictures.upright(values)
    if signed:
        most = float(np.quantile(np.abs(flat), share))
        grey = pictures.signed(flat, most)
    else:
        least = min(float(flat.min()), 0.0)
        most = float(flat.max()) if largest is None else largest
        grey = pictures.positive(flat - least, most - least)
    return {
        "png": "data:image/png;base64," + base64.b64encode(pictures.png(grey)).decode(),
        "width": flat.shape[1],
        "height": flat.shape[0],
        "signed": signed,
        "largest": round(most, 4),
    }


def _flac(samples: Floats) -> str:
    """Return audio as FLAC in a data URI: all browsers play it, and nothing is lost."""
    import av

    output = io.BytesIO()
    with av.open(output, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE)
        stream.layout = "mono"
        stream.format = "s16"
        whole = np.rint(np.clip(samples, -1, 1) * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(whole[None], format="s16", layout="mono")
        frame.rate = SAMPLE_RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return "data:audio/flac;base64," + base64.b64encode(output.getvalue()).decode()


def _filled(title: str, data: Json) -> str:
    """Return the template with a title and its data, which no text in them can break out of."""
    template = (files("model.explain") / "page.html").read_text(encoding="utf-8")
    written = json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    written = written.replace("<", "\\u003c").replace("&", "\\u0026")
    return template.replace("{{title}}", escape(title)).replace("{{data}}", written)
