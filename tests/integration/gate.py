"""A gate in front of a broker: TLS by the standard library, and the server's side of SASL.

No broker that the tests can have speaks either, so the clients' handshakes are answered here,
over real sockets: PLAIN (RFC 4616), and SCRAM (RFC 5802) with salt, iterations and signatures.
Behind the gate the broker sees what a client that passed sends, and must advertise the gate.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import socket
import struct
import threading
from contextlib import suppress

from tests.integration.door import pass_on

API_VERSIONS, SASL_HANDSHAKE, SASL_AUTHENTICATE = 18, 17, 36
UNSUPPORTED_MECHANISM, AUTHENTICATION_FAILED = 33, 58
ITERATIONS = 4096


class RefusedError(Exception):
    """A wrong name or password."""


class Gate:
    """Listens on the loopback; with `users` it requires a login.

    Parameters
    ----------
    context : ssl.SSLContext, optional
        The server's; without one the gate speaks plainly.
    users : dict of str to str, optional
        Passwords.
    mechanisms : tuple of str
        Ways to log in.
    """

    def __init__(self, context=None, users=None, mechanisms=("PLAIN",)):
        self._context = context
        self._users = users
        self._mechanisms = mechanisms
        self._broker = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open = [self._listener]
        self.port = self._listener.getsockname()[1]
        self.logins = []
        self.refused = 0

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def lead_to(self, port):
        """Say where the broker is."""
        self._broker = port

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client):
        broker = socket.create_connection(("127.0.0.1", self._broker))
        self._open += [client, broker]
        with client, broker, suppress(OSError):
            client.settimeout(10)
            if self._context is not None:
                client = self._context.wrap_socket(client, server_side=True)
                self._open.append(client)
            if self._users is not None and not self._log_in(client, broker):
                return
            client.settimeout(None)
            back = threading.Thread(target=pass_on, args=[broker, client], daemon=True)
            back.start()
            pass_on(client, broker)
            back.join()

    def _log_in(self, client, broker):
        """Answer until the client is known; the broker answers the query for API versions."""
        exchange = None
        while True:
            frame = _read_frame(client)
            if frame is None:
                return False
            key, version, number = struct.unpack(">hhi", frame[:8])
            body = frame[10 + max(struct.unpack(">h", frame[8:10])[0], 0) :]
            if key == API_VERSIONS:
                broker.sendall(struct.pack(">i", len(frame)) + frame)
                _write_frame(client, _read_frame(broker))
            elif key == SASL_HANDSHAKE:
                assert version == 1
                mechanism = body[2 : 2 + struct.unpack(">h", body[:2])[0]].decode()
                known = mechanism in self._mechanisms
                names = b"".join(_string(name) for name in self._mechanisms)
                error = 0 if known else UNSUPPORTED_MECHANISM
                count = len(self._mechanisms)
                _write_frame(client, struct.pack(">ihi", number, error, count) + names)
                exchange = self._exchange(mechanism)
                next(exchange)
            elif key == SASL_AUTHENTICATE and exchange is not None:
                flexible = version >= 2
                token = _compact(body[1:]) if flexible else body[4:]
                try:
                    answer, done = exchange.send(token)
                except RefusedError as error:
                    self.refused += 1
                    _answer(client, number, version, AUTHENTICATION_FAILED, str(error), b"")
                    client.recv(1)  # a client may lose what comes with the end
                    return False
                _answer(client, number, version, 0, None, answer)
                if done:
                    return True
            else:
                return False  # as Kafka: nothing before the login

    def _exchange(self, mechanism):
        """Take the client's tokens, and yield (answer, whether it is known now)."""
        if mechanism == "PLAIN":
            token = yield
            _, name, password = token.decode().split("\0")
            self._check(self._users.get(name) == password, mechanism)
            self.logins.append((mechanism, name))
            yield b"", True
        digest = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}[mechanism]
        first = (yield).decode()
        assert first.startswith("n,,")
        attributes = dict(part.split("=", 1) for part in first[3:].split(","))
        name = attributes["n"].replace("=2C", ",").replace("=3D", "=")
        salt, nonce = secrets.token_bytes(16), attributes["r"] + secrets.token_hex(8)
        server_first = f"r={nonce},s={base64.b64encode(salt).decode()},i={ITERATIONS}"
        final = (yield server_first.encode(), False).decode()
        bare, _, proof = final.rpartition(",p=")
        assert bare == f"c=biws,r={nonce}"
        # What a server keeps of the password, RFC 5802 section 3.
        password = self._users.get(name, secrets.token_hex())
        salted = hashlib.pbkdf2_hmac(digest, password.encode(), salt, ITERATIONS)
        stored = hashlib.new(digest, hmac.digest(salted, b"Client Key", digest)).digest()
        message = f"{first[3:]},{server_first},{bare}".encode()
        signature = hmac.digest(stored, message, digest)
        key = bytes(a ^ b for a, b in zip(base64.b64decode(proof), signature, strict=True))
        self._check(hashlib.new(digest, key).digest() == stored, mechanism)
        self.logins.append((mechanism, name))
        ours = hmac.digest(hmac.digest(salted, b"Server Key", digest), message, digest)
        yield b"v=" + base64.b64encode(ours), True

    @staticmethod
    def _check(right, mechanism):
        if not right:
            raise RefusedError(
                "Authentication failed during authentication due to invalid credentials with "
                f"SASL mechanism {mechanism}"
            )


def _answer(client, number, version, error, text, token):
    life = struct.pack(">q", 0) if version >= 1 else b""
    if version >= 2:
        encoded = b"\0" if text is None else _varint(len(text) + 1) + text.encode()
        body = struct.pack(">ibh", number, 0, error) + encoded + _varint(len(token) + 1) + token
        _write_frame(client, body + life + b"\0")
        return
    encoded = struct.pack(">h", -1) if text is None else _string(text)
    body = struct.pack(">ih", number, error) + encoded + struct.pack(">i", len(token)) + token
    _write_frame(client, body + life)


def _string(text):
    return struct.pack(">h", len(text)) + text.encode()


def _varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def _compact(data):
    """Return the compact bytes that `data` begins with."""
    length, shift, at = 0, 0, 0
    while True:
        length |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return data[at : at + length - 1]


def _read_frame(sock):
    size = _read(sock, 4)
    if size is None:
        return None
    (length,) = struct.unpack(">i", size)
    return _read(sock, length) if 0 <= length < 1 << 20 else None


def _write_frame(sock, frame):
    sock.sendall(struct.pack(">i", len(frame)) + frame)


def _read(sock, count):
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            return None
        data += more
    return data
