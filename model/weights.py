"""Model files, without loading a network: where they are, their specs and their checksums.

A TorchScript file is a program, so only known files are loaded. Beside it lies the same model for
onnxruntime (see `model.onnx_backend`), which is none.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

from airsift.errors import SpecMismatch
from model.spec import ModelSpec

DEFAULT_WEIGHTS = Path(__file__).parent / "weights" / "airsift.pt"
VOICE_WEIGHTS = DEFAULT_WEIGHTS.with_name("voice.pt")
SHIPPED = DEFAULT_WEIGHTS.with_name("SHA256SUMS")
SPEC_FILE = "airsift.json"
NO_MODEL = "is not a TorchScript file: name one that `airsift export` wrote"
MANIFEST = "manifest.json"
SCHEMA = "airsift.onnx/1"
NO_SPEC = "carries no spec: name a file that `airsift export` wrote"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a file for onnxruntime says about itself.

    Parameters
    ----------
    schema : str
        `SCHEMA`.
    torchscript_sha256 : str
        Hash of the TorchScript file of the same model.
    latency, history : int >= 0
        Samples by which its columns lie before the samples of a call, and numbers that it keeps of
        a station between two calls.
    """

    schema: str
    torchscript_sha256: str
    latency: int
    history: int


def onnx_file(model: Path) -> Path:
    """Return where the same model is for onnxruntime: beside it, as NAME.onnx.zip."""
    return model.with_suffix(".onnx.zip")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal.

    Raises
    ------
    SpecMismatch
        The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def check_trusted(path: Path, sha256: str, key: str) -> None:
    """Refuse a model file whose SHA-256 is neither configured nor shipped.

    Parameters
    ----------
    path : Path
        The file.
    sha256 : str
        The configured hash; if empty, only files shipped with airsift are accepted.
    key : str
        Configuration key of the hash, for the error.

    Raises
    ------
    SpecMismatch
        The hash differs; the message names it.
    """
    found = sha256_of(path)
    shipped = {line.split()[0] for line in SHIPPED.read_text(encoding="utf-8").splitlines()}
    if found not in ({sha256.lower()} if sha256 else shipped):
        rule = f"{key}={sha256}" if sha256 else "that of a file shipped with airsift"
        raise SpecMismatch(
            f"{path}: its SHA-256 is not {rule}; it is a program, so if you trust it, set "
            f"{key}={found}"
        )


def check_source(model: Path, sha256: str, key: str) -> None:
    """Refuse a file for onnxruntime that was made of another TorchScript file than configured.

    Parameters
    ----------
    model : Path
        The TorchScript file beside which it lies.
    sha256 : str
        The configured hash of the TorchScript file.
    key : str
        Configuration key of the hash, for the error.

    Raises
    ------
    SpecMismatch
        The hashes differ; the message names both.
    """
    found = read_manifest(model).torchscript_sha256
    if found != sha256.lower():
        raise SpecMismatch(
            f"{onnx_file(model)} was made of a TorchScript file with SHA-256 {found}, and "
            f"{key}={sha256}: they are not the same model; export it again, or set {key}={found}"
        )


def read_manifest(model: Path) -> Manifest:
    """Read what a file for onnxruntime says about itself, and check that it fits its model.

    Parameters
    ----------
    model : Path
        The TorchScript file beside which it lies. It need not be there.

    Raises
    ------
    SpecMismatch
        The file is missing, is no such file, or was made of another TorchScript file than `model`.
    """
    path = onnx_file(model)
    try:
        with zipfile.ZipFile(path) as archive:
            facts = json.loads(archive.read(MANIFEST))
        found = Manifest(**facts)
    except OSError as error:
        raise SpecMismatch(
            f"{path}: {error.strerror or 'it cannot be read'}: `airsift export` writes it beside "
            "the TorchScript file; or use model.backend='torch'"
        ) from error
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise SpecMismatch(
            f"{path} is not a file that `airsift export` of this version wrote: export the model "
            "again"
        ) from error
    if found.schema != SCHEMA:
        raise SpecMismatch(
            f"{path} has schema {found.schema!r}, airsift reads {SCHEMA!r}: export the model with "
            "this version"
        )
    if model.exists() and (sha256 := sha256_of(model)) != found.torchscript_sha256:
        raise SpecMismatch(
            f"{path} was made of a TorchScript file with SHA-256 {found.torchscript_sha256}, and "
            f"{model} has {sha256}: they are not the same model; export it again"
        )
    return found


def read_spec(path: Path = DEFAULT_WEIGHTS) -> ModelSpec:
    """Read the spec of a model file without loading the network.

    Parameters
    ----------
    path : Path
        The TorchScript file. If it is not there, the file for onnxruntime is read.

    Raises
    ------
    SpecMismatch
        The file is missing, is not a model of airsift, or has an invalid spec.
    """
    if not path.exists() and onnx_file(path).exists():
        path = onnx_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = (SPEC_FILE, f"/extra/{SPEC_FILE}")
            name = next((each for each in archive.namelist() if each.endswith(names)), None)
            text = archive.read(name).decode() if name else ""
    except OSError as error:
        raise unreadable(path, error) from error
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise SpecMismatch(f"{path} {NO_MODEL}") from error
    if not text:
        raise SpecMismatch(f"{path} {NO_SPEC}")
    return ModelSpec.from_json(text)


def unreadable(path: Path, error: OSError) -> SpecMismatch:
    """Return the error for a model file that cannot be read."""
    return SpecMismatch(
        f"{path}: {error.strerror or 'it cannot be read'}: name a model file that is there"
    )
