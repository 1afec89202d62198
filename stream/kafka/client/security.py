"""Encryption and login for both drivers, and a diagnosis of a broker that cannot be reached.

The clients report a wrong certificate or a port with another protocol like a broker that is away,
and wait for a handshake that never comes. So one connection is tried here first.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from kafka.net.sasl.oauth import AbstractTokenProvider

from airsift.errors import BrokerError, ConfigError
from stream.kafka.tokens import shared_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.kafka.settings import KafkaSettings, SecuritySettings
    from stream.kafka.tokens import Tokens

_ANSWER_S = 3.0  # longer than a handshake over the slowest networks
_ALERT_S = 0.2  # TLS 1.3 sends its alerts after the handshake
_API_VERSIONS = b"\0\0\0\x0a\0\x12\0\0\0\0\0\1\0\0"  # the oldest request that every broker answers


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]
    """OAUTHBEARER's tokens for kafka-python."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def token(self) -> str:
        """Return the valid token."""
        return self._tokens.token()


def servers(text: str) -> Sequence[tuple[str, int]]:
    """Return host and port of each of ``kafka.bootstrap_servers``.

    Raises
    ------
    ConfigError
        One has no port.
    """
    found = []
    for server in (part.strip() for part in text.split(",")):
        host, _, port = server.rpartition(":")
        if not server:
            continue
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ConfigError(
                f"kafka.bootstrap_servers={text!r}: {server!r} has no port; write host:port"
            )
        found.append((host.strip("[]"), int(port)))
    return found


def joined(host: str, port: int) -> str:
    """Return one server as text, ``host:port``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class SecurityOptions(TypedDict, total=False):
    """kafka-python's options for encryption and login."""

    security_protocol: str
    ssl_context: ssl.SSLContext
    sasl_mechanism: str
    sasl_oauth_token_provider: TokenProvider
    sasl_plain_username: str
    sasl_plain_password: str


def security_options(settings: KafkaSettings) -> SecurityOptions:
    """Return kafka-python's options for encryption and login.

    Raises
    ------
    ConfigError
        A file is missing, or holds no certificate or key.
    """
    security = settings.security
    options: SecurityOptions = {"security_protocol": security.protocol}
    if security.encrypted:
        options["ssl_context"] = make_context(security)
    if security.by_token:
        tokens = shared_tokens(security)
        tokens.token()  # reports a missing token before anything connects
        options |= {
            "sasl_mechanism": security.sasl_mechanism,
            "sasl_oauth_token_provider": TokenProvider(tokens),
        }
    elif security.protocol.startswith("SASL"):
        options |= {
            "sasl_mechanism": security.sasl_mechanism,
            "sasl_plain_username": security.username,
            "sasl_plain_password": _secret(security, "password"),
        }
    return options


def make_context(security: SecuritySettings) -> ssl.SSLContext:
    """Return the context that checks a broker's certificate and holds this client's.

    Raises
    ------
    ConfigError
        A file is missing, or holds no certificate or key.
    """
    try:
        context = ssl.create_default_context(cafile=_file("ca_file", security.ca_file))
    except ssl.SSLError:
        raise ConfigError(
            f"kafka.security.ca_file={security.ca_file!r} holds no certificate; give a PEM file"
        ) from None
    context.check_hostname = security.check_hostname
    certificate = _file("certificate_file", security.certificate_file)
    key = _file("key_file", security.key_file)
    if certificate is not None:
        # Without a password OpenSSL would ask for one on the terminal.
        password = _secret(security, "key_password")
        try:
            context.load_cert_chain(certificate, key, lambda: password)
        except (ssl.SSLError, ValueError):
            raise ConfigError(
                f"kafka.security.certificate_file={certificate!r} and key_file={key or ''!r} do "
                "not fit: give PEM files of a certificate and of its key, and key_password_file "
                "if the key has a password"
            ) from None
    return context


def check_tls(settings: KafkaSettings, options: SecurityOptions) -> None:
    """Try one TLS handshake with the first server that listens, if TLS is configured.

    Raises
    ------
    BrokerError
        A certificate is refused, by this client or by the broker, or there is no TLS.
    """
    context = options.get("ssl_context")
    if context is None:
        return
    with suppress(ConnectionRefusedError, TimeoutError, socket.gaierror):
        for host, port in servers(settings.bootstrap_servers):
            problem = _handshake(host, port, context)
            if problem:
                raise BrokerError(f"the Kafka broker at {host}:{port} {problem}")
            return


def explain(settings: KafkaSettings) -> str:
    """Return what is wrong with a server that listens and cannot be used; "" if unknown."""
    for host, port in servers(settings.bootstrap_servers):
        with suppress(OSError):
            socket.create_connection((host, port), timeout=_ANSWER_S).close()
            return _diagnose(settings.security, host, port)
    return ""


def _diagnose(security: SecuritySettings, host: str, port: int) -> str:
    has_login = security.protocol.startswith("SASL")
    # With TLS, `check_tls` has made the handshake.
    if security.encrypted or _answers(host, port):
        return (
            ""
            if has_login
            else f"the Kafka broker at {host}:{port} answers, and then closes the connection: it "
            "may want a login; set kafka.security.protocol="
            f"SASL_{'SSL' if security.encrypted else 'PLAINTEXT'}, username and password_file"
        )
    if _speaks_tls(host, port):
        return (
            f"the Kafka broker at {host}:{port} speaks TLS: set kafka.security.protocol="
            f"{'SASL_SSL' if has_login else 'SSL'} and, for a private authority, ca_file"
        )
    return (
        f"what listens at {host}:{port} does not answer as a Kafka broker does; look at "
        "kafka.bootstrap_servers and kafka.security.protocol"
    )


def _handshake(host: str, port: int, context: ssl.SSLContext) -> str:
    """Return what failed and what to change, "" for success."""
    plain = socket.create_connection((host, port), timeout=_ANSWER_S)
    try:
        with plain, context.wrap_socket(plain, server_hostname=host) as secure:
            secure.settimeout(_ALERT_S)
            with suppress(TimeoutError):
                if not secure.recv(1):
                    return "closes the connection after the TLS handshake; look at its log"
    except ssl.SSLCertVerificationError as error:
        return f"shows a certificate that is refused ({error.verify_message}): " + _way_out(error)
    except ssl.SSLError as error:
        reason = (error.reason or "").lower()
        if "alert" in reason and ("certificate" in reason or "unknown_ca" in reason):
            return (
                f"refuses this client's certificate ({reason.replace('_', ' ')}): set "
                "kafka.security.certificate_file and key_file to what its authority signed"
            )
    except OSError:
        pass
    else:
        return ""
    return (
        "does not speak TLS on this port: set kafka.security.protocol to PLAINTEXT or "
        "SASL_PLAINTEXT, or use its TLS port in kafka.bootstrap_servers"
    )


def _way_out(error: ssl.SSLCertVerificationError) -> str:
    message = error.verify_message
    if "expired" in message or "not yet valid" in message:
        return "renew it, or set this machine's clock"
    if "mismatch" in message or "doesn't match" in message:
        return (
            "use the name it is made for in kafka.bootstrap_servers, or set "
            "kafka.security.check_hostname=false"
        )
    return "set kafka.security.ca_file to the certificate of the authority that signed it"


def _answers(host: str, port: int) -> bool:
    """Whether a broker answers without TLS."""
    with socket.create_connection((host, port), timeout=_ANSWER_S) as plain:
        plain.settimeout(2 * _ALERT_S)
        with suppress(OSError):
            plain.sendall(_API_VERSIONS)
            start = plain.recv(4)
            return len(start) == 4 and start[:2] == b"\0\0"  # a length, not a TLS alert
    return False


def _speaks_tls(host: str, port: int) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((host, port), timeout=_ANSWER_S) as plain:
        try:
            context.wrap_socket(plain, server_hostname=host).close()
        except ssl.SSLError as error:
            return "alert" in (error.reason or "").lower()
        except OSError:
            return False
    return True


def _secret(security: SecuritySettings, key: str) -> str:
    """Return a secret, from its file if one is configured."""
    path = _file(f"{key}_file", getattr(security, f"{key}_file"))
    if path is None:
        return str(getattr(security, key).get_secret_value())
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"kafka.security.{key}_file={path!r} is not text to be read") from None


def _file(key: str, path: str) -> str | None:
    if path and not Path(path).is_file():
        raise ConfigError(f"kafka.security.{key}={path!r} is not a file that can be read")
    return path or None
