"""Checksums of model files: a TorchScript file is a program, so only known files are loaded."""

from __future__ import annotations

import hashlib
from pathlib import Path

from airsift.errors import SpecMismatch

SHIPPED = Path(__file__).parent / "weights" / "SHA256SUMS"


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
        raise SpecMismatch(
            f"{path}: {error.strerror or 'it cannot be read'}: name a model file that is there"
        ) from error


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
