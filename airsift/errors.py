"""Every error airsift raises on purpose.

::

    AirsiftError
    ├── ConfigError      a configuration key or value
    ├── DecodeError      bytes that are not the audio they should be
    ├── SpecMismatch     a model file that does not fit its use
    ├── CatalogueError   a fingerprint catalogue on disk
    ├── SourceError      a source that cannot be opened or has died
    ├── BrokerError      a Kafka broker that cannot be reached or refuses
    └── Backpressure     a sink that is full

A message names the value, the rule it breaks and the way out, in one line. The command
line prints that line and exits with 1; a traceback is shown only with ``--debug``.
"""


class AirsiftError(Exception):
    """Base of every error airsift raises on purpose."""


class ConfigError(AirsiftError):
    """A configuration key or value is unknown or out of range."""


class DecodeError(AirsiftError):
    """Bytes are not the audio their name, header or container says."""


class SpecMismatch(AirsiftError):
    """A model file does not fit the data or the front end it is used with."""


class CatalogueError(AirsiftError):
    """A fingerprint catalogue is missing, damaged or of another version."""


class SourceError(AirsiftError):
    """A source cannot be opened, or ended unexpectedly."""


class BrokerError(AirsiftError):
    """A Kafka broker cannot be reached, or refuses a request."""


class Backpressure(AirsiftError):
    """A sink is full.

    Parameters
    ----------
    message : str
        The sink, and why it is full.
    retry_after_s : float >= 0
        Seconds until the same events should be written again.
    """

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
