"""A client of schema registries with Confluent's REST interface: register and look up schemas.

Only two requests are needed, each once for a kind of event when a worker starts. The number that
the registry gives a schema is written before each event (`stream.kafka.codec.event_message`);
subjects are named after topics (``TopicNameStrategy``).
"""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from airsift import __version__
from airsift.errors import BrokerError, ConfigError
from stream.kafka.codec.event_message import MAX_SCHEMA_ID, EventFormat, no_trace
from stream.lines import one_line

if TYPE_CHECKING:
    from collections.abc import Collection

    from airsift.json_types import Json
    from stream.kafka.codec.event_message import TraceOf
    from stream.kafka.settings import KafkaSettings, RegistrySettings

_CONTENT = "application/vnd.schemaregistry.v1+json"
_MAX_ANSWER = 1 << 20  # bytes; a registry repeats the schema
_NOT_FOUND = 404
_INCOMPATIBLE = 409


def open_format(
    settings: KafkaSettings, kinds: Collection[str] | None = None, trace_of: TraceOf = no_trace
) -> EventFormat:
    """Return how events become messages, after asking the registry if there is one.

    Parameters
    ----------
    settings : KafkaSettings
        The conventions, and the topics that subjects are named after.
    kinds : collection of str, optional
        Kinds of events that will be published; all of them by default.
    trace_of : callable
        See `EventFormat`.

    Raises
    ------
    BrokerError
        The registry does not answer, or refuses.
    """
    messages = settings.messages
    source = messages.source if messages.headers == "cloudevents" else ""
    if messages.framing == "none":
        return EventFormat(source, trace_of=trace_of)
    registry = SchemaRegistry(settings.registry)
    topics = settings.topics.of_events(kinds)
    ids = {kind: registry.id_of(f"{name}-value", schema_of(kind)) for kind, name in topics.items()}
    return EventFormat(source, ids, trace_of)


def schema_of(kind: str) -> str:
    """Return the JSON Schema of a kind of event."""
    packaged = Path(__file__).with_name("schemas")
    folder = packaged if packaged.is_dir() else Path(__file__).parents[2] / "docs" / "schemas"
    return (folder / f"{kind}.json").read_text(encoding="utf-8")


class SchemaRegistry:
    """A schema registry.

    Parameters
    ----------
    settings : RegistrySettings
        Its address, login, and whether schemas may be registered.

    Raises
    ------
    ConfigError
        A file that is named cannot be read.
    """

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings
        self._url = settings.url.rstrip("/")
        self._headers = {
            "Accept": _CONTENT,
            "Content-Type": _CONTENT,
            "User-Agent": f"airsift/{__version__}",
        }
        if settings.username:
            login = f"{settings.username}:{_password(settings)}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(login).decode()}"
        try:
            context = ssl.create_default_context(cafile=settings.ca_file or None)
        except OSError as error:
            raise ConfigError(
                f"kafka.registry.ca_file={settings.ca_file}: {error.strerror or error}; name a PEM "
                "file of the authority that signed the registry's certificate"
            ) from error
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context), _NoRedirection
        )

    def id_of(self, subject: str, schema: str) -> int:
        """Return the number of a schema under a subject.

        It is registered if it is not there, unless ``kafka.registry.register`` is false.

        Raises
        ------
        BrokerError
            The registry does not answer, refuses, or does not know the schema.
        """
        path = f"/subjects/{quote(subject, safe='')}"
        if self._settings.register_schemas:
            path += "/versions"
        answer = self._post(path, {"schemaType": "JSON", "schema": schema}, subject)
        number = answer.get("id") if isinstance(answer, dict) else None
        if type(number) is not int or not 0 <= number <= MAX_SCHEMA_ID:
            raise BrokerError(
                f"{self._name} answers {one_line(str(answer))[:80]!r} for subject {subject}, "
                "without the number of a schema; check that kafka.registry.url is a schema registry"
            )
        return number

    @property
    def _name(self) -> str:
        return f"the schema registry at {self._url}"

    def _post(self, path: str, body: Json, subject: str) -> Json:
        request = urllib.request.Request(  # noqa: S310  # the settings allow http and https alone
            self._url + path, json.dumps(body).encode(), self._headers, method="POST"
        )
        try:
            with self._opener.open(request, timeout=self._settings.timeout_s) as response:
                answer: Json = json.loads(response.read(_MAX_ANSWER))
                return answer
        except urllib.error.HTTPError as error:
            with error:
                raise BrokerError(self._refusal(error, subject)) from error
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise BrokerError(
                f"{self._name} does not answer as one ({one_line(str(reason))[:200]}); start it, "
                "set kafka.registry.url, or set kafka.messages.framing=none"
            ) from error

    def _refusal(self, error: urllib.error.HTTPError, subject: str) -> str:
        """Return in one line why a request was refused, and the way out."""
        try:
            said = json.loads(error.read(_MAX_ANSWER))["message"]
        except (OSError, HTTPException, ValueError, LookupError, TypeError):
            said = error.reason
        refusal = (
            f"{self._name} refuses subject {subject} ({error.code}: {one_line(str(said))[:200]})"
        )
        if error.code in (401, 403):
            return f"{refusal}; check kafka.registry.username and its rights"
        if error.code == _NOT_FOUND and not self._settings.register_schemas:
            return f"{refusal}; register docs/schemas there, or set kafka.registry.register_schemas"
        if error.code == _INCOMPATIBLE:
            return (
                f"{refusal}; fields may be added to airsift's events, which its rule for this "
                "subject does not allow: set the compatibility of the subject to NONE"
            )
        return f"{refusal}; check kafka.registry.url"


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    """Takes a redirection for a refusal: a login goes to the configured server alone."""

    def redirect_request(self, *_: object) -> None:
        return None


def _password(settings: RegistrySettings) -> str:
    path = settings.password_file
    if not path:
        return settings.password.get_secret_value()
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError(
            f"kafka.registry.password_file={path}: {reason}; name a file that can be read"
        ) from error
