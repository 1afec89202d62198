"""The shipped networks, loaded once for the tests that compute with them."""

from __future__ import annotations

from functools import cache

from model.backend import Backend, Classifier
from model.onnx_backend import OnnxBackend
from model.torch_backend import TorchBackend
from model.weights import DEFAULT_WEIGHTS, VOICE_WEIGHTS

BACKENDS: dict[str, Backend] = {"torch": TorchBackend(), "onnx": OnnxBackend()}
FRONT_END = BACKENDS["onnx"].front_end(DEFAULT_WEIGHTS)


@cache
def shipped(backend: str = "onnx") -> Classifier:
    """Return the shipped network."""
    return BACKENDS[backend].classifier(DEFAULT_WEIGHTS)


@cache
def shipped_voice(backend: str = "onnx") -> Classifier:
    """Return the shipped network of voices."""
    return BACKENDS[backend].classifier(VOICE_WEIGHTS)
