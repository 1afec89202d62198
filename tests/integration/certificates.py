"""An authority and what it signed, made anew by the openssl command."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]


def _run(*arguments) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """Signs certificates; its own is ``ca.pem`` in `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.ca = folder / "ca.pem"
        self._key = folder / "ca.key"
        _run(
            *("req", "-x509", *KEY, "-keyout", self._key, "-out", self.ca, "-days", 30),
            *("-subj", "/CN=An authority", "-addext", "keyUsage=critical,keyCertSign"),
        )

    def sign(self, name: str, *, host: str = "IP:127.0.0.1", days: int = 30) -> tuple[Path, Path]:
        """Return the files of a certificate for `host` and of its key."""
        key, request, certificate, extensions = (
            self.folder / f"{name}.{kind}" for kind in ("key", "csr", "pem", "ext")
        )
        _run("req", *KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        extensions.write_text(f"subjectAltName={host}\nauthorityKeyIdentifier=keyid\n")
        _run(
            *("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._key),
            *("-CAcreateserial", "-out", certificate, "-days", days, "-extfile", extensions),
        )
        return certificate, key

    def server(self, name: str = "server", *, wants_client: bool = False, **kind) -> ssl.SSLContext:
        """Return a server's context with a certificate of its own."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.sign(name, **kind))
        if wants_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca)
        return context
